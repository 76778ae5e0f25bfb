"""A clock that moves when a test says so."""

import asyncio


class MovedClock:
    """core.clock.Clock for tests: both hands stand still until ``move``; ``sleep`` waits until they have moved far enough."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 1_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        """The wall clock."""
        return self._now_ms

    def monotonic(self) -> float:
        """The hand that only rises."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved by ``seconds``."""
        waiter = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._monotonic + max(seconds, 0.0), waiter))
        self._wake()
        try:
            await waiter
        finally:
            self._sleepers = [entry for entry in self._sleepers if entry[1] is not waiter]

    @property
    def sleepers(self) -> int:
        """How many wait."""
        return sum(1 for _, waiter in self._sleepers if not waiter.done())

    def move(self, seconds: float) -> None:
        """Move both hands on, and wake who has waited long enough."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds
        self._wake()

    def jump(self, seconds: float) -> None:
        """Set the wall clock alone, forward or back."""
        self._now_ms += round(seconds * 1000)

    def _wake(self) -> None:
        for at, waiter in self._sleepers:
            if at <= self._monotonic and not waiter.done():
                waiter.set_result(None)
