"""The inbox page as tests drive it: the real box and routes, asked from any address."""

import pytest

from tests.console.parts import Inbox


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests that start a browser."""
    config.addinivalue_line("markers", "browser: starts a real Chromium")


@pytest.fixture
def inbox() -> Inbox:
    """An empty inbox and who asks it."""
    return Inbox()
