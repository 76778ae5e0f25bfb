"""Retention beside the mail: every hour the store drops what is no longer kept. Each process asks; one at a time does it."""

from typing import Final

from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.engine.settings import EngineSettings
from postclock.runtime.log import get_logger
from postclock.store.interface import Ledger

FIRST_SECONDS: Final = 300.0
"""After a start others have more to do."""
EVERY_SECONDS: Final = 3_600.0
AGAIN_SECONDS: Final = 300.0
"""After a round that the store had no time for."""
_log = get_logger("retention")


class Retention:
    """A loop of the supervisor; it ends by being cancelled, or after ``stopping`` at its next turn."""

    def __init__(self, ledger: Ledger, clock: Clock, settings: EngineSettings) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self.stopping = False

    async def run(self) -> None:
        """Round after round. No failure of a round ends it."""
        await self._clock.sleep(FIRST_SECONDS)
        while not self.stopping:
            await self._clock.sleep(EVERY_SECONDS if await self._round() else AGAIN_SECONDS)

    async def _round(self) -> bool:
        s = self._settings
        try:
            gone = await self._ledger.retire(
                self._clock.now_ms(), s.keep_messages_ms, s.keep_bodies_ms, s.keep_events_ms
            )
        except Busy as busy:
            _log.warning("retention waits for the store", reason=str(busy))
            return False
        except Exception:  # noqa: BLE001  (a fault of ours: it must not stop the mail)
            _log.exception("retention failed")
            return False
        if gone:
            _log.info("dropped what is no longer kept", rows=gone)
        return True
