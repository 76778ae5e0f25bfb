"""What is done beside the mail: the heartbeat, the sweep of cancelled batches, confirmations, rescue.

``lost`` is called when another process ended this life, ``uncertain`` with how many mails a rescue found without a result.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.engine.settings import EngineSettings
from postclock.runtime.log import get_logger
from postclock.store.interface import Ledger

BEAT_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 0.5
SLICE: Final = 500
"""Rows a turn of the writer at the most."""
_log = get_logger("housekeeping")


class Housekeeping:
    """Loops of the supervisor; ``lost`` is called when another has ended this process's life in the store."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        settings: EngineSettings,
        lost: Callable[[], None],
        uncertain: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._lost = lost
        self._uncertain = uncertain
        self.stopping = False

    async def rescue(self) -> int:
        """Take back everything that dead owners held; how many."""
        done = lost = 0
        while (
            found := await self._ledger.rescue(
                self._clock.now_ms(), SLICE, self._settings.uncertain_wait_ms, self._settings.settle_after_ms
            )
        ).rows:
            done += found.rows
            lost += found.uncertain
        if done:
            _log.warning("took back what a former process held", rows=done, uncertain=lost)
        self._uncertain(lost)
        return done

    async def run_beat(self) -> None:
        """Say "I live" every two seconds; when the store says otherwise, stop departing."""
        while not self.stopping:
            if not await self._try(self._beat):
                _log.error("this process was declared dead by another: it departs nothing more")
                self._lost()
                return
            await self._clock.sleep(BEAT_SECONDS)

    async def _beat(self) -> bool:
        return await self._ledger.beat(self._clock.now_ms())

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
        return swept or confirmed == SLICE

    async def _try(self, step: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await step()
        except Busy as busy:
            _log.warning("housekeeping waits for the store", reason=str(busy))
        except Exception:  # noqa: BLE001  (a fault of ours: it must not stop the mail)
            _log.exception("housekeeping failed")
        await self._clock.sleep(BEAT_SECONDS)
        return True
