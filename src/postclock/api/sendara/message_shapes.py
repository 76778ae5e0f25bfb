"""The shapes of messages in /v1's JSON, and how they are made from what the service shows (Sendara's documentation, messages).

A message that was sent through /v3 has them too: ``to`` is its first To address, ``metadata`` its custom arguments.
"""

from typing import Any, Literal, cast

import msgspec

from postclock.api.sendara.event_body import payload
from postclock.api.sendara.statuses import Status, status_of
from postclock.api.sendara.words import EventWord, event_word
from postclock.core import ids
from postclock.core.address import Mailbox
from postclock.core.message import MessageType, Mode
from postclock.core.webhook import EventType
from postclock.core.when import iso
from postclock.service.messages import Shown, ShownDetail
from postclock.service.records import EventRow, mode_number


class MessageItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message in a list; ``scheduled_at`` is there when a time was asked for."""

    id: str
    channel: Literal["email"]
    status: Status
    message_type: MessageType
    to: str | None
    subject: str | None
    created_at: str
    scheduled_at: str | None = None


class MessageList(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list; ``next_cursor`` is null at its end."""

    messages: list[MessageItem]
    next_cursor: str | None


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller gave to be sent."""

    subject: str | None
    body_html: str | None
    body_text: str | None


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the timeline; ``payload`` is that of its webhook."""

    id: str
    event_type: EventWord
    payload: dict[str, Any]
    created_at: str


class MessageDetail(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One message with its ordered timeline; ``payload`` is null where its content is not stored, or no longer."""

    id: str
    channel: Literal["email"]
    status: Status
    message_type: MessageType
    idempotency_key: str | None
    to: str | None
    from_: str
    subject: str | None
    template_id: str | None
    metadata: dict[str, Any]
    test_mode: bool
    created_at: str
    scheduled_at: str | None
    sent_at: str | None
    delivered_at: str | None
    payload: Payload | None
    events: list[TimelineEvent]


class Canceled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a cancel."""

    id: str
    status: Literal["canceled"] = "canceled"


def item(shown: Shown, now: int) -> MessageItem:
    """The message as a list has it at ``now`` (UTC milliseconds)."""
    return MessageItem(
        id=shown.public_id,
        channel="email",
        status=_status(shown, now),
        message_type=shown.submission.message_type,
        to=_to(shown),
        subject=_subject(shown),
        created_at=iso(shown.row.created_at),
        scheduled_at=_scheduled_at(shown),
    )


def detail(found: ShownDetail, now: int) -> MessageDetail:
    """The message with everything known of it at ``now`` (UTC milliseconds)."""
    shown = found.shown
    row, s, p = shown.row, shown.submission, shown.personalization
    to = _to(shown)
    if to is None and found.detail.recipients:
        to = found.detail.recipients[0].address
    return MessageDetail(
        id=shown.public_id,
        channel="email",
        status=_status(shown, now),
        message_type=s.message_type,
        idempotency_key=s.idempotency_key or None,
        to=to,
        from_=_name_addr(p.from_ if p is not None and p.from_ is not None else s.from_),
        subject=_subject(shown),
        template_id=s.template_id,
        metadata=s.metadata or {**s.custom_args, **(p.custom_args if p is not None else {})},
        test_mode=_mode(shown) == "test",
        created_at=iso(row.created_at),
        scheduled_at=_scheduled_at(shown),
        sent_at=_iso(row.sent_at),
        delivered_at=_iso(row.delivered_at),
        payload=_payload(shown),
        events=_events(found),
    )


def _status(shown: Shown, now: int) -> Status:
    row = shown.row
    return status_of(row.state, row.shown, due_at=row.due_at, asked=_is_asked(shown), now=now)


def _is_asked(shown: Shown) -> bool:
    """Whether a time was asked for: a message without one is due as it is created."""
    return shown.row.due_at > shown.row.created_at


def _scheduled_at(shown: Shown) -> str | None:
    return iso(shown.row.due_at) if _is_asked(shown) else None


def _to(shown: Shown) -> str | None:
    """The first To address as it was given; once that is no longer kept, the only recipient's in compared form."""
    if shown.personalization is None:
        return shown.row.rcpt
    return next((r.email for r in shown.personalization.recipients if r.kind == "to"), None)


def _subject(shown: Shown) -> str | None:
    p = shown.personalization
    return (shown.submission.subject if p is None or p.subject is None else p.subject) or None


def _name_addr(mailbox: Mailbox) -> str:
    """The address, with its name as a quoted string before it (RFC 5322, section 3.4)."""
    if not mailbox.name:
        return mailbox.email
    quoted = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{mailbox.email}>'


def _mode(shown: Shown) -> Mode:
    return "test" if shown.row.mode == mode_number("test") else "live"


def _payload(shown: Shown) -> Payload | None:
    if shown.personalization is None or not shown.submission.contents:
        return None
    bodies = {content.type: content.value for content in shown.submission.contents}
    return Payload(subject=_subject(shown), body_html=bodies.get("text/html"), body_text=bodies.get("text/plain"))


def _events(found: ShownDetail) -> list[TimelineEvent]:
    """The timeline in /v1's words; acceptance is read off the message itself."""
    row, mode = found.shown.row, _mode(found.shown)
    base = ids.public_id("evt_", row.id)
    alone = found.detail.recipients[0].address if len(found.detail.recipients) == 1 else None
    acceptance = EventRow(0, "processed", row.created_at, alone, None)
    events = []
    for e in (acceptance, *found.detail.events):
        kind = cast(EventType, e.type)
        word = event_word(kind, mode)
        if word is not None:
            said = payload(kind, e.recipient, e.metadata)
            events.append(TimelineEvent(id=f"{base}{e.n:03d}", event_type=word, payload=said, created_at=iso(e.at)))
    return events


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
