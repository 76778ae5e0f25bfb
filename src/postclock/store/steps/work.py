"""The transaction as the ledger's steps see it: rows in, rows out, each backend in its own way.

SQLite runs each call as a statement at once. PostgreSQL has loaded and locked what a group needs before the steps run, and
writes what they changed in a few statements after them: a round trip per call would cost more than the work.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from postclock.core.lifecycle import RecipientState, Shown, State
from postclock.core.plan import Spent
from postclock.core.suppression import SuppressionList
from postclock.store.records import Acceptance, Claimed, IdempotencyKey, Owner
from postclock.store.steps.counting import Tally


class Row(NamedTuple):
    """One queue row."""

    id: int
    message: int
    week: int
    tenant: int
    mode: int
    lane: int
    batch: int | None
    due_at: int
    ready_at: int | None
    status: State
    owner: int | None
    attempt: int
    exposed: bool
    policy: int
    deferrals: int
    tried_at: int | None
    handed_at: int | None
    departed_at: int | None
    settle_at: int | None
    stamp: bytes | None
    reason: str | None


_STATES = tuple(State)
_STATUS = Row._fields.index("status")
_EXPOSED = Row._fields.index("exposed")


def row_from(found: Sequence[Any]) -> Row:
    """The record of a row as a backend's statement reads it, columns in the order of ``Row``."""
    values = list(found)
    values[_STATUS] = _STATES[values[_STATUS]]
    values[_EXPOSED] = bool(values[_EXPOSED])
    return Row._make(values)


class StoredMessage(NamedTuple):
    """What a message's own row says; ``status`` None: open, a queue row has the state."""

    id: int
    week: int
    tenant: int
    mode: int
    submission: int
    batch: int | None
    n_rcpt: int
    rcpt: str | None
    """The compared form of the address when there is exactly one."""
    due_at: int
    status: int | None
    exposed: int
    departed_at: int | None
    attempt: int
    stamp: bytes | None
    has_body: int
    """0: retention has dropped what it was made from, so it can never be sent again."""
    told: int
    """How many opens and clicks were told of."""
    created_at: int
    """Due later than this: a time was asked for."""


class StoredRecipient(NamedTuple):
    """One of several recipients."""

    n: int
    address: str
    state: RecipientState
    reply: str | None


class Due(NamedTuple):
    """What a claim looks at: a ready row with what a run needs of its message."""

    id: int
    message: int
    week: int
    tenant: int
    mode: int
    lane: int
    batch: int | None
    submission: int
    due_at: int
    ready_at: int
    status: int
    attempt: int
    exposed: int
    policy: int
    deferrals: int
    tried_at: int | None
    departed_at: int | None
    stamp: bytes | None
    personal: bytes
    n_rcpt: int
    rcpt: str | None


class BatchFlags(NamedTuple):
    """A batch's flags as the group knows them."""

    tenant: int
    mode: int
    sealed: bool
    paused: bool
    cancelled: bool


class TenantRow(NamedTuple):
    """What a step asks of a tenant; ``settings`` is MessagePack of core.account.TenantSettings."""

    suspended: bool
    revision: int
    settings: bytes
    testers: frozenset[str] = frozenset()
    """The verified test recipients, in compared form: mail to them costs nothing."""


class Charge(NamedTuple):
    """What a hand-off costs: ``n`` counted recipients, ``free`` ones beside them, and the micro-dollars of it all."""

    tenant: int
    month: int
    type: str
    api_key: int
    """0: not known, or of no key."""
    n: int
    free: int
    cost: int


class Work(Protocol):
    """What a step may do. Zero rows touched is an answer."""

    tally: Tally

    # Reading

    def row(self, ident: int) -> Row | None:
        """The queue row, or None when there is none (settled, or never was)."""
        ...

    def message(self, ident: int) -> StoredMessage | None:
        """The message's row."""
        ...

    def recipients(self, message: int) -> Sequence[StoredRecipient]:
        """All recipients in their order; none when there is only one, whose state is the message's."""
        ...

    def batch(self, ident: int | None) -> BatchFlags | None:
        """The flags of a batch, which nobody changes before the commit; None for no batch or an unknown one."""
        ...

    def tenant(self, ident: int) -> TenantRow | None:
        """The tenant, whose suspension nobody changes before the commit."""
        ...

    def spent(self, tenant: int, month: int) -> Spent:
        """What the month has counted as of this very step; nobody adds to it before the commit but who does not look at it.

        Locked last of all: for tenants with limits alone.
        """
        ...

    def counts(self, scope: int) -> list[int]:
        """The scope's sums as of this very step; ``EXPOSED`` is the last."""
        ...

    def lives(self, owner: Owner) -> bool:
        """Whether this life goes on; nobody ends it before the commit."""
        ...

    def is_alive(self, owner: int) -> bool:
        """Whether the life that has this id goes on."""
        ...

    def suppressed(self, tenant: int, mode: int, address: str) -> Sequence[str]:
        """The names of the suppression lists that have the address."""
        ...

    def is_verified(self, tenant: int, domain: str) -> bool:
        """Whether the tenant may send from the domain now."""
        ...

    def key(self, tenant: int, mode: int, key: IdempotencyKey) -> tuple[bytes, bytes] | None:
        """(fingerprint, ids as MessagePack) under an idempotency key."""
        ...

    def content(self, submission: int) -> bytes | None:
        """The stored content of a submission."""
        ...

    def exposed_rows(self, batch: int) -> Sequence[int]:
        """Ids of a batch's rows that wait and may already have been delivered."""
        ...

    # Writing

    def take(self, due: Due, owner: int, state: State) -> None:
        """The row is the owner's: attempt + 1, nothing ready."""
        ...

    def depart(self, claimed: Claimed, owner: int, stamp: bytes, now: int) -> bool:
        """The row is in flight, if the claim is in force and its time has come."""
        ...

    def wait(
        self,
        row: Row,
        state: State,
        *,
        ready_at: int | None,
        lane: int,
        exposed: bool,
        deferrals: int,
        tried_at: int | None,
        settle_at: int | None,
        reason: str | None,
    ) -> None:
        """The row waits in ``state`` without an owner."""
        ...

    def take_out(self, ident: int, owner: int, attempt: int) -> Row | None:
        """Delete the row of a claim in force; the row as it was, None when the claim is no longer in force."""
        ...

    def drop(self, row: Row) -> None:
        """Delete the row."""
        ...

    def settle(
        self,
        row: Row,
        state: State,
        now: int,
        *,
        exposed: bool,
        data_at: int | None,
        delivered_at: int | None,
        reason: str | None,
    ) -> None:
        """The message keeps the result of its row."""
        ...

    def note_sent(self, row: Row, now: int, data_at: int | None) -> None:
        """The message was sent, first at ``now``."""
        ...

    def set_recipient(
        self, message: int, week: int, n: int, state: RecipientState, reply: str | None, now: int
    ) -> None:
        """One of several recipients is in ``state``."""
        ...

    def event(self, message: int, week: int, kind: str, at: int, recipient: str | None, metadata: str | None) -> None:
        """Add an event at the end of the message's timeline; ``metadata`` is a JSON object."""
        ...

    def suppress(
        self, row: Row, address: str, now: int, *, kind: SuppressionList, reason: str, bounce_type: str, status: str
    ) -> None:
        """Put an address on a list, unless it is there."""
        ...

    def note_shown(self, message: int, week: int, shown: Shown, *, opens: int = 0, clicks: int = 0) -> None:
        """What the newest event says beyond the state; ``opens`` and ``clicks`` more of them."""
        ...

    def charge(self, charge: Charge) -> None:
        """So many more recipients were handed off."""
        ...

    def insert(self, acceptance: Acceptance) -> None:
        """Store a call: submission, messages, recipients, queue rows. Nothing in the same transaction reads them."""
        ...

    def insert_key(self, tenant: int, mode: int, key: IdempotencyKey, ids: bytes, now: int) -> None:
        """Note the answer that a key has."""
        ...

    def reopen(self, message: StoredMessage, *, lane: int, ready_at: int, policy: int) -> None:
        """A settled message gets a queue row again, with the stamp of its hand-off."""
        ...

    def flag_cancelled(self, batch: int, now: int) -> None:
        """Set the batch's flag."""
        ...

    def mark_swept(self, batch: int) -> None:
        """Nothing of the cancelled batch is left to settle."""
        ...


def flags_from(found: Sequence[Any]) -> BatchFlags:
    """The record of (tenant, mode, sealed_at, paused_at, cancelled_at)."""
    return BatchFlags(found[0], found[1], *(v is not None for v in found[2:5]))
