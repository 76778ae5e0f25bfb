"""What is read of the store: messages as they are listed and told, what mail is made from, what waits. Times are UTC milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass

from postclock.core.account import TenantSettings
from postclock.core.lifecycle import RecipientState, Shown, State
from postclock.core.sending_domain import SealedKey
from postclock.core.template import TemplateVersion
from postclock.store.records import LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFilter:
    """A dialect's status as what must hold of the row: one of the states, and with it one of what is shown beyond it.

    ``waits``: whether a queued one waits for a time that was asked for and had not come at ``now``; None: either.
    """

    states: Mapping[State, frozenset[Shown]]
    waits: bool | None = None
    now: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """The list's filters; all that are given must hold. ``states`` None: any. Addresses in compared form."""

    tenant: int
    mode: int
    states: frozenset[State] | None = None
    to_email: str | None = None
    from_email: str | None = None
    subject: str | None = None
    batch: int | None = None
    template: str | None = None
    category: str | None = None
    start_at: int | None = None
    end_at: int | None = None
    """Exclusive, as ``start_at`` is inclusive."""
    status: StatusFilter | None = None
    search: str | None = None
    """A part of a recipient's address or of the subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One message as it is shown in a list."""

    id: int
    week: int
    state: State
    batch: int | None
    created_at: int
    due_at: int
    departed_at: int | None
    sent_at: int | None
    delivered_at: int | None
    settled_at: int | None
    reason: str | None
    exposed: bool
    submission: bytes
    personal: bytes | None
    mode: int = LIVE
    shown: Shown = Shown.nothing
    n_rcpt: int = 1
    rcpt: str | None = None
    """The compared form of the address when there is exactly one."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page; ``total`` is exact, or the bound it was counted to."""

    messages: tuple[MessageRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of a timeline; ``metadata`` is a JSON object as text, or None."""

    n: int
    type: str
    at: int
    recipient: str | None
    metadata: str | None


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """One recipient's outcome."""

    n: int
    address: str
    state: RecipientState
    reply: str | None
    at: int | None


@dataclass(frozen=True, slots=True)
class MessageDetail:
    """A message with its recipients' outcomes and its timeline."""

    row: MessageRow
    mode: int
    data_at: int | None
    attempt: int
    next_attempt_at: int | None
    stamp: bytes | None
    recipients: tuple[RecipientRow, ...]
    events: tuple[EventRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantContext:
    """What a tenant's mail is made from: read in one snapshot, good while ``revision`` stands."""

    tenant: int
    revision: int
    suspended: bool
    settings: TenantSettings
    keys: dict[str, tuple[SealedKey, ...]]
    """DKIM keys in force, by verified domain."""
    from_names: dict[str, str]
    """The display name of a From that has none, by verified domain; domains without one are left out."""
    templates: dict[str, TemplateVersion | None]
    """The active version of each template that may be sent and is not deleted; None where none is active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRow:
    """A row that waits for a person."""

    id: int
    week: int
    tenant: int
    due_at: int
    status: State
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What waits. ``oldest_due`` is the due time of the longest overdue row that is ready, None when nothing is."""

    waiting: int
    parked: int
    uncertain: int
    in_flight: int
    oldest_due: int | None
    by_host: dict[str, int]
    by_domain: dict[str, int]
    by_tenant: dict[str, int]
    by_reason: dict[str, int]
