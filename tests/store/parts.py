"""A tenant and its mail, step by step: what the stories of the ledger are told with."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from postclock.core.lifecycle import RecipientState, State
from postclock.core.message import UncertainPolicy
from postclock.store.interface import Store
from postclock.store.records import LIVE, Accepted, BatchStatus, Claimed, Departed, Held, IdempotencyKey
from postclock.store.views import MessageDetail
from tests.support import mails
from tests.support.clock import MovedClock

RETRY_MS: Final = 60_000
SETTLE_MS: Final = 86_400_000
UNCERTAIN_MS: Final = 660_000
AHEAD_MS: Final = 2_000
ADA, BOB, CYD = "ada@example.net", "bob@example.net", "cyd@example.org"


class Opened(Protocol):
    """A store that may be opened again."""

    store: Store

    def next(self) -> Store: ...


class Shop:
    """One tenant. Every step takes the time from the clock that the test moves."""

    def __init__(self, lives: Opened, clock: MovedClock, tenant: int) -> None:
        self.lives = lives
        self.clock = clock
        self.tenant = tenant

    @classmethod
    async def open(cls, lives: Opened, clock: MovedClock, name: str = "shop", domain: str = mails.DOMAIN) -> "Shop":
        """A new tenant whose domain is verified."""
        made = await lives.store.accounts.create_tenant(name, clock.now_ms())
        await lives.store.domains.add_domain(made.id, domain, (), clock.now_ms(), trusted=True)
        return cls(lives, clock, made.id)

    @property
    def store(self) -> Store:
        return self.lives.store

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    # What callers do

    async def call(
        self,
        *to: Sequence[str],
        due_in: int = 0,
        lane: int = 0,
        batch: int | None = None,
        policy: UncertainPolicy | None = None,
        sandbox: bool = False,
        key: IdempotencyKey | None = None,
        mode: int = LIVE,
    ) -> Accepted:
        """One call with a message to each of ``to``."""
        messages = [mails.message(self.now + due_in, *each, lane=lane) for each in to]
        return await self.store.messages.accept(
            mails.acceptance(
                self.tenant, messages, self.now, batch=batch, policy=policy, sandbox=sandbox, key=key, mode=mode
            )
        )

    async def send(
        self, *to: str, due_in: int = 0, batch: int | None = None, policy: UncertainPolicy | None = None, lane: int = 0
    ) -> int:
        """One message to all of ``to`` (Ada when nobody is named); its id."""
        accepted = await self.call(to or (ADA,), due_in=due_in, batch=batch, policy=policy, lane=lane)
        return accepted.ids[0][1]

    async def batch(self) -> int:
        """An empty batch."""
        ident = mails.new_id()
        await self.store.messages.create_batch(ident, self.tenant, LIVE, self.now)
        return ident

    async def state(self, message: int) -> State:
        """The state that is shown."""
        return (await self.detail(message)).row.state

    async def detail(self, message: int) -> MessageDetail:
        return await self.store.messages.detail(self.tenant, LIVE, message)

    async def events(self, message: int) -> list[str]:
        """The types of the timeline, in order."""
        return [e.type for e in (await self.detail(message)).events]

    async def note(self, message: int, kind: str) -> dict[str, object]:
        """The metadata of the last event of that type."""
        found = [e.metadata for e in (await self.detail(message)).events if e.type == kind]
        assert found, f"no event {kind}"
        return {} if found[-1] is None else msgspec.json.decode(found[-1], type=dict[str, object])

    async def recipients(self, message: int) -> list[RecipientState]:
        return [r.state for r in (await self.detail(message)).recipients]

    async def status(self, batch: int) -> BatchStatus:
        return await self.store.messages.batch(batch, self.tenant, LIVE)

    async def counts(self, batch: int) -> dict[State, int]:
        """The counts that are not zero."""
        return {s: n for s, n in (await self.status(batch)).counts.items() if n}

    # What the engine does

    async def claim(self, limit: int = 100, *, ahead: int = 0, lanes: Sequence[int] = (0, 1, 2)) -> list[Claimed]:
        return await self.store.ledger.claim([(lane, limit) for lane in lanes], self.now, self.now + ahead)

    async def depart(self, *claims: Claimed, domain: str = mails.DOMAIN) -> list[Departed | Held]:
        revision = (await self.store.ledger.context(self.tenant)).revision
        return await self.store.ledger.depart([mails.departure(c, revision, domain=domain) for c in claims], self.now)

    async def fly(self) -> tuple[Claimed, Departed]:
        """Claim the one that is due, and let it go."""
        (claimed,) = await self.claim()
        (answer,) = await self.depart(claimed)
        assert isinstance(answer, Departed)
        return claimed, answer

    async def record(
        self,
        claimed: Claimed,
        departed: Departed | None,
        *states: RecipientState,
        policy: UncertainPolicy = "resend",
    ) -> str:
        """Record one state for all, or one for each; deferrals wait a minute, what was sent settles after a day."""
        wait = UNCERTAIN_MS if RecipientState.uncertain in states else RETRY_MS
        (word,) = await self.store.ledger.record(
            [
                mails.result(
                    claimed,
                    None if departed is None else departed.at,
                    states,
                    retry_at=self.now + wait,
                    settle_at=self.now + SETTLE_MS,
                    policy=policy,
                    dropped=frozenset() if departed is None else departed.dropped,
                )
            ],
            self.now,
        )
        return word

    async def run(self, *states: RecipientState, policy: UncertainPolicy = "resend") -> Claimed:
        """One whole run of the one that is due."""
        claimed, departed = await self.fly()
        assert await self.record(claimed, departed, *states, policy=policy) == "recorded"
        return claimed

    async def abort(self, claimed: Claimed, departed: Departed) -> str:
        (word,) = await self.store.ledger.record([mails.abort(claimed, departed.at)], self.now)
        return word

    async def rescue(self, limit: int = 100) -> int:
        """The process is gone; the next one takes back what it held."""
        self.lives.next()
        return (await self.store.ledger.rescue(self.now, limit, UNCERTAIN_MS, SETTLE_MS)).rows

    async def sweep(self) -> None:
        while await self.store.ledger.sweep(self.now, 100):
            pass

    def later(self, milliseconds: int) -> None:
        self.clock.move(milliseconds / 1000)
