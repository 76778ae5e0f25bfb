"""A clock that jumps forward: a minute late can be forgiven, an hour early cannot.

The wall clock is compared with the monotonic one. A step forward of more than 60 s holds scheduled departures until it has
stood for 60 s; a step back needs nothing, because nothing is sent twice by it.
"""

from collections.abc import Callable
from typing import Final

from postclock.core.clock import Clock
from postclock.engine.flow import Flow
from postclock.runtime.log import get_logger
from postclock.runtime.metrics import Metrics

STEP_MS: Final = 60_000
STANDS_SECONDS: Final = 60.0
BACK_MS: Final = 1_000
"""A step back of more: what was reserved a little ahead of its second may now be far ahead of it."""
LOOK_SECONDS: Final = 0.5
_log = get_logger("clock")


class SkewWatch:
    """Looks at both hands of the clock; ``look`` is called by its loop, and before each claim's horizon can matter."""

    def __init__(self, clock: Clock, flow: Flow, metrics: Metrics) -> None:
        self._clock = clock
        self._flow = flow
        self._metrics = metrics
        self._offset = self._last = clock.now_ms() - clock.monotonic() * 1000
        self.on_back: Callable[[], None] = lambda: None
        """Called when the clock went back by more than a second."""
        self._held_since: float | None = None
        self.stopping = False

    @property
    def holds(self) -> bool:
        """Whether scheduled mail waits for the clock to be trusted."""
        return self._held_since is not None

    def look(self) -> None:
        """Compare the hands now."""
        mono = self._clock.monotonic()
        offset = self._clock.now_ms() - mono * 1000
        step, newest = offset - self._offset, offset - self._last
        self._last = offset
        if self._held_since is None:
            if step > STEP_MS:
                self._held_since = mono
                self._metrics.clock_held.set(1)
                _log.error(
                    "the clock jumped forward: scheduled departures wait until it has stood for a minute",
                    seconds=round(step / 1000),
                )
            else:
                self._offset = offset
        elif step <= STEP_MS:
            self._end("the clock went back", offset)
        elif abs(newest) > STEP_MS:
            self._held_since = mono  # it jumped again: it has to stand from here
        elif mono - self._held_since >= STANDS_SECONDS:
            self._end("the clock stands: scheduled departures go on", offset)
        if self._held_since is not None:
            self._flow.held = True
        elif self._flow.held:
            self._flow.held = False
            self._flow.wake()
        if newest < -BACK_MS:
            self.on_back()

    def _end(self, message: str, offset: float) -> None:
        self._held_since = None
        self._offset = offset
        self._metrics.clock_held.set(0)
        _log.warning(message)

    async def run(self) -> None:
        """Look again and again; a loop of the supervisor."""
        while not self.stopping:
            self.look()
            await self._clock.sleep(LOOK_SECONDS)
