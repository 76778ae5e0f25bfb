"""Webhooks on a bench: a tenant, the real loop over the real store, and a receiver that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postclock.core.account import Dialect
from postclock.courier.post_interface import Answered, Poster
from postclock.engine.notify import Notify, Telling
from postclock.runtime.metrics import Metrics
from postclock.store.outbox import DeliveryRow, Outbox, Post, Subscription, Told
from postclock.store.records import LIVE
from postclock.store.sqlite.store import SqliteStore, open_store
from tests.engine.parts import Even, becomes, is_so
from tests.support import mails
from tests.support.clock import MovedClock

URL = "https://hooks.example.com/in"
REFUSED = Answered(status=503, reason="answered 503")
TAKEN = Answered(status=200)
HOUR = 3600.0


@dataclass
class Receiver:
    """A poster that keeps what was posted, and when."""

    clock: MovedClock
    answer: Callable[[list[dict[str, Any]]], Answered] = lambda _: TAKEN
    posts: list[tuple[int, list[dict[str, Any]]]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """While there is one, every post waits for it."""
    beside: int = 0
    most: int = 0

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        assert url == URL
        events = json.loads(body)
        self.posts.append((self.clock.now_ms(), events))
        self.beside += 1
        self.most = max(self.most, self.beside)
        if self.gate is not None:
            await self.gate.wait()
        self.beside -= 1
        return self.answer(events)

    async def close(self) -> None:
        pass

    @property
    def told(self) -> list[tuple[str, str]]:
        """(recipient, type) of every event, in the order of the posts."""
        return [(e["to"], e["type"]) for _, events in self.posts for e in events]


def voice(subscription: Subscription, told: Sequence[Told], now: int) -> Post:
    """The least that a body can say."""
    assert now > 0
    events = [{"id": t.event_id, "to": t.recipient, "type": t.type, "attempt": t.attempt} for t in told]
    return Post(body=json.dumps(events).encode(), headers={"X-For": str(subscription.id)})


class Desk:
    """A tenant, its mail and the loop that tells of it."""

    def __init__(self, store: SqliteStore, clock: MovedClock, tenant: int, poster: Poster, outbox: Outbox) -> None:
        self.store = store
        self.clock = clock
        self.tenant = tenant
        self.metrics = Metrics()
        self.start = clock.now_ms()
        self.notify = Notify(
            Telling(outbox=outbox, poster=poster, voices={"scaisend": voice, "sendara": voice}),
            owner=store.ledger.owner.id,
            clock=clock,
            entropy=Even(),
            metrics=self.metrics,
            keep_events_ms=90 * 86_400_000,
        )

    async def hook(self, dialect: Dialect = "scaisend", url: str = URL) -> Subscription:
        return await self.store.outbox.add(
            Subscription(
                id=mails.new_id(),
                tenant=self.tenant,
                mode=LIVE,
                dialect=dialect,
                kind="endpoint",
                url=url,
                types=(),
                active=True,
                created_at=self.clock.now_ms(),
                updated_at=self.clock.now_ms(),
            )
        )

    async def send(self, *to: str) -> list[int]:
        """One message to each, due in a day; each is an event."""
        now = self.clock.now_ms()
        messages = [mails.message(now + 86_400_000, address) for address in to]
        accepted = await self.store.messages.accept(mails.acceptance(self.tenant, messages, now))
        return [ident for _, ident in accepted.ids]

    async def cancel(self, *messages: int) -> None:
        """A second event for each."""
        for each in messages:
            await self.store.messages.cancel(self.tenant, LIVE, each, self.clock.now_ms())

    async def quiet(self) -> None:
        """Until the loop waits for the clock, and nobody has a turn."""
        await becomes(lambda: is_so(self.clock.sleepers > 0 and not self.notify.turns))

    async def pass_by(self, seconds: float) -> None:
        """Let the time go by, and everything happen that is due then."""
        self.clock.move(seconds)
        await self.quiet()

    async def rows(self, subscription: Subscription) -> list[DeliveryRow]:
        """Its deliveries, oldest first."""
        found = await self.store.outbox.deliveries(self.tenant, LIVE, subscription.dialect, subscription.id, limit=5000)
        return found[::-1]

    def figure(self, name: str, outcome: str = "") -> float | None:
        return self.metrics.registry.get_sample_value(name, {"outcome": outcome} if outcome else {})

    async def seen(self, subscription: Subscription) -> Subscription:
        return await self.store.outbox.get(self.tenant, LIVE, subscription.dialect, subscription.id)


@asynccontextmanager
async def running(
    folder: Path, make: Callable[[MovedClock], Poster], outbox: Callable[[Outbox], Outbox] = lambda there: there
) -> AsyncIterator[Desk]:
    clock = MovedClock()
    store = open_store(folder / "data", clock)
    tenant = await store.accounts.create_tenant("shop", clock.now_ms())
    desk = Desk(store, clock, tenant.id, make(clock), outbox(store.outbox))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(desk.notify.run())
        yield desk
        task.cancel()
    store.close()
