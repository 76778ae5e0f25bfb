"""The store as the floors above see it: one ledger, and the slow tables beside it. Backends are named by the assembly alone.

Every method that writes returns after the commit. Every method may raise Busy (nothing was written). Times are UTC
milliseconds; ``mode`` is 0 (live) or 1 (test). A caller's cancellation never undoes what it handed in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from postclock.core.lifecycle import State
from postclock.core.template import TemplateVersion
from postclock.store.metering import Metering
from postclock.store.outbox import Outbox
from postclock.store.records import (
    Acceptance,
    Accepted,
    BatchCancelled,
    BatchStatus,
    CancelAnswer,
    Claimed,
    Departed,
    Departure,
    Engagement,
    Held,
    IdempotencyKey,
    Life,
    Owner,
    Rescued,
    Result,
)
from postclock.store.registers import Accounts, Domains, Suppressions, Templates
from postclock.store.views import MessageDetail, MessageFilter, MessageRow, Overview, Page, ParkedRow, TenantContext


class Ledger(Protocol):
    """The engine's side: claim, depart, record."""

    owner: Owner

    def on_ready(self, listener: Callable[[int], None]) -> None:
        """Call ``listener(ready_at)`` from any thread after a commit that added something ready at that time."""
        ...

    async def next_ready(self, lanes: Sequence[int]) -> int | None:
        """The earliest ready time in the lanes; None when nothing waits."""
        ...

    async def claim(self, limits: Sequence[tuple[int, int]], now: int, horizon: int) -> list[Claimed]:
        """Up to so many envelopes of each lane (lane, limit), ready by ``horizon``; due later than ``now`` they are reserved."""
        ...

    async def submissions(self, idents: Sequence[int]) -> Mapping[int, bytes]:
        """The stored content (MessagePack of core.message.Submission) of each."""
        ...

    async def depart(self, items: Sequence[Departure], now: int) -> list[Departed | Held]:
        """Durable before it returns: only then may the first byte of DATA be written."""
        ...

    async def record(self, results: Sequence[Result], now: int) -> list[str]:
        """Write what became of runs: recorded, late, event or gone, per item."""
        ...

    async def release(self, items: Sequence[tuple[int, int]], now: int) -> int:
        """Give back claims (id, attempt) with nothing departed."""
        ...

    async def beat(self, now: int) -> bool:
        """Say "I live"; False when this life was ended by another."""
        ...

    async def lives(self) -> list[Life]:
        """Every life that goes on, this one included."""
        ...

    async def end_life(self, life: Life, now: int) -> bool:
        """End a life that stands still, if its beat is still the one that was seen; whether it was. Durable before any rescue."""
        ...

    async def rescue(self, now: int, limit: int, uncertain_wait: int, settle_after: int) -> Rescued:
        """Take back rows of dead owners: released, or uncertain."""
        ...

    async def confirm(self, now: int, limit: int) -> int:
        """``sent`` becomes ``delivered`` where no bounce came in time; how many."""
        ...

    async def sweep(self, now: int, limit: int) -> bool:
        """Settle rows of cancelled batches; whether there is more."""
        ...

    async def context(self, tenant: int) -> TenantContext:
        """What a tenant's mail is made from, in one snapshot."""
        ...

    async def template_version(self, tenant: int, version: int) -> TemplateVersion | None:
        """A version by id, deleted ones included while unsettled messages may need them."""
        ...

    async def blob(self, tenant: int, sha256: str) -> bytes | None:
        """An attachment's bytes."""
        ...

    async def park_overdue(self, before: int, reason: str, now: int) -> int:
        """Park everything ready that was due before ``before``; how many."""
        ...

    async def redact(self, limit: int) -> int:
        """Forget what sent messages were made from, where their senders asked for that; how many."""
        ...

    async def retire(self, now: int, keep_messages: int, keep_bodies: int, keep_events: int) -> int:
        """One round of retention: drop what settled longer ago than it is kept (milliseconds); how much went.

        What goes is bodies (with attachments that nobody needs any more), events, messages with all that hangs on them, and
        idempotency keys older than 7 days whose messages settled more than 24 h ago. A backend with weeks drops messages and
        events by whole weeks, so up to a week and the longest wait of the week later. Of many processes one at a time has a
        round; the others drop nothing.
        """
        ...


class Messages(Protocol):
    """The callers' side of messages and batches."""

    async def accept(self, acceptance: Acceptance) -> Accepted:
        """Store a call, all or nothing. Raises Invalid (batch_id), KeyReused."""
        ...

    async def replay(self, tenant: int, mode: int, key: IdempotencyKey) -> Accepted | None:
        """The answer an idempotency key already has; None for a new key. Raises KeyReused for another body."""
        ...

    async def engage(self, items: Sequence[Engagement], now: int) -> int:
        """Tell the timelines of opens and clicks; how many were told. What an uncertain mail is opened of was delivered."""
        ...

    async def put_blobs(self, tenant: int, blobs: Mapping[str, bytes], now: int) -> None:
        """Store attachments (by SHA-256 hex), once per tenant, in a transaction of their own."""
        ...

    async def cancel(
        self, tenant: int, mode: int, message: int, now: int, week: int | None = None, *, only_scheduled: bool = False
    ) -> CancelAnswer:
        """Raises NotFound, also (as fail and retry do) when ``week`` is given and is not the message's.

        ``only_scheduled``: NotFound as well, and nothing changes, unless the message waits for a time that was asked for, or
        for an attempt after it, and nobody can have it.
        """
        ...

    async def fail(self, tenant: int, mode: int, message: int, now: int, reason: str, week: int | None = None) -> State:
        """Raises NotFound, Invalid."""
        ...

    async def retry(self, tenant: int, mode: int, message: int, now: int, week: int | None = None) -> State:
        """Raises NotFound, Invalid."""
        ...

    async def detail(self, tenant: int, mode: int, message: int) -> MessageDetail:
        """Raises NotFound."""
        ...

    async def timing(self, message: int) -> tuple[int, int | None] | None:
        """(due, hand-off or None) of a message of any tenant, for the operator's eyes; None for an unknown one."""
        ...

    async def page(self, wanted: MessageFilter, api_key: int, page: int, page_size: int, now: int) -> Page:
        """One page, newest first. Raises Busy when the query takes longer than two seconds."""
        ...

    async def browse(self, wanted: MessageFilter, before: int | None, limit: int) -> tuple[MessageRow, ...]:
        """Up to ``limit`` messages below the id ``before`` (None: from the newest), newest first. Raises Busy as ``page`` does."""
        ...

    async def by_key(self, tenant: int, mode: int, dialect: str, key: str) -> tuple[tuple[int, int], ...] | None:
        """The (week, id) of each message that was made under an idempotency key; None for an unknown key."""
        ...

    async def create_batch(self, ident: int, tenant: int, mode: int, now: int) -> None:
        """An empty batch."""
        ...

    async def batch(self, ident: int, tenant: int, mode: int) -> BatchStatus:
        """Raises NotFound."""
        ...

    async def cancel_batch(self, ident: int, tenant: int, mode: int, now: int) -> BatchCancelled:
        """Raises NotFound."""
        ...

    async def parked(self, tenant: int | None, reason: str | None) -> list[ParkedRow]:
        """What is parked, oldest due first."""
        ...

    async def release_parked(self, idents: Sequence[int], now: int) -> int:
        """Let parked rows go on; how many were parked."""
        ...

    async def drop_parked(self, idents: Sequence[int], now: int, reason: str) -> int:
        """Fail parked rows; how many were parked."""
        ...


class Store(Protocol):
    """Everything behind one door."""

    @property
    def ledger(self) -> Ledger:
        """The engine's side."""
        ...

    @property
    def messages(self) -> Messages:
        """Messages and batches."""
        ...

    @property
    def accounts(self) -> Accounts:
        """Tenants and keys."""
        ...

    @property
    def domains(self) -> Domains:
        """Sending domains."""
        ...

    @property
    def templates(self) -> Templates:
        """Templates and versions."""
        ...

    @property
    def metering(self) -> Metering:
        """Usage and test recipients."""
        ...

    @property
    def suppressions(self) -> Suppressions:
        """Suppression lists."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Webhooks and what they are still to be told."""
        ...

    async def is_ready(self) -> bool:
        """Whether the store answers."""
        ...

    async def meta(self, key: str) -> str | None:
        """A value of the store's own notes."""
        ...

    async def set_meta(self, key: str, value: str) -> None:
        """Write one."""
        ...

    async def meta_once(self, key: str, value: str) -> str:
        """Write one unless it is there; the value that stands."""
        ...

    async def overview(self) -> Overview:
        """What waits, for people and metrics."""
        ...

    def close(self) -> None:
        """Finish what was handed in, and close. No call may follow."""
        ...
