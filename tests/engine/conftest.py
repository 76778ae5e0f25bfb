"""The bench that most stories of the engine happen on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.parts import Bench, bench


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Bench]:
    """A tenant and an engine that does not run yet."""
    async with bench(tmp_path) as opened:
        yield opened
