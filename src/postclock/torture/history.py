"""What a run knows at its end: what was asked and acknowledged, what the sink saw, what the API says. The audit reads nothing else.

All times are UTC milliseconds of the machine's true clock. A message is known by its token, the local part of its only recipient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Asked:
    """One message as its caller knows it."""

    token: str
    due_at: int | None = None
    """None: at once."""
    batch: str | None = None
    message_id: str | None = None
    """None until a call was acknowledged."""
    acknowledged_at: int | None = None
    cancel_asked: bool = False
    """A cancel of the message or of its batch was tried, whether an answer came or not."""
    cancelled_at: int | None = None
    """When an answer said that this message is cancelled."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One DATA at the sink."""

    data_at: int
    complete: bool = False
    """The final dot was read."""
    reply: str = ""
    """What the dot was answered with; empty when nothing was."""

    @property
    def is_copy(self) -> bool:
        """Whether somebody may have this mail now: read wholly, and not refused."""
        return self.complete and self.reply[:1] not in ("4", "5")


@dataclass(slots=True, kw_only=True)
class Contact:
    """What the sink saw of one message."""

    seen_at: int
    """Its first RCPT."""
    attempts: list[Attempt] = field(default_factory=list)
    refused: bool = False
    """A 5xx was said to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The API's last word about one message."""

    status: str
    uncertain: int = 0
    """How many ``uncertain`` events its timeline has."""
    due_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A batch as an answer showed it."""

    batch: str
    total: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCancelled:
    """A batch cancel's answer."""

    batch: str
    answered_at: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything the audit is given."""

    asked: Mapping[str, Asked]
    contacts: Mapping[str, Contact]
    told: Mapping[str, Told]
    """By token; every acknowledged message should be in it."""
    wrong_sums: Sequence[Sum] = ()
    """Answers during the run whose counts did not add up to the total."""
    last_sums: Sequence[Sum] = ()
    """Each batch's answer at the end."""
    batches_cancelled: Sequence[BatchCancelled] = ()
    hurt: Sequence[tuple[int, int]] = ()
    """When something was being hurt or recovered, as (from, to): lateness then is no news."""
