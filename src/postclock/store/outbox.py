"""The outbox: who wants to be told of what, what is still to be told, and what a body is made from.

A row for each event and subscription is written by the store itself in the transaction that changes the state, so that no
step can forget it. The engine takes the rows, posts them and reports; the dialects name the bodies.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal, Protocol

import msgspec

from postclock.core.account import Dialect
from postclock.core.address import Mailbox
from postclock.core.ids import public_id, public_message_id
from postclock.core.message import MessageType

OCTETS: Final = 1024 * 1024
"""What the events that are taken at once may have with them, but for the last: custom arguments alone may be 10,000 octets each."""
Kind = Literal["endpoint", "event_settings"]
"""``event_settings``: the one event webhook of a tenant and mode, SendGrid's older model."""


class DeliveryState(IntEnum):
    """What became of a delivery; the number is what is stored."""

    waiting = 0
    delivered = 1
    failed = 2
    """For good, until it is replayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an endpoint does. Times are UTC milliseconds."""

    failures: int = 0
    """Posts that failed in a row."""
    failing_since: int | None = None
    """When the first of them failed."""
    retry_at: int | None = None
    """Nothing is posted before; None: nothing keeps it."""
    last_success_at: int | None = None
    last_failure_at: int | None = None
    disabled_at: int | None = None
    """When it was switched off because it failed too often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Somebody who wants to be told. What is sealed was sealed for the purpose ``webhook`` (core.sealing.WEBHOOK)."""

    id: int
    tenant: int
    mode: int
    """0 live, 1 test: it hears of that mail alone."""
    dialect: Dialect
    kind: Kind
    url: str
    types: tuple[str, ...]
    """Timeline types (as in the store: ``processed``, ``delivered``, …); none: every one there is."""
    active: bool
    """What happens while it is not is never told."""
    created_at: int
    updated_at: int
    secret: bytes | None = None
    """Sealed; None: not signed with a secret."""
    previous_secret: bytes | None = None
    """Sealed; signs beside the new one until ``previous_until``."""
    previous_until: int | None = None
    signing_key: bytes | None = None
    """Sealed private ECDSA key, when posts are signed with one."""
    public_key: str = ""
    """Its public half as it is shown; empty without one."""
    health: Health = Health()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One event for one endpoint, as its list shows it."""

    id: int
    webhook: int
    message: int
    week: int
    n: int
    type: str
    at: int
    state: DeliveryState
    attempts: int
    response_status: int | None
    """The last answer's; None when there was none."""
    reason: str
    """What went wrong last; empty when nothing did."""
    settled_at: int | None

    @property
    def event_id(self) -> str:
        """The event's public id."""
        return event_id(self.message, self.n)


class Origin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a body may say of the call that its message came with: the few fields of core.message.Submission, from its own bytes."""

    from_: Mailbox = Mailbox("")
    """Its domain is in the Message-ID."""
    subject: str = ""
    categories: tuple[str, ...] = ()
    custom_args: dict[str, str] = {}
    """The message's own win over those of the call."""
    metadata: dict[str, Any] = {}
    template_id: str | None = None
    message_type: MessageType = "transactional"
    test_send: bool = False
    idempotency_key: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event that is told now: all that a body is made from. Times are UTC milliseconds."""

    delivery: int
    message: int
    week: int
    n: int
    """The event's place in its message's timeline; 0 is the acceptance."""
    tenant: int
    mode: int
    type: str
    """The timeline's type."""
    at: int
    recipient: str
    """Compared form: the event's; when it has none, the message's first."""
    metadata: str | None
    """A JSON object, or None."""
    attempt: int
    """Which attempt this is, from 1."""
    due_at: int
    created_at: int
    batch: int | None
    status: int | None
    """The message's settled state (core.lifecycle.State) as it is now; None while it is open."""
    origin: Origin

    @property
    def event_id(self) -> str:
        """The same in every attempt, and in the timeline."""
        return event_id(self.message, self.n)

    @property
    def size(self) -> int:
        """About how many octets it has with it."""
        return len(_encode(self.origin)) + len(self.metadata or "")

    @property
    def message_id(self) -> str:
        """The message's public id."""
        return public_message_id(self.week, self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What an attempt came to, for one delivery. ``attempts`` counts this one; ``retry_at`` belongs to what waits again."""

    delivery: int
    state: DeliveryState
    attempts: int
    retry_at: int | None = None
    response_status: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What is posted to an endpoint. ``headers`` hold at least Content-Type, and the signature."""

    body: bytes
    headers: Mapping[str, str]


Voice = Callable[[Subscription, Sequence[Told], int], Post]
"""How a dialect tells: the endpoint, the events (one on /v1, up to a thousand on /v3), and the time now, which is signed with.

Called for each attempt, in the engine's thread or another; it opens the sealed secrets itself. What it raises counts as a failed attempt.
"""


def event_id(message: int, n: int) -> str:
    """``evt_``, thirteen characters of the message's id, and the event's place in its timeline."""
    return f"{public_id('evt_', message)}{n:03d}"


class Outbox(Protocol):
    """Subscriptions and their deliveries. ``tenant``, ``mode`` and ``dialect`` narrow what a caller sees: else NotFound."""

    async def add(self, subscription: Subscription) -> Subscription:
        """Store one. Raises Conflict when the tenant and mode have their ``event_settings`` already."""
        ...

    async def get(self, tenant: int, mode: int, dialect: Dialect, ident: int) -> Subscription:
        """One of kind ``endpoint``. Raises NotFound."""
        ...

    async def event_settings(self, tenant: int, mode: int) -> Subscription | None:
        """The tenant's event webhook; None before it was first set."""
        ...

    async def page(
        self, tenant: int, mode: int, dialect: Dialect, *, limit: int, offset: int = 0, active: bool | None = None
    ) -> tuple[list[Subscription], int]:
        """Endpoints, newest first, and how many there are in all."""
        ...

    async def change(
        self, tenant: int, mode: int, ident: int, change: Callable[[Subscription], Subscription], now: int
    ) -> Subscription:
        """Put ``change(as it is)`` in its place, of either kind: url, types, active, secrets and keys are taken from it.

        Whatever else it says stays, but for ``updated_at``; switched on or led elsewhere, its health begins anew. Raises NotFound, and what
        ``change`` raises.
        """
        ...

    async def remove(self, tenant: int, mode: int, dialect: Dialect, ident: int) -> None:
        """Its deliveries go with it. Raises NotFound."""
        ...

    async def deliveries(
        self, tenant: int, mode: int, dialect: Dialect, ident: int, *, limit: int
    ) -> list[DeliveryRow]:
        """Newest first. Raises NotFound."""
        ...

    async def replay(
        self, tenant: int, mode: int, dialect: Dialect, ident: int, *, first: int, last: int, now: int
    ) -> int:
        """Deliveries with these ids, both included, that are settled wait again with all their attempts; how many. Raises NotFound."""
        ...

    # The engine's side.

    async def lease(
        self, owner: int, now: int, until: int, limit: int, but: Collection[int] = ()
    ) -> list[Subscription]:
        """Active endpoints that have something to tell now, for this owner alone until ``until`` or the end of its life.

        None of ``but``: those that the owner is busy with. A tenant, and endpoints that fail, get no more than their share.
        """
        ...

    async def take(self, webhook: int, now: int, limit: int) -> list[Told]:
        """What is to be told, oldest first: nothing that waits for its next attempt, nor what the same message has behind that.

        At the most ``limit``, and as many as come to OCTETS. What has lost its message by retention has failed from then on.
        """
        ...

    async def probe(self, webhook: int, now: int) -> list[Told]:
        """As ``take``, but one at the most, for an endpoint that fails: the oldest, until that was tried three times.

        Then the turn goes to those that were tried less often: an event that its receiver will never take holds up no others.
        """
        ...

    async def report(
        self, webhook: int, owner: int, tried: Sequence[Tried], health: Health, now: int, until: int
    ) -> Subscription | None:
        """Write what attempts came to and how the endpoint does; the lease goes on until ``until`` (``now``: it ends).

        The subscription as it is now. None: the lease was lost, or the endpoint was paused or removed meanwhile; then its health
        was not written, what was tried was.
        """
        ...

    async def forget(self, before: int, limit: int) -> int:
        """Drop deliveries of events older than ``before``, oldest first; how many."""
        ...

    async def count_waiting(self, limit: int) -> int:
        """How many wait; it does not count further than ``limit``."""
        ...
