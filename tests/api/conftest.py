"""What the API's tests share: a running API without its hot path."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.slow_api import SlowApi, slow_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """The real app over a fresh store."""
    async with slow_api(tmp_path) as running:
        yield running
