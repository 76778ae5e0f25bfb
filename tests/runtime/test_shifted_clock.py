"""The clock that can be moved: its wall hand goes where the file says, its other hand stays."""

from pathlib import Path

import pytest

from postclock.runtime.clock import SystemClock
from postclock.runtime.shifted_clock import ClockFile, ShiftedClock

HOUR_MS = 3_600_000


def test_it_goes_where_the_file_says(tmp_path: Path) -> None:
    """Ahead and back, at once; the monotonic hand does not care."""
    machine, hand = SystemClock(), ClockFile(tmp_path / "clock")
    clock = ShiftedClock(machine, hand.path)
    for offset in (0, HOUR_MS, -HOUR_MS, 0):
        hand.shift(offset)
        assert abs(clock.now_ms() - machine.now_ms() - offset) < 1_000
    assert abs(clock.monotonic() - machine.monotonic()) < 1


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    """Not there, or too short: said at once."""
    with pytest.raises(OSError, match="clock"):
        ShiftedClock(SystemClock(), tmp_path / "clock")
    (tmp_path / "clock").write_bytes(b"1")
    with pytest.raises(ValueError, match="mmap length"):
        ShiftedClock(SystemClock(), tmp_path / "clock")
