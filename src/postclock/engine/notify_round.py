"""One endpoint's turn: what waits for it is told, in order per message, until nothing is left or a post fails.

/v3 takes arrays, one after the other; /v1 takes one event a post, several messages' beside each other.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.courier.post_interface import Answered, Poster
from postclock.engine.notify_rules import after_failure, after_success, next_try
from postclock.runtime.entropy import Entropy
from postclock.runtime.log import get_logger
from postclock.runtime.metrics import Metrics
from postclock.store.outbox import OCTETS, DeliveryState, Health, Outbox, Post, Subscription, Told, Tried, Voice

ARRAY: Final = 1_000
"""Events of one /v3 post at the most."""
SINGLES: Final = 64
"""Events of /v1 that are taken at once; what becomes of them is written together."""
BESIDE: Final = 8
"""Posts under way at once for one endpoint: with as many endpoints as have their turn, half of the files that a process may
commonly have open."""
HERE: Final = 20
"""A body of more events is made in a thread: mail departs in this loop, and a thousand take some ten milliseconds."""
LEASE_MS: Final = 300_000
ROUND_SECONDS: Final = 60.0
"""After this no post is begun before what was done is written: with the longest post well inside the lease."""
TURN_SECONDS: Final = 60.0
"""After this no round is begun, and others go first: an endpoint that never comes to an end keeps nobody else waiting."""
AGAIN_SECONDS: Final = 1.0
"""Between tries to write what was done."""
_log = get_logger("webhooks")


@dataclass(slots=True, kw_only=True)
class _Done:
    """What became of a group of posts, in the order in which they ended."""

    tried: list[Tried] = field(default_factory=list)
    taken: int = 0
    failed: bool = False
    """Whether one failed and none was taken since."""


class Turn:
    """The turn of one leased endpoint. ``run`` ends with its lease given back, whatever happens."""

    def __init__(
        self,
        subscription: Subscription,
        *,
        outbox: Outbox,
        owner: int,
        voice: Voice,
        poster: Poster,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        is_stopping: Callable[[], bool],
        reach: int = ARRAY,
    ) -> None:
        self._subscription = subscription
        self._outbox = outbox
        self._owner = owner
        self._voice = voice
        self._poster = poster
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._is_stopping = is_stopping
        self._health = subscription.health
        self._jitter = 0.0
        self._lost = False
        self.reach = reach
        """How many events are taken at once: of an array one after a failure, then twice as many each time, so that one event that
        is never taken drags few others along. Fewer as well after a reading that took too long."""

    async def run(self) -> None:
        """Tell until nothing waits, a post fails, the lease is lost, others have waited long enough or everything stops."""
        more = True
        end = self._clock.monotonic() + TURN_SECONDS
        while more and not self._lost:
            done = _Done()
            try:
                more = await self._round(done) and self._clock.monotonic() < end
            except Busy as busy:
                _log.warning("webhooks wait for the store", reason=str(busy))
                more = False
            except Exception:  # noqa: BLE001  (a fault of ours: the lease is given back all the same)
                _log.exception("a webhook's turn failed", webhook=self._subscription.id)
                more = False
            await self._report(done, goes_on=more)

    async def _round(self, done: _Done) -> bool:
        """Tell some; whether to go on at once."""
        if self._is_stopping():
            return False
        s, now = self._subscription, self._clock.now_ms()
        self._jitter = self._entropy.jitter()  # one for all: an event is due again when its endpoint is
        if self._health.failures:
            told = await self._outbox.probe(s.id, now)
            limit = 1
        else:
            limit = min(self.reach, ARRAY if s.dialect == "scaisend" else SINGLES)
            told = await self._take(now, limit)
        if not told:
            return False
        if s.dialect == "scaisend":
            await self._one(told, done)
        else:
            await self._beside(told, done)
            if not done.tried:  # everything stops
                return False
        self.reach = 1 if done.failed and s.dialect == "scaisend" else min(max(len(told), self.reach) * 2, ARRAY)
        if done.failed:
            self._health = after_failure(
                after_success(self._health, now) if done.taken else self._health, self._clock.now_ms(), self._jitter
            )
            return False
        self._health = after_success(self._health, self._clock.now_ms())
        return len(told) >= limit or sum(each.size for each in told) >= OCTETS

    async def _take(self, now: int, limit: int) -> list[Told]:
        try:
            return await self._outbox.take(self._subscription.id, now, limit)
        except Busy:  # large mails may take longer to look into than a reading may last
            self.reach = max(limit // 4, 1)
            raise

    async def _beside(self, told: Sequence[Told], done: _Done) -> None:
        """One post an event: messages beside each other, each message's events one after the other."""
        chains: dict[int, deque[Told]] = {}
        for each in told:
            chains.setdefault(each.message, deque()).append(each)
        waiting = deque(chains.values())
        end = self._clock.monotonic() + ROUND_SECONDS

        def goes_on() -> bool:
            return not (done.failed or self._is_stopping() or self._clock.monotonic() > end)

        async def work() -> None:
            while waiting and goes_on():
                chain = waiting.popleft()
                while chain and goes_on() and await self._one([chain.popleft()], done):
                    pass

        async with asyncio.TaskGroup() as group:
            for _ in range(min(BESIDE, len(waiting))):
                group.create_task(work())

    async def _one(self, told: Sequence[Told], done: _Done) -> bool:
        """Post once and note what came of it; whether it was taken."""
        answered = await self._post(told)
        now = self._clock.now_ms()
        self._metrics.webhook_posts.labels("taken" if answered.is_taken else "failed").inc()
        for each in told:
            tried = self._tried(each, answered, now)
            done.tried.append(tried)
            if tried.state is not DeliveryState.waiting:
                self._metrics.webhook_deliveries.labels(tried.state.name).inc()
        done.failed = not answered.is_taken
        done.taken += answered.is_taken
        return answered.is_taken

    async def _post(self, told: Sequence[Told]) -> Answered:
        try:
            now = self._clock.now_ms()
            if len(told) > HERE:
                post: Post = await asyncio.to_thread(self._voice, self._subscription, told, now)
            else:
                post = self._voice(self._subscription, told, now)
            return await self._poster.post(self._subscription.url, post.headers, post.body)
        except Exception:  # noqa: BLE001  (a fault of ours: it must not stop the others)
            _log.exception("a webhook could not be made", webhook=self._subscription.id, event=told[0].event_id)
            return Answered(status=None, reason="the post could not be made")

    def _tried(self, told: Told, answered: Answered, now: int) -> Tried:
        state, retry_at = DeliveryState.delivered, None
        if not answered.is_taken:
            retry_at = next_try(now, told.attempt, self._jitter)
            state = DeliveryState.failed if retry_at is None else DeliveryState.waiting
        return Tried(
            delivery=told.delivery,
            state=state,
            attempts=told.attempt,
            retry_at=retry_at,
            response_status=answered.status,
            reason=answered.reason,
        )

    async def _report(self, done: _Done, *, goes_on: bool) -> None:
        """Write what was done. While the store is busy it is tried again: what is not written is told twice."""
        while True:
            now = self._clock.now_ms()
            try:
                found = await self._outbox.report(
                    self._subscription.id,
                    self._owner,
                    done.tried,
                    self._health,
                    now,
                    now + LEASE_MS if goes_on else now,
                )
            except Busy as busy:
                _log.warning("what webhooks came to cannot be written now", reason=str(busy))
                if self._is_stopping():
                    return
                await self._clock.sleep(AGAIN_SECONDS)
                continue
            break
        if found is None:
            self._lost = True
            return
        self._subscription = found
        if self._health.disabled_at is not None:
            _tell_disabled(found, self._health)


def _tell_disabled(subscription: Subscription, health: Health) -> None:
    _log.warning(
        "a webhook endpoint was switched off: it failed too often",
        webhook=subscription.id,
        tenant=subscription.tenant,
        host=urlsplit(subscription.url).hostname,  # the rest of a URL may hold a receiver's token
        failures=health.failures,
        failing_since=health.failing_since,
    )
