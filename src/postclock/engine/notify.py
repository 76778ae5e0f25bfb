"""Telling who wants to know: webhooks are posted beside the mail, by a loop of their own that leases endpoints with something waiting.

Each endpoint has its turn by itself: a slow one holds up nobody else. One that fails is left alone until its next attempt.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from postclock.core.account import Dialect
from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.courier.post_interface import Poster
from postclock.engine.notify_round import ARRAY, LEASE_MS, Turn
from postclock.runtime.entropy import Entropy
from postclock.runtime.log import get_logger
from postclock.runtime.metrics import Metrics
from postclock.store.outbox import Outbox, Subscription, Voice

POLL_SECONDS: Final = 1.0
"""How often it is looked whether something waits; within it events gather for an array."""
PAUSE_SECONDS: Final = 5.0
"""After a look that failed."""
ENDPOINTS: Final = 64
"""Endpoints that have their turn at once: what they hold in memory is bounded by it."""
HOUSE_SECONDS: Final = 15.0
"""How often what waits is counted."""
COUNTED: Final = 100_000
FORGET_SECONDS: Final = 3_600.0
FORGOTTEN_AT_ONCE: Final = 2_000
_log = get_logger("webhooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What the assembly passes in: who posts, and how each dialect tells."""

    outbox: Outbox
    poster: Poster
    voices: Mapping[Dialect, Voice]


class Notify:
    """Two loops of the supervisor: ``run`` tells, ``run_house`` counts and forgets. They end by being cancelled, after ``stop``."""

    def __init__(
        self, telling: Telling, *, owner: int, clock: Clock, entropy: Entropy, metrics: Metrics, keep_events_ms: int
    ) -> None:
        self._outbox = telling.outbox
        self.poster = telling.poster
        self.voices = telling.voices
        self._owner = owner
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._keep_events_ms = keep_events_ms
        self._turns: dict[int, asyncio.Task[None]] = {}
        self._reach: dict[int, int] = {}
        """How many events the next array of an endpoint may have, where that is not as many as ever."""
        self.is_stopping = False

    @property
    def turns(self) -> int:
        """How many endpoints have their turn now."""
        return len(self._turns)

    async def run(self) -> None:
        """Look, lease, tell. No failure ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                while not self.is_stopping:
                    await self._clock.sleep(POLL_SECONDS if await self._look(group) else PAUSE_SECONDS)
        finally:
            await self.poster.close()

    async def stop(self, seconds: float) -> None:
        """Begin no more posts; returns when those under way are written, or after so many seconds: those are told again."""
        self.is_stopping = True
        if self._turns:
            await asyncio.wait(self._turns.values(), timeout=seconds)

    async def run_house(self) -> None:
        """Count what waits, and forget what is older than events are kept."""
        forgotten_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(HOUSE_SECONDS)
            try:
                self._metrics.webhook_waiting.set(await self._outbox.count_waiting(COUNTED))
                if self._clock.monotonic() - forgotten_at >= FORGET_SECONDS:
                    before = self._clock.now_ms() - self._keep_events_ms
                    while await self._outbox.forget(before, FORGOTTEN_AT_ONCE):
                        pass
                    forgotten_at = self._clock.monotonic()
            except Busy as busy:
                _log.warning("the care for webhooks waits for the store", reason=str(busy))
            except Exception:  # noqa: BLE001  (a fault of ours: it must not stop the mail)
                _log.exception("the care for webhooks failed")

    async def _look(self, group: asyncio.TaskGroup) -> bool:
        room = ENDPOINTS - len(self._turns)
        if room <= 0:
            return True
        now = self._clock.now_ms()
        try:
            leased = await self._outbox.lease(self._owner, now, now + LEASE_MS, room, tuple(self._turns))
        except Busy as busy:
            _log.warning("webhooks wait for the store", reason=str(busy))
            return False
        except Exception:  # noqa: BLE001  (a fault of ours: it must not stop the mail)
            _log.exception("webhooks could not be looked for")
            return False
        for subscription in leased:
            self._turns[subscription.id] = group.create_task(self._turn(subscription))
        return True

    async def _turn(self, subscription: Subscription) -> None:
        turn = Turn(
            subscription,
            outbox=self._outbox,
            owner=self._owner,
            voice=self.voices[subscription.dialect],
            poster=self.poster,
            clock=self._clock,
            entropy=self._entropy,
            metrics=self._metrics,
            is_stopping=lambda: self.is_stopping,
            reach=self._reach.get(subscription.id, ARRAY),
        )
        try:
            await turn.run()
        except Exception:  # noqa: BLE001  (a fault of ours: it must not stop the others)
            _log.exception("a webhook's turn failed", webhook=subscription.id)
        finally:
            del self._turns[subscription.id]
            self._reach.pop(subscription.id, None)
            if turn.reach < ARRAY:
                self._reach[subscription.id] = turn.reach
