"""A clock that shows a server's time: every process on every machine that works on one database judges "due" by one clock.

The server is asked now and then; in between the machine's own hand that never goes back carries its time on. So a wall clock
that is set on one of the machines changes nothing.
"""

from typing import Final

from postclock.core.clock import Clock

BETTER: Final = 1.5
"""An answer that took so much longer than the best one says less about the time than what is known."""
FORGET_SECONDS: Final = 20.0
"""Hands drift apart: after so long any answer is better than none."""


class ServerClock:
    """core.clock.Clock; ``own`` is the machine's."""

    def __init__(self, own: Clock) -> None:
        self._own = own
        self._offset = own.now_ms() - own.monotonic() * 1000
        self._best = float("inf")
        self._heard_at = float("-inf")

    def heard(self, server_ms: float, asked: float, answered: float) -> None:
        """The server said ``server_ms`` somewhere between two moments of the own monotonic hand (seconds)."""
        took = answered - asked
        if took > self._best * BETTER and answered - self._heard_at < FORGET_SECONDS:
            return
        self._best = min(took, self._best * BETTER)
        self._heard_at = answered
        self._offset = server_ms - (asked + answered) / 2 * 1000

    def now_ms(self) -> int:
        """The server's wall clock: UTC milliseconds since the Unix epoch."""
        return int(self._own.monotonic() * 1000 + self._offset)

    def monotonic(self) -> float:
        """The machine's own: seconds since some moment; never goes back."""
        return self._own.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        await self._own.sleep(seconds)
