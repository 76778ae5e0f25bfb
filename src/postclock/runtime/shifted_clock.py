"""A clock whose wall hand can be moved while the process runs (``serve --clock-file FILE``): how jumps of the clock are tried out.

It wraps another clock. The file holds eight octets, a signed little-endian number of milliseconds that is added to the wall
clock; it is mapped into memory, so that a look costs less than a microsecond and a move is seen at once.
"""

import mmap
from pathlib import Path
from typing import Final

from postclock.core.clock import Clock

OCTETS: Final = 8


class ShiftedClock:
    """core.clock.Clock over another one. Raises OSError or ValueError when the file is not there or too short."""

    def __init__(self, clock: Clock, file: Path) -> None:
        self._clock = clock
        with file.open("rb") as opened:
            self._offset = mmap.mmap(opened.fileno(), OCTETS, access=mmap.ACCESS_READ)

    def now_ms(self) -> int:
        """The inner clock's UTC milliseconds, moved by what the file says now."""
        return self._clock.now_ms() + int.from_bytes(self._offset[:OCTETS], "little", signed=True)

    def monotonic(self) -> float:
        """The inner clock's seconds: nothing moves them."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many of the inner clock's seconds."""
        await self._clock.sleep(seconds)


class ClockFile:
    """The hand that moves it: writes the file in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(OCTETS))

    def shift(self, offset_ms: int) -> None:
        """From now on the clocks over this file are that many milliseconds ahead (negative: behind)."""
        with self.path.open("r+b") as opened:
            opened.write(offset_ms.to_bytes(OCTETS, "little", signed=True))
