"""Free disk: below 512 MiB nothing is accepted, below 256 MiB nothing departs; results are always recorded."""

import shutil
from pathlib import Path
from typing import Final

from postclock.core.clock import Clock
from postclock.core.errors import Busy

ACCEPT_BELOW: Final = 512 * 1024 * 1024
DEPART_BELOW: Final = 256 * 1024 * 1024
LOOK_SECONDS: Final = 1.0


class DiskWatch:
    """Asks the file system at most once a second."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._looked_at = float("-inf")
        self._free = ACCEPT_BELOW

    def free(self) -> int:
        """Free octets, as of the last second."""
        now = self._clock.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._free = shutil.disk_usage(self._folder).free
        return self._free

    def may_accept(self) -> None:
        """Raises Busy (507) when the disk is nearly full."""
        if self.free() < ACCEPT_BELOW:
            raise Busy(
                "The disk is nearly full: nothing is accepted until there is room again", retry_after=30, status=507
            )

    def may_depart(self) -> bool:
        """Whether a departure, and the result that must follow it, can be written."""
        return self.free() >= DEPART_BELOW
