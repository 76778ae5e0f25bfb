"""What is done beside the mail: the watch over other processes, rescue, the sweep of cancelled batches, confirmations.

A process that stands still is taken for dead (engine/watch.py): its life is ended in the store, durably, and only then is what it
held taken back. ``uncertain`` is called with how many mails a rescue found without a result.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.engine.settings import EngineSettings
from postclock.engine.watch import Watch
from postclock.runtime.log import get_logger
from postclock.store.interface import Ledger
from postclock.store.records import Life

WATCH_SECONDS: Final = 1.0
"""Between two looks at who lives: a death is seen 12 s after the last beat at the latest, and a slow read makes no gap."""
RESCUE_SECONDS: Final = 30.0
"""A rescue without an occasion: another process may have ended a life and died before it took back what that held."""
SWEEP_SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 2.0
"""After the store was busy, or a fault of ours."""
SLICE: Final = 500
"""Rows a turn of the writer at the most."""
_log = get_logger("housekeeping")


class Housekeeping:
    """Loops of the supervisor; each goes on until it is cancelled or ``stopping`` is set."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        settings: EngineSettings,
        uncertain: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._uncertain = uncertain
        self._watch = Watch(clock, ledger.owner.id)
        self._dead: dict[int, Life] = {}
        """Seen standing still and not yet ended, by owner."""
        self._work = asyncio.Event()
        self._rescue_at = clock.monotonic() + RESCUE_SECONDS
        self.stopping = False

    async def rescue_at_start(self) -> None:
        """Take back what dead owners hold; waits while the store is busy. Raises a fault of ours: nobody starts over one."""
        while True:
            try:
                await self._rescue()
            except Busy as busy:
                _log.warning("the start waits for the store", reason=str(busy))
                await self._clock.sleep(PAUSE_SECONDS)
            else:
                return

    async def run_watch(self) -> None:
        """Look who lives, and tell ``run_rescue`` when somebody does not. Nothing here waits for a rescue."""
        while not self.stopping:
            await self._try(self._look, pause=0)
            await self._clock.sleep(WATCH_SECONDS)

    async def _look(self) -> bool:
        dead = self._watch.look(await self._ledger.lives())
        self._dead = {life.owner: life for life in dead}
        now = self._clock.monotonic()
        if dead or now >= self._rescue_at:
            self._rescue_at = now + RESCUE_SECONDS
            self._work.set()
        return False

    async def run_rescue(self) -> None:
        """End the lives that were seen to stand still, and take back what dead owners hold."""
        while not self.stopping:
            await self._work.wait()
            self._work.clear()
            if await self._try(self._rescue):
                self._work.set()  # it failed: once more

    async def _rescue(self) -> bool:
        """Slice by slice until nothing is left; who dies meanwhile is ended between two slices."""
        done = lost = 0
        try:
            while True:
                await self._end_lives()
                found = await self._ledger.rescue(
                    self._clock.now_ms(), SLICE, self._settings.uncertain_wait_ms, self._settings.settle_after_ms
                )
                done += found.rows
                lost += found.uncertain
                if not found.rows:
                    return False
        finally:
            if done:
                _log.warning("took back what a former process held", rows=done, uncertain=lost)
                self._uncertain(lost)

    async def _end_lives(self) -> None:
        while self._dead:
            owner, life = self._dead.popitem()
            try:
                ended = await self._ledger.end_life(life, self._clock.now_ms())
            except Busy as busy:  # the next look finds it still standing
                _log.warning("a life cannot be ended now", owner=owner, reason=str(busy))
                continue
            if ended:
                _log.warning("a process stands still: declared dead", owner=owner, beat=life.beat)

    async def run_sweep(self) -> None:
        """Settle the rows of cancelled batches and confirm what no bounce came for."""
        while not self.stopping:
            again = await self._try(self._sweep)
            if not again:
                await self._clock.sleep(SWEEP_SECONDS)

    async def _sweep(self) -> bool:
        now = self._clock.now_ms()
        swept = await self._ledger.sweep(now, SLICE)
        confirmed = await self._ledger.confirm(now, SLICE)
        redacted = await self._ledger.redact(SLICE)
        return swept or SLICE in (confirmed, redacted)

    async def _try(self, step: Callable[[], Awaitable[bool]], pause: float = PAUSE_SECONDS) -> bool:
        """Whether there is more to do: what the step says, and True after a failure and ``pause`` seconds."""
        try:
            return await step()
        except Busy as busy:
            _log.warning("housekeeping waits for the store", reason=str(busy))
        except Exception:  # noqa: BLE001  (a fault of ours: it must not stop the mail)
            _log.exception("housekeeping failed")
        await self._clock.sleep(pause)
        return True
