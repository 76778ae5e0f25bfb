"""The shapes of messages and batches in /v3's JSON, and the two visible tables from the core's states to its words."""

from typing import Any, Final, Literal

import msgspec

from postclock.core.lifecycle import State

Word = Literal["queued", "processing", "sending", "sent", "delivered", "bounced", "failed", "cancelled", "sandbox"]
FilterWord = Literal[
    "queued", "processing", "rendered", "sending", "sent", "delivered", "bounced", "failed", "cancelled", "sandbox"
]  # fmt: skip

SHOWN: Final[dict[State, Word]] = {
    State.queued: "queued",
    State.deferred: "queued",
    State.processing: "processing",
    State.sending: "sending",
    State.uncertain: "sending",
    State.sent: "sent",
    State.delivered: "delivered",
    State.bounced: "bounced",
    State.failed: "failed",
    State.cancelled: "cancelled",
    State.sandbox: "sandbox",
}
"""The word of /v3 for each state. ``rendered`` is a word of its filter alone: nothing is ever stored so."""

CountWord = Literal["queued", "processing", "sent", "delivered", "bounced", "failed", "cancelled", "sandbox"]

COUNTED: Final[dict[State, CountWord]] = {
    State.queued: "queued",
    State.deferred: "queued",
    State.processing: "processing",
    State.sending: "processing",
    State.uncertain: "processing",
    State.sent: "sent",
    State.delivered: "delivered",
    State.bounced: "bounced",
    State.failed: "failed",
    State.cancelled: "cancelled",
    State.sandbox: "sandbox",
}
"""Under which of the eight counts of a batch each state falls: they always add up to ``total_messages``."""


def states_of(word: str) -> frozenset[State]:
    """The states that a filter's word stands for."""
    return frozenset(state for state, shown in SHOWN.items() if shown == word)


class MessageSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One message in a list."""

    id: str
    status: Word
    from_email: str
    from_name: str
    subject: str
    to_emails: list[str]
    template_id: str | None
    batch_id: str | None
    categories: list[str]
    created_at: str
    delivered_at: str | None


class MessageList(msgspec.Struct, frozen=True, kw_only=True):
    """One page."""

    messages: list[MessageSummary]
    total: int
    page: int
    page_size: int
    total_pages: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the timeline; ``timestamp`` in Unix seconds."""

    event_id: str
    event_type: str
    timestamp: int
    recipient_email: str | None
    metadata: dict[str, Any]


class RecipientOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one recipient."""

    email: str
    kind: Literal["to", "cc", "bcc"]
    status: str
    smtp_response: str | None
    at: str | None


class AttachmentNote(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the message, without its bytes."""

    filename: str
    type: str
    disposition: str
    size: int


class MessageAnswer(MessageSummary, frozen=True, kw_only=True):
    """One message with everything known of it. ``lateness_ms`` is departed minus due, at the hand-off."""

    reply_to: str | None
    cc_emails: list[str]
    bcc_emails: list[str]
    html_content: str | None
    plain_content: str | None
    headers: dict[str, str]
    custom_args: dict[str, str]
    tracking_settings: dict[str, Any]
    attachments: list[AttachmentNote]
    send_at: int | None
    due_at: str
    departed_at: str | None
    data_at: str | None
    sent_at: str | None
    completed_at: str | None
    lateness_ms: int | None
    attempts: int
    next_attempt_at: str | None
    may_already_be_delivered: bool
    error_message: str | None
    recipients: list[RecipientOutcome]
    events: list[Event]


class MessageStep(msgspec.Struct, frozen=True, kw_only=True):
    """What a cancel, retry or fail did."""

    message_id: str
    status: Word
    message: str


class FailReason(msgspec.Struct, kw_only=True):
    """The optional body of fail."""

    reason: str | None = None


class BatchMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new batch."""

    batch_id: str


class StatusCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The eight counts; they add up to ``total_messages``."""

    queued: int
    processing: int
    sent: int
    delivered: int
    bounced: int
    failed: int
    cancelled: int
    sandbox: int


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A batch's aggregate status."""

    batch_id: str
    total_messages: int
    status_counts: StatusCounts
    created_at: str
    completed_at: str | None
    is_complete: bool


class BatchCancelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch cancel did; the six numbers add up to ``total_messages``."""

    batch_id: str
    total_messages: int
    cancelled: int
    stopped: int
    in_flight: int
    uncertain: int
    sent: int
    settled: int


class Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of mail/send: ``message_id`` for one personalization, ``message_ids`` for more."""

    message_id: str = ""
    message_ids: list[str] = []
