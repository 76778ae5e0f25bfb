"""The clock as an argument: every floor above takes time from here, so that tests can move it.

Two hands. ``now_ms`` is the service's wall clock (UTC milliseconds since the epoch): what ``due`` is judged against.
``monotonic`` only ever rises: what waits and timeouts are measured with.
"""

from typing import Protocol


class Clock(Protocol):
    """What the house knows of time."""

    def now_ms(self) -> int:
        """The wall clock: UTC milliseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds on a hand that never goes back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many monotonic seconds (at least one turn of the loop)."""
        ...
