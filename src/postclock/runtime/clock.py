"""The machine's clock: the one place that asks the operating system for the time."""

import asyncio
import time


class SystemClock:
    """core.clock.Clock on this machine's hands."""

    def now_ms(self) -> int:
        """The wall clock: UTC milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        await asyncio.sleep(seconds)
