"""/v1/messages: the list by cursor, the look-up by idempotency key, the detail with its timeline, cancel (Sendara's documentation).

A cursor is a position in the list, so the pages hang together while messages come, settle and change their status.
"""

import base64
from typing import Final

import msgspec

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.limits import Ceiling
from postclock.api.query import Query
from postclock.api.sendara.message_shapes import Canceled, MessageDetail, MessageList, detail, item
from postclock.api.sendara.statuses import WORDS, Status, conditions_of
from postclock.core import ids
from postclock.core.account import Scope
from postclock.core.clock import Clock
from postclock.core.errors import NotFound
from postclock.core.when import iso
from postclock.service.messages import Messages, Shown
from postclock.service.moments import moment_ms
from postclock.service.records import MessageFilter, mode_number

BASE: Final = "/v1/messages"
ONE: Final = BASE + "/{message_id}"
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100
MAX_SEARCH_DAYS: Final = 31
"""A search has no index to go by: it looks at each message of its time."""
DAY_MS: Final = 86_400_000
CHANNEL: Final = "email"
OTHER_CHANNELS: Final = frozenset({"webhook", "sms", "push", "voice"})
"""Channels that clients know and that nothing here is sent by: they find nothing."""
MAX_CURSOR: Final = 200  # characters; ours have about 90


class Position(msgspec.Struct, frozen=True):
    """The last message of a page; the next page begins below it."""

    created_at: str
    id: str


_position = msgspec.json.Decoder(Position).decode


def message_endpoints(messages: Messages, clock: Clock) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def listed(call: Call) -> Reply:
        query, now = call.query, clock.now_ms()
        key = query.text("idempotency_key")
        if key is not None:
            query.check()
            return Reply(detail(await messages.by_key(call.principal, "sendara", key), now))
        limit = _limit(query)
        wanted, before = _wanted(call, now)
        if wanted is None:
            return Reply(MessageList(messages=[], next_cursor=None))
        found = await messages.slice(call.principal, wanted, before, limit)
        last = found.messages[-1] if found.more else None
        return Reply(
            MessageList(
                messages=[item(m, now) for m in found.messages], next_cursor=None if last is None else cursor_of(last)
            )
        )

    async def one(call: Call) -> Reply:
        return Reply(detail(await messages.detail(call.principal, call.path("message_id")), clock.now_ms()))

    async def cancel(call: Call) -> Reply:
        public = call.path("message_id")
        await messages.unschedule(call.principal, public)
        return Reply(Canceled(id=public))

    read, cancels = (Scope.messages_read,), (Scope.mail_cancel,)
    return (
        Endpoint(
            method="GET", path=BASE, summary="List messages, newest first; with idempotency_key the one message made under it",
            answer=listed, scopes=read, ceiling=Ceiling.message_lists, gives=MessageList, gives_too=MessageDetail,
            refuses=(400, 404),
            parameters=(
                Parameter("channel", str, "Everything here is sent by email; other channels find nothing."),
                Parameter("status", Status, "Only messages shown with this status."),
                Parameter(
                    "search", str,
                    f"A part of a recipient's address or of the subject, among the messages of {MAX_SEARCH_DAYS} days at most: "
                    "up to `to`, else the newest.",
                ),
                Parameter("from", str, "RFC 3339: created at this time or later."),
                Parameter("to", str, "RFC 3339: created before this time."),
                Parameter("limit", str, f"1 to {MAX_LIMIT}, by default {DEFAULT_LIMIT}; more counts as {MAX_LIMIT}, anything else as the default."),
                Parameter("cursor", str, "The next_cursor of the page before."),
                Parameter("idempotency_key", str, "Answers the one message made under this key, as GET by id does."),
            ),
        ),
        Endpoint(method="GET", path=ONE, summary="One message with its timeline", answer=one, scopes=read, gives=MessageDetail, refuses=(404,)),
        Endpoint(
            method="POST", path=ONE + "/cancel", summary="Cancel a scheduled message before it is dispatched", answer=cancel, scopes=cancels,
            gives=Canceled, refuses=(404,),
        ),
    )  # fmt: skip


def cursor_of(shown: Shown) -> str:
    """The position after a message: base64url of JSON, without padding."""
    position = Position(created_at=iso(shown.row.created_at), id=shown.public_id)
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def _limit(query: Query) -> int:
    text = query.text("limit") or ""
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        return DEFAULT_LIMIT
    return MAX_LIMIT if len(text.lstrip("0")) > 3 else min(int(text), MAX_LIMIT)


def _wanted(call: Call, now: int) -> tuple[MessageFilter | None, str | None]:
    """The filters, None when they can find nothing, and the id below which to begin. Raises Invalid with every bad parameter."""
    query = call.query
    channel, word, search = query.text("channel"), query.text("status"), query.text("search")
    start, end = _moment(query, "from"), _moment(query, "to")
    if channel is not None and channel != CHANNEL and channel not in OTHER_CHANNELS:
        query.findings.add("channel", f"Must be {CHANNEL}.")
    status = None
    if word is not None:
        known = next((w for w in WORDS if w == word), None)
        if known is None:
            query.findings.add("status", f"Must be one of: {', '.join(WORDS)}.")
        else:
            status = conditions_of(known, now)
    if search is not None:
        latest = now if end is None else end
        if start is None:
            start = latest - MAX_SEARCH_DAYS * DAY_MS
        elif latest - start > MAX_SEARCH_DAYS * DAY_MS:
            query.findings.add(
                "search", f"Looks through {MAX_SEARCH_DAYS} days at most: bring from and to closer together."
            )
    before = _before(query)
    query.check()
    if channel in OTHER_CHANNELS:
        return None, None
    return MessageFilter(
        tenant=call.principal.tenant.id,
        mode=mode_number(call.principal.mode),
        status=status,
        search=search,
        start_at=start,
        end_at=end,
    ), before


def _moment(query: Query, name: str) -> int | None:
    text = query.text(name)
    if text is None:
        return None
    at = moment_ms(text.replace(" ", "+"))  # a "+" of an offset that was not encoded arrives as a space
    if at is None:
        query.findings.add(name, "Must be a time in RFC 3339, such as 2026-11-21T09:00:00Z.")
    return at


def _before(query: Query) -> str | None:
    """The id in the cursor."""
    text = query.text("cursor")
    if text is None:
        return None
    try:
        ident = _opened(text)
    except (NotFound, ValueError, msgspec.MsgspecError):
        query.findings.add("cursor", "Is not one that a list answered.")
        return None
    return ident


def _opened(cursor: str) -> str:
    """Raises ValueError, MsgspecError or NotFound when it is none of ours."""
    if len(cursor) > MAX_CURSOR:
        raise ValueError("too long")
    plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    ident = _position(plain).id
    ids.parse_message_id(ident)
    return ident
