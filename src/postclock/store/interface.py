"""The store as the floors above see it: one ledger, and the slow tables beside it. Backends are named by the assembly alone.

Every method that writes returns after the commit. Every method may raise Busy (nothing was written). Times are UTC
milliseconds; ``mode`` is 0 (live) or 1 (test). A caller's cancellation never undoes what it handed in.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from postclock.core.account import ApiKey, Tenant, TenantSettings
from postclock.core.lifecycle import State
from postclock.core.sending_domain import SealedKey, SendingDomain
from postclock.core.suppression import Suppression, SuppressionList
from postclock.core.template import Generation, Template, TemplateVersion
from postclock.store.records import (
    Acceptance,
    Accepted,
    BatchCancelled,
    BatchStatus,
    CancelAnswer,
    Claimed,
    Departed,
    Departure,
    Held,
    IdempotencyKey,
    Life,
    MessageDetail,
    MessageFilter,
    Overview,
    Owner,
    Page,
    ParkedRow,
    Rescued,
    Result,
    TenantContext,
)


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

    async def put_blobs(self, tenant: int, blobs: Mapping[str, bytes], now: int) -> None:
        """Store attachments (by SHA-256 hex), once per tenant, in a transaction of their own."""
        ...

    async def cancel(self, tenant: int, mode: int, message: int, now: int, week: int | None = None) -> CancelAnswer:
        """Raises NotFound, also (as fail and retry do) when ``week`` is given and is not the message's."""
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


class Accounts(Protocol):
    """Tenants and API keys."""

    async def create_tenant(self, name: str, now: int) -> Tenant:
        """Raises Conflict when the name is taken."""
        ...

    async def tenants(self) -> list[Tenant]:
        """All, oldest first."""
        ...

    async def tenant_named(self, name: str) -> Tenant:
        """Raises NotFound."""
        ...

    async def set_tenant(
        self, tenant: int, *, settings: TenantSettings | None = None, suspended: bool | None = None, now: int = 0
    ) -> Tenant:
        """Change settings or suspension; parked mail of a resumed tenant goes on."""
        ...

    async def add_key(self, key: ApiKey, secret_hash: bytes) -> None:
        """Store a key with the SHA-256 of its secret."""
        ...

    async def find_key(self, secret_hash: bytes) -> tuple[ApiKey, Tenant] | None:
        """The key with that hash and its tenant; None when there is none (revoked ones are found)."""
        ...

    async def key(self, tenant: int, ident: int) -> ApiKey:
        """Raises NotFound."""
        ...

    async def keys(self, tenant: int | None = None) -> list[ApiKey]:
        """All keys, oldest first."""
        ...

    async def change_key(
        self, tenant: int, ident: int, *, name: str | None = None, scopes: Sequence[str] | None = None
    ) -> ApiKey:
        """Raises NotFound."""
        ...

    async def replace_secret(self, tenant: int, ident: int, secret_hash: bytes, prefix: str) -> ApiKey:
        """Rotate: the old secret is dead at once. Raises NotFound."""
        ...

    async def revoke_key(self, tenant: int | None, ident: int, now: int) -> ApiKey:
        """Revoked softly; again: no change. Raises NotFound."""
        ...

    async def used_keys(self, used: Mapping[int, int]) -> None:
        """Note when keys were last used (key id to time)."""
        ...


class Domains(Protocol):
    """Sending domains and their DKIM keys."""

    async def add_domain(
        self, tenant: int, domain: str, keys: Sequence[SealedKey], now: int, *, trusted: bool
    ) -> SendingDomain:
        """Raises Conflict when it is live for another tenant (trusted only). The tenant's own is returned as it is."""
        ...

    async def domain(self, tenant: int | None, domain: str) -> SendingDomain:
        """Raises NotFound; with no tenant, the one for which it is live, or the oldest."""
        ...

    async def domains(self, tenant: int | None = None) -> list[SendingDomain]:
        """All, by name."""
        ...

    async def set_verified(self, tenant: int, domain: str, at: int | None) -> SendingDomain:
        """Raises NotFound, Conflict (live for another tenant)."""
        ...

    async def note_published(self, tenant: int, domain: str, ids: Collection[int], at: int) -> SendingDomain:
        """The DNS has the records of exactly these keys. Raises NotFound."""
        ...

    async def reseal(self, again: Callable[[bytes], bytes], check_value: str) -> int:
        """Rewrite everything sealed and note the new secret key's check value, all or nothing; how many were rewritten."""
        ...

    async def is_verified(self, tenant: int, domain: str) -> bool:
        """Whether the tenant may send from it now."""
        ...


class Templates(Protocol):
    """Templates and their versions; every change that a send may see raises the tenant's revision."""

    async def create_template(self, tenant: int, template: Template) -> Template:
        """Raises Conflict when the name or the id is taken."""
        ...

    async def templates(self, tenant: int, generations: frozenset[Generation] | None = None) -> list[Template]:
        """All that are not deleted, newest first, with versions."""
        ...

    async def template(self, tenant: int, ident: str) -> Template:
        """Raises NotFound."""
        ...

    async def rename_template(self, tenant: int, ident: str, name: str, now: int) -> Template:
        """Raises NotFound, Conflict."""
        ...

    async def delete_template(self, tenant: int, ident: str, now: int) -> None:
        """Raises NotFound. Versions stay readable by id for messages on their way."""
        ...

    async def add_version(self, tenant: int, version: TemplateVersion) -> TemplateVersion:
        """Raises NotFound. An active one takes the place of the one before."""
        ...

    async def change_version(self, tenant: int, version: TemplateVersion) -> TemplateVersion:
        """Replace a version's content. Raises NotFound."""
        ...

    async def activate_version(
        self, tenant: int, template: str, version: int, now: int, *, active: bool
    ) -> TemplateVersion:
        """Raises NotFound."""
        ...

    async def delete_version(self, tenant: int, template: str, version: int, now: int) -> None:
        """Raises NotFound, Invalid (the only active one)."""
        ...


class Suppressions(Protocol):
    """What a tenant's mail no longer goes to."""

    async def suppress(self, tenant: int, mode: int, entry: Suppression) -> Suppression:
        """Add one; an entry that exists is replaced."""
        ...

    async def suppressions(
        self,
        tenant: int,
        mode: int,
        kind: SuppressionList,
        *,
        limit: int,
        offset: int,
        start_at: int | None,
        end_at: int | None,
        email: str | None,
    ) -> tuple[list[Suppression], int]:
        """Newest first, and how many there are in all."""
        ...

    async def suppression(self, tenant: int, mode: int, kind: SuppressionList, address: str) -> Suppression | None:
        """One entry, or None."""
        ...

    async def unsuppress(self, tenant: int, mode: int, kind: SuppressionList, address: str | None) -> int:
        """Remove one, or with None the whole list; how many went."""
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
    def suppressions(self) -> Suppressions:
        """Suppression lists."""
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
