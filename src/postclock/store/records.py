"""What crosses between the store and the floors above it: commands in, answers out. Times are UTC milliseconds."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import msgspec

from postclock.core.lifecycle import RecipientState, State
from postclock.core.message import MessageType, Mode, UncertainPolicy

LIVE, TEST = 0, 1

SILENCE_MS: Final = 3_600_000
"""No process was heard of for so long: the service was stopped, or old data was restored."""
SILENT_SINCE: Final = "silent_since"
"""The store's note that tells every process of a long silence, until what is overdue was parked."""

BULK_FROM: Final = 10
"""More messages in one call than this: it stands behind single sends, in the writer's queue and in the engine's lanes."""

POLICY_NUMBERS: Final[dict[UncertainPolicy | None, int]] = {None: 0, "resend": 1, "hold": 2, "assume_sent": 3}
"""How a send's own policy for the uncertain is stored; 0: the tenant's."""
POLICIES: Final[dict[int, UncertainPolicy]] = {n: policy for policy, n in POLICY_NUMBERS.items() if policy is not None}


def mode_number(mode: Mode) -> int:
    """How a mode is stored."""
    return TEST if mode == "test" else LIVE


@dataclass(frozen=True, slots=True)
class Owner:
    """A process's life in the store: its id, the epoch of this life, and the node its ids carry."""

    id: int
    epoch: int
    node: int


class Life(NamedTuple):
    """A process's life as others see it: ``beat`` rises every two seconds while it goes on. ``api``: it answers callers."""

    owner: int
    epoch: int
    beat: int
    api: bool


# Accept


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's key with the fingerprint of the body it came with."""

    dialect: str
    key: str
    fingerprint: bytes
    fresh: bool = False
    """It was made for this very call: there can be none like it."""


class NewMessage(NamedTuple):
    """One message to be stored. ``addresses`` are compared forms, in the order of the personalization's recipients."""

    week: int
    id: int
    due_at: int
    lane: int
    addresses: tuple[str, ...]
    personal: bytes
    from_email: str | None = None
    subject: str | None = None


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One accepted call, all or nothing. ``sandbox``: stored as such at once, nothing is queued."""

    tenant: int
    mode: int
    submission: int
    week: int
    content: bytes
    from_email: str
    subject: str
    template: str | None
    categories: str
    batch: int | None
    policy: int
    sandbox: bool
    created_at: int
    messages: list[NewMessage]
    redact: bool = False
    """What they are made from is forgotten once they are sent."""
    refuse_suppressed: bool = False
    """Nothing is stored when an address is on a list of the tenant's."""
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The (week, id) of each message; ``replayed`` when a key answered with an earlier call's."""

    ids: tuple[tuple[int, int], ...]
    replayed: bool = False


# Claim, depart, record


class PendingRecipient(NamedTuple):
    """A recipient still to be served: its place in the personalization, and the compared form of its address."""

    n: int
    address: str


class Claimed(NamedTuple):
    """One envelope this owner may run. ``recipients`` are the pending ones."""

    id: int
    message: int
    week: int
    tenant: int
    mode: int
    lane: int
    batch: int | None
    submission: int
    due_at: int
    start_at: int
    """Not before this: due, or the next attempt."""
    status: State
    attempt: int
    exposed: bool
    policy: int
    deferrals: int
    tried_at: int
    departed_at: int | None
    """The latest depart of an earlier attempt."""
    stamp: bytes | None
    personal: bytes
    n_rcpt: int
    recipients: tuple[PendingRecipient, ...]


class Departure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What asks to depart. ``domain`` is the sender's, ``revision`` the tenant's at which the mail was made."""

    claimed: Claimed
    domain: str
    revision: int
    stamp: bytes
    reissued: bool = False
    api_key: int = 0
    """The key it was sent with; its cap counts, and its costs are told apart."""
    message_type: MessageType = "transactional"
    free: bool = False
    """Our own mail in the tenant's name: it costs nothing."""


class Departed(msgspec.Struct, frozen=True, gc=False):
    """It may go now. ``dropped`` are the recipients (their places) that were suppressed meanwhile."""

    at: int
    dropped: frozenset[int] = frozenset()


class Held(msgspec.Struct, frozen=True, gc=False):
    """It may not go. ``why`` is gone (cancelled, or no longer ours), settled (refused here), parked, stale (make it again) or early."""

    why: str


class RecipientResult(msgspec.Struct, frozen=True, gc=False):
    """What became of one recipient in one attempt."""

    n: int
    address: str
    state: RecipientState
    reply: str
    code: int = 0
    event: str = ""
    """The event type; empty: the state's own (see RESULT_EVENTS in the store)."""
    bounce_type: str = ""
    enhanced: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one run.

    ``departed_at`` is None when nothing departed. ``retry_at`` is when deferred recipients are tried again, or uncertain ones
    sent again; ``settle_at`` when accepted ones count as delivered. ``abort``: it departed, but the dot was never handed over.
    """

    claimed: Claimed
    departed_at: int | None
    results: tuple[RecipientResult, ...]
    retry_at: int | None = None
    settle_at: int | None = None
    data_at: int | None = None
    policy: UncertainPolicy = "resend"
    abort: bool = False
    host: str = ""
    reason: str | None = None
    """Why it was refused here, for people; with it the deferral schedule does not advance."""


class Engagement(NamedTuple):
    """A recipient opened a mail or followed one of its links. ``recipient`` is a place in the personalization, None when several share the bytes."""

    message: int
    week: int
    kind: Literal["open", "click"]
    recipient: int | None
    at: int
    url: str
    agent: str
    ip: str


class Rescued(NamedTuple):
    """What a rescue took back: ``rows`` in all, ``uncertain`` of them had departed without a result."""

    rows: int
    uncertain: int


# People


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """What a cancel did. ``won``: cancelled now or before. ``stopped`` of ``recipients`` when exposed."""

    state: State
    won: bool
    exposed: bool
    stopped: int
    recipients: int


@dataclass(frozen=True, slots=True)
class BatchCancelled:
    """The exact numbers at the moment of the flag; they add up to ``total``."""

    cancelled: int
    stopped: int
    in_flight: int
    uncertain: int
    sent: int
    settled: int

    @property
    def total(self) -> int:
        """All messages of the batch."""
        return self.cancelled + self.stopped + self.in_flight + self.uncertain + self.sent + self.settled


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """A batch with its counts, one per state."""

    id: int
    created_at: int
    sealed: bool
    paused: bool
    cancelled: bool
    counts: dict[State, int]
    last_settled_at: int | None

    @property
    def total(self) -> int:
        """All messages of the batch."""
        return sum(self.counts.values())
