"""/v3/messages: the list with its nine filters, the detail, cancel, retry and fail (ScaiSend's documentation, messages)."""

from datetime import date
from typing import Final

import msgspec

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.limits import Ceiling
from postclock.api.query import Query
from postclock.api.scaisend.message_shapes import (
    SHOWN,
    AttachmentNote,
    Event,
    FailReason,
    FilterWord,
    MessageAnswer,
    MessageList,
    MessageStep,
    MessageSummary,
    RecipientOutcome,
    states_of,
)
from postclock.api.scaisend.translate_tracking import tracking_as_sent
from postclock.core import ids
from postclock.core.account import Scope
from postclock.core.address import compared, problem
from postclock.core.errors import Invalid, NotFound
from postclock.core.lifecycle import State
from postclock.core.when import iso
from postclock.service.messages import Messages, Shown, ShownDetail
from postclock.service.moments import moment_ms
from postclock.service.records import CancelAnswer, MessageFilter, mode_number

BASE: Final = "/v3/messages"
ONE: Final = BASE + "/{message_id}"
MAX_SUBJECT_DAYS: Final = 31
DAY_MS: Final = 86_400_000
MAX_PAGE: Final = 2**31
MAX_REASON: Final = 500
_WORDS: Final = tuple(FilterWord.__args__)  # type: ignore[attr-defined]
_metadata = msgspec.json.Decoder(dict[str, object]).decode


def message_endpoints(messages: Messages) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def page(call: Call) -> Reply:
        query = call.query
        number, size = query.integer("page", 1, 1, MAX_PAGE), query.integer("page_size", 25, 1, 100)
        wanted = _wanted(call, query)
        if wanted is None:
            return Reply(MessageList(messages=[], total=0, page=number, page_size=size, total_pages=0))
        found = await messages.page(call.principal, wanted, number, size)
        return Reply(
            MessageList(
                messages=[_summary(m) for m in found.messages],
                total=found.total,
                page=number,
                page_size=size,
                total_pages=-(-found.total // size),
            )
        )

    async def one(call: Call) -> Reply:
        return Reply(_answer(await messages.detail(call.principal, call.path("message_id"))))

    async def cancel(call: Call) -> Reply:
        public = call.path("message_id")
        done = await messages.cancel(call.principal, public)
        return Reply(MessageStep(message_id=public, status=SHOWN[done.state], message=_told(done)))

    async def retry(call: Call) -> Reply:
        public = call.path("message_id")
        state = await messages.retry(call.principal, public)
        return Reply(MessageStep(message_id=public, status=SHOWN[state], message="Queued again"))

    async def fail(call: Call) -> Reply:
        public = call.path("message_id")
        reason = (call.body(FailReason).reason or "marked as failed by request").strip()
        if len(reason) > MAX_REASON:
            raise Invalid(f"The reason has at most {MAX_REASON} characters.", "reason")
        state = await messages.fail(call.principal, public, reason)
        return Reply(MessageStep(message_id=public, status=SHOWN[state], message="Marked as failed"))

    read, cancels, sends = (Scope.messages_read,), (Scope.mail_cancel,), (Scope.mail_send,)
    return (
        Endpoint(
            method="GET", path=BASE, summary="List messages, newest first", answer=page, scopes=read, gives=MessageList, refuses=(400,),
            ceiling=Ceiling.message_lists,
            parameters=(
                Parameter("status", FilterWord, "Only messages shown with this status."),
                Parameter("to_email", str, "Any recipient, exact."),
                Parameter("from_email", str, "Exact."),
                Parameter("subject", str, f"A part of it; needs batch_id, or dates at most {MAX_SUBJECT_DAYS} days apart."),
                Parameter("batch_id", str, "Exact."),
                Parameter("template_id", str, "Exact."),
                Parameter("category", str, "Exact."),
                Parameter("start_date", str, "ISO 8601, or YYYY-MM-DD: not older."),
                Parameter("end_date", str, "ISO 8601, or YYYY-MM-DD (that whole day): not newer."),
                Parameter("page", int, "From 1."),
                Parameter("page_size", int, "1 to 100, by default 25."),
            ),
        ),
        Endpoint(method="GET", path=ONE, summary="One message with its timeline", answer=one, scopes=read, gives=MessageAnswer, refuses=(404,)),
        Endpoint(method="POST", path=ONE + "/cancel", summary="Cancel before it departs", answer=cancel, scopes=cancels, gives=MessageStep, refuses=(404,)),
        Endpoint(method="POST", path=ONE + "/retry", summary="Queue it again", answer=retry, scopes=sends, gives=MessageStep, refuses=(400, 404)),
        Endpoint(
            method="POST", path=ONE + "/fail", summary="Mark it as failed", answer=fail, scopes=cancels, takes=FailReason, gives=MessageStep,
            refuses=(400, 404),
        ),
    )  # fmt: skip


def _wanted(call: Call, query: Query) -> MessageFilter | None:
    """The filters; None when they can find nothing. Raises Invalid with every bad parameter."""
    status = query.text("status")
    if status is not None and status not in _WORDS:
        query.findings.add("status", f"Must be one of: {', '.join(_WORDS)}.")
    addresses = {name: query.text(name) for name in ("to_email", "from_email")}
    subject, batch, template, category = (query.text(n) for n in ("subject", "batch_id", "template_id", "category"))
    start, end = _moment(query, "start_date", end=False), _moment(query, "end_date", end=True)
    if (
        subject is not None
        and batch is None
        and (start is None or end is None or end - start > MAX_SUBJECT_DAYS * DAY_MS)
    ):
        query.findings.add(
            "subject", f"Needs batch_id, or start_date and end_date at most {MAX_SUBJECT_DAYS} days apart."
        )
    query.check()
    known = {name: None if a is None else compared(a) if problem(a) is None else "" for name, a in addresses.items()}
    try:
        number = None if batch is None else ids.parse_id("bat_", batch)
    except NotFound:
        return None
    return MessageFilter(
        tenant=call.principal.tenant.id,
        mode=mode_number(call.principal.mode),
        states=None if status is None else states_of(status),
        to_email=known["to_email"],
        from_email=known["from_email"],
        subject=subject,
        batch=number,
        template=template,
        category=category,
        start_at=start,
        end_at=end,
    )


def _moment(query: Query, name: str, *, end: bool) -> int | None:
    """UTC milliseconds; the end of a day, or of a second, counts to its last moment (the bound is exclusive)."""
    text = query.text(name)
    if text is None:
        return None
    at = moment_ms(text.replace(" ", "+"))  # a "+" of an offset that was not encoded arrives as a space
    if at is None:
        query.findings.add(name, "Must be ISO 8601 (2026-11-21T09:00:00Z) or a day (2026-11-21).")
        return None
    if not end:
        return at
    return at + (DAY_MS if _is_day(text) else 1000 - at % 1000)


def _is_day(text: str) -> bool:
    """Whether it is a date without a time, in any of the forms of ISO 8601."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _told(done: CancelAnswer) -> str:
    if done.won:
        return "Cancelled before delivery"
    if done.exposed:
        return f"May already have been delivered; {done.stopped} of {done.recipients} recipients were stopped"
    if done.state is State.sending:
        return "Already in flight; cancellation ignored"
    return f"Already {SHOWN[done.state]}; cancellation ignored"


def _summary(shown: Shown) -> MessageSummary:
    return MessageSummary(**_summary_fields(shown))  # type: ignore[arg-type]


def _summary_fields(shown: Shown) -> dict[str, object]:
    row, s, p = shown.row, shown.submission, shown.personalization
    sender = p.from_ if p is not None and p.from_ is not None else s.from_
    return {
        "id": shown.public_id,
        "status": SHOWN[row.state],
        "from_email": sender.email,
        "from_name": sender.name,
        "subject": s.subject if p is None or p.subject is None else p.subject,
        "to_emails": _emails(shown, "to"),
        "template_id": s.template_id,
        "batch_id": None if row.batch is None else ids.public_id("bat_", row.batch),
        "categories": list(s.categories),
        "created_at": iso(row.created_at),
        "delivered_at": _iso(row.delivered_at),
    }


def _emails(shown: Shown, kind: str) -> list[str]:
    return (
        [] if shown.personalization is None else [r.email for r in shown.personalization.recipients if r.kind == kind]
    )


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)


def _answer(found: ShownDetail) -> MessageAnswer:
    shown, detail = found.shown, found.detail
    row, s, p = shown.row, shown.submission, shown.personalization
    bodies = {c.type: c.value for c in s.contents}
    settled = row.state in (State.bounced, State.failed)
    return MessageAnswer(
        **_summary_fields(shown),  # type: ignore[arg-type]
        reply_to=s.reply_to[0].email if s.reply_to else None,
        cc_emails=_emails(shown, "cc"),
        bcc_emails=_emails(shown, "bcc"),
        html_content=bodies.get("text/html"),
        plain_content=bodies.get("text/plain"),
        headers={**s.headers, **(p.headers if p is not None else {})},
        custom_args={**s.custom_args, **(p.custom_args if p is not None else {})},
        tracking_settings=tracking_as_sent(s),
        attachments=[
            AttachmentNote(filename=a.filename, type=a.type, disposition=a.disposition, size=a.size)
            for a in s.attachments
        ],
        send_at=None if p is None or p.send_at_ms is None else p.send_at_ms // 1000,
        due_at=iso(row.due_at),
        departed_at=_iso(row.departed_at),
        data_at=_iso(detail.data_at),
        sent_at=_iso(row.sent_at),
        completed_at=_iso(row.settled_at),
        lateness_ms=None if row.departed_at is None else row.departed_at - row.due_at,
        attempts=detail.attempt,
        next_attempt_at=_iso(detail.next_attempt_at) if row.state in (State.deferred, State.uncertain) else None,
        may_already_be_delivered=row.exposed and row.state not in (State.sent, State.delivered, State.bounced),
        error_message=row.reason if settled or row.state in (State.deferred, State.uncertain, State.queued) else None,
        recipients=_recipients(found),
        events=_events(found),
    )


def _recipients(found: ShownDetail) -> list[RecipientOutcome]:
    given = found.shown.personalization
    return [
        RecipientOutcome(
            email=r.address if given is None else given.recipients[r.n].email,
            kind="to" if given is None else given.recipients[r.n].kind,
            status=r.state.name,
            smtp_response=r.reply,
            at=_iso(r.at),
        )
        for r in found.detail.recipients
    ]


def _events(found: ShownDetail) -> list[Event]:
    """The timeline; acceptance is read off the message itself."""
    row = found.shown.row
    base = ids.public_id("evt_", row.id)
    accepted = []
    if row.state is not State.sandbox:
        one = found.detail.recipients[0].address if len(found.detail.recipients) == 1 else None
        accepted.append(
            Event(
                event_id=f"{base}000",
                event_type="processed",
                timestamp=row.created_at // 1000,
                recipient_email=one,
                metadata={},
            )
        )
    return accepted + [
        Event(
            event_id=f"{base}{e.n:03d}",
            event_type=e.type,
            timestamp=e.at // 1000,
            recipient_email=e.recipient,
            metadata=_metadata(e.metadata) if e.metadata else {},
        )
        for e in found.detail.events
    ]
