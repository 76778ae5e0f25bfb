"""Commands run inside the test's own process, over a real data folder; what needs a process of its own starts one."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.parts import Commands


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    """The command line over an empty folder; the log it sets up is taken down again."""
    root, ours = logging.getLogger(), logging.getLogger("postclock")
    before = root.handlers[:], root.level, ours.level
    yield Commands(tmp_path / "var")
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
