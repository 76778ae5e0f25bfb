"""Which of the other processes are dead, judged by what this one has seen of them: pure, apart from a hand that only rises.

A life is dead when its beat has stood still for ten seconds of this observer's own time. Only time between two reads that are
close together counts: an observer that was frozen itself, or a database that was away, takes nobody's life.
"""

from collections.abc import Sequence
from typing import Final

from postclock.core.clock import Clock
from postclock.store.records import Life

DEAD_SECONDS: Final = 10.0
"""Five beats."""
GAP_SECONDS: Final = 3.0
"""Two reads that are farther apart say nothing about the time between them."""


class Watch:
    """One observer; ``own`` is its own owner id, which is never dead to itself."""

    def __init__(self, clock: Clock, own: int) -> None:
        self._clock = clock
        self._own = own
        self._looked_at: float | None = None
        self._stood: dict[Life, float] = {}
        """For how many counted seconds each life was seen with this very beat."""

    def look(self, lives: Sequence[Life]) -> list[Life]:
        """Which of ``lives``, all that were just read, are dead. Call it after every successful read, and only then."""
        now = self._clock.monotonic()
        passed = 0.0 if self._looked_at is None else now - self._looked_at
        if passed >= GAP_SECONDS:
            passed = 0.0
        self._looked_at = now
        before = self._stood
        self._stood = {life: before[life] + passed if life in before else 0.0 for life in lives}
        return [life for life in lives if self._stood[life] >= DEAD_SECONDS and life.owner != self._own]
