"""An engine taken apart on a bench: the real loops over the real store, in the test's own loop, with a clock that is moved."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from postclock.core.address import Mailbox
from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from postclock.core.message import Content, Personalization, Recipient, Submission, UncertainPolicy
from postclock.core.sending_domain import SealedKey
from postclock.core.template import Template, TemplateVersion
from postclock.courier.return_path import ReturnPath
from postclock.engine.contexts import Contexts
from postclock.engine.deliver import Delivery
from postclock.engine.flow import Flow
from postclock.engine.prepare import Refused
from postclock.engine.scheduler import Scheduler
from postclock.engine.settings import EngineSettings
from postclock.engine.skew import SkewWatch
from postclock.mail.dkim.key import generate_ed25519, load_key
from postclock.runtime.metrics import Metrics
from postclock.store.interface import Ledger
from postclock.store.records import LIVE, Acceptance, Claimed, NewMessage
from postclock.store.sqlite.store import SqliteStore, open_store
from postclock.store.views import MessageDetail
from tests.engine.courier_double import Double
from tests.support import mails
from tests.support.clock import MovedClock

SETTINGS: Final = EngineSettings(stop_grace_seconds=0.2, workers=8, threads=2)
TEMPLATE: Final = "d-00000000000000000000000000000001"
PATIENCE: Final = 20.0


class Even:
    """Chance that always falls in the middle."""

    def secret_hex(self, octets: int) -> str:
        return "0" * 2 * octets

    def secret_bytes(self, octets: int) -> bytes:
        return bytes(octets)

    def jitter(self) -> float:
        return 0.5


@cache
def private_key(n: int = 0) -> bytes:
    """A signing key; the same for the whole run."""
    del n
    return generate_ed25519()


def sealed_key(ident: int, domain: str = mails.DOMAIN) -> SealedKey:
    """A key in force; its seal is no seal."""
    private = private_key(ident)
    load_key(domain, f"pc{ident}", private)
    return SealedKey(
        id=ident,
        domain=domain,
        selector=f"pc{ident}",
        algorithm="ed25519-sha256",
        sealed=private,
        record="",
        published_at=1,
    )


def version(
    ident: int, subject: str = "Hi {{name}}", *, html: str = "<p>Hi {{name}}</p>", active: bool = True
) -> TemplateVersion:
    """One version of the template."""
    return TemplateVersion(id=ident, template=TEMPLATE, name=f"v{ident}", subject=subject, html=html, active=active)


async def becomes(fact: Callable[[], Awaitable[bool]]) -> None:
    """Until it is so; each look gives the others a turn."""
    ends = time.monotonic() + PATIENCE
    while not await fact():
        assert time.monotonic() < ends, "it never became so"
        await asyncio.to_thread(lambda: None)


async def is_so(fact: bool) -> bool:
    """A fact, for ``becomes``."""
    return fact


async def turns(n: int = 20) -> None:
    """Let everything that can go on go on."""
    for _ in range(n):
        await asyncio.to_thread(lambda: None)


@dataclass
class Counted:
    """A ledger that counts how it is asked; ``trouble`` is raised by the named methods, one per call.

    ``away``: the database is, and every method raises Busy.
    """

    inner: Ledger
    calls: dict[str, int] = field(default_factory=dict)
    trouble: dict[str, list[Exception]] = field(default_factory=dict)
    away: bool = False

    def __getattr__(self, name: str) -> Any:
        there = getattr(self.inner, name)
        if name in ("owner", "on_ready"):
            return there

        async def asked(*args: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            if self.away:
                raise Busy("the database is away")
            if self.trouble.get(name):
                raise self.trouble[name].pop(0)
            return await there(*args)

        return asked


class Bench:
    """The parts, not yet running."""

    def __init__(self, store: SqliteStore, clock: MovedClock, tenant: int, settings: EngineSettings) -> None:
        self.store = store
        self.clock = clock
        self.tenant = tenant
        self.settings = settings
        self.metrics = Metrics()
        self.courier = Double(clock)
        self.ledger = Counted(store.ledger)
        self.points: list[str] = []
        self.disk_has_room = True
        self.flow = Flow(clock, settings.room, settings.room_bytes)
        self.contexts = Contexts(self.ledger, lambda sealed: sealed)
        self.scheduler = Scheduler(
            ledger=self.ledger,
            clock=clock,
            settings=settings,
            contexts=self.contexts,
            flow=self.flow,
            refused=self._refuse,
            on_point=self.points.append,
            may_claim=lambda: self.disk_has_room,
        )
        self.delivery = Delivery(
            ledger=self.ledger,
            courier=self.courier,
            clock=clock,
            entropy=Even(),
            settings=settings,
            flow=self.flow,
            scheduler=self.scheduler,
            return_path=ReturnPath(bytes(32)),
            metrics=self.metrics,
            on_point=self.points.append,
            may_depart=lambda: self.disk_has_room,
        )
        self.skew = SkewWatch(clock, self.flow, self.metrics)
        self.flow.look = self.skew.look

    async def _refuse(self, refused: Refused) -> None:
        await self.delivery.refuse(refused)

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    # What callers do

    async def accept(
        self,
        *people: Personalization,
        due_in: int = 0,
        lane: int | None = None,
        batch: int | None = None,
        policy: UncertainPolicy | None = None,
        **submission: Any,
    ) -> list[int]:
        """One call with a message for each of ``people``; their ids."""
        due = self.now + due_in
        told: dict[str, Any] = {
            "from_": Mailbox(f"hello@{mails.DOMAIN}"),
            "subject": "Weekly digest",
            "uncertain": policy,
        }
        content = Submission(**(told | submission))
        messages = [
            NewMessage(
                mails.WEEK, mails.new_id(), due, (1 if due_in else 0) if lane is None else lane,
                tuple(r.email for r in p.recipients), msgspec.msgpack.encode(p),
            )
            for p in people
        ]  # fmt: skip
        call = mails.acceptance(self.tenant, messages, self.now, batch=batch, policy=policy)
        await self.store.messages.accept(msgspec.structs.replace(call, content=msgspec.msgpack.encode(content)))
        return [m.id for m in messages]

    async def send(self, to: str = "ada@example.net", **more: Any) -> int:
        """One message; its id."""
        return (await self.accept(person(to), **more))[0]

    async def detail(self, message: int) -> MessageDetail:
        return await self.store.messages.detail(self.tenant, LIVE, message)

    async def state(self, message: int) -> State:
        return (await self.detail(message)).row.state

    async def is_in(self, message: int, state: State) -> None:
        """Once it is in that state."""

        async def so() -> bool:
            return await self.state(message) is state

        await becomes(so)

    async def is_empty(self) -> None:
        """Once nothing is inside any more, with nothing left of the sums."""

        async def so() -> bool:
            return self.flow.inside == 0 and self.flow.octets == 0

        await becomes(so)
        assert not self.courier.lent

    async def timeline(self, message: int) -> list[str]:
        return [e.type for e in (await self.detail(message)).events]

    async def template(self, *versions: TemplateVersion) -> None:
        """Make the template, with its versions."""
        made = Template(
            id=TEMPLATE, name="greeting", generation="dynamic", created_at=1, updated_at=1, versions=versions
        )
        await self.store.templates.create_template(self.tenant, made)

    async def claim(self, ahead: int = 0) -> list[Claimed]:
        return await self.store.ledger.claim([(lane, 100) for lane in (0, 1, 2)], self.now, self.now + ahead)

    def later(self, seconds: float) -> None:
        """Move the clock, and tell who waits for it."""
        self.clock.move(seconds)
        self.flow.wake()
        self.scheduler.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs; afterwards it is stopped as the supervisor does it."""
        loop = asyncio.get_running_loop()

        def tell(at: int) -> None:
            loop.call_soon_threadsafe(self.scheduler.ready, at)

        self.store.ledger.on_ready(tell)
        async with asyncio.TaskGroup() as group:
            preparing = [group.create_task(self.scheduler.run_preparation()) for _ in range(2)]
            group.create_task(self.flow.run_gate())
            group.create_task(self.delivery.departures.run())
            group.create_task(self.delivery.records.run())
            claiming = group.create_task(self.scheduler.run_claims())
            for _ in range(self.settings.workers):
                group.create_task(self.delivery.run_worker())
            yield
            self.delivery.stopping = self.scheduler.stopping = True
            self.scheduler.wake()
            left = self.flow.close()
            await self.delivery.stop(self.settings.stop_grace_seconds)
            await claiming
            self.scheduler.finish()
            await asyncio.gather(*preparing)
            await self.scheduler.give_back([p.claimed for p in left])
            await self.delivery.departures.close()
            await self.delivery.records.close()
        self.scheduler.close()


def with_content(call: Acceptance, content: object) -> Acceptance:
    """The same call with other content."""
    told: dict[str, Any] = {name: getattr(call, name) for name in Acceptance.__annotations__}
    return Acceptance(**(told | {"content": msgspec.msgpack.encode(content)}))


def person(*to: str, **more: Any) -> Personalization:
    """One message to all of ``to``."""
    return Personalization(recipients=tuple(Recipient("to", address) for address in to), **more)


def people(n: int) -> list[Personalization]:
    """One message to each of so many."""
    return [person(f"user{i}@example.net") for i in range(n)]


def body(text: str = "Hello") -> tuple[Content, ...]:
    return (Content("text/plain", text),)


@asynccontextmanager
async def bench(folder: Path, settings: EngineSettings = SETTINGS, keys: Sequence[int] = (1,)) -> AsyncIterator[Bench]:
    """A store with a tenant whose domain is verified, and an engine beside it."""
    clock = MovedClock()
    store = open_store(folder / "data", clock)
    try:
        tenant = await store.accounts.create_tenant("shop", clock.now_ms())
        await store.domains.add_domain(
            tenant.id, mails.DOMAIN, [sealed_key(i) for i in keys], clock.now_ms(), trusted=True
        )
        yield Bench(store, clock, tenant.id, settings)
    finally:
        store.close()


def headers_of(content: bytes) -> Mapping[str, str]:
    """The header fields of a mail, unfolded, the last of each name."""
    head = content.partition(b"\r\n\r\n")[0].decode().replace("\r\n ", " ").replace("\r\n\t", " ")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n"))}
