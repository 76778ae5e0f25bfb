"""/v1/suppressions: one list over bounces, complaints and unsubscribes (Sendara's documentation, suppressions).

The lists are those of /v3. An address that is on several is shown once, by its newest entry, and removed from all.
"""

import base64
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.query import Query
from postclock.core.account import Scope
from postclock.core.errors import FieldError, Invalid
from postclock.core.suppression import Suppression, SuppressionList
from postclock.core.when import iso
from postclock.service.suppressions import Suppressions

BASE: Final = "/v1/suppressions"
CHANNEL: Final = "email"
MAX_LIMIT: Final = 1_000
"""Clients that know no cursor see so many at once."""
MAX_CURSOR: Final = 600  # characters; the longest address makes about 450 of them

LIST_OF: Final[dict[str, SuppressionList]] = {"bounce": "bounces", "complaint": "spam_reports"}
"""Where an entry belongs by its reason; every other reason is kept with an unsubscribe."""
REASON_OF: Final[dict[SuppressionList, str]] = {
    "bounces": "bounce",
    "spam_reports": "complaint",
    "unsubscribes": "unsubscribe",
}
"""The reason that is shown of each list; an unsubscribe has its own where one was given."""


class SuppressionItem(msgspec.Struct, frozen=True, kw_only=True):
    """One suppressed recipient."""

    channel: Literal["email"]
    recipient: str
    state: Literal["suppressed"]
    reason: str
    updated_at: str


class SuppressionPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list; ``next_cursor`` is null at its end."""

    suppressions: list[SuppressionItem]
    next_cursor: str | None


class NewSuppression(msgspec.Struct, kw_only=True):
    """The body of an entry added by hand."""

    channel: Literal["email"]
    recipient: str
    reason: str | None = None


class Position(msgspec.Struct, frozen=True):
    """The last entry of a page: when it was made (UTC milliseconds), and whose it is."""

    at: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    recipient: str


_position = msgspec.json.Decoder(Position).decode


def suppression_endpoints(suppressions: Suppressions) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def listed(call: Call) -> Reply:
        query = call.query
        _channel(query, required=False)
        limit = query.integer("limit", MAX_LIMIT, 1, MAX_LIMIT)
        before = _before(query)
        query.check()
        found = await suppressions.anywhere(call.principal, before, limit + 1)
        shown = found[:limit]
        return Reply(
            SuppressionPage(
                suppressions=[_item(entry) for entry in shown],
                next_cursor=_cursor(shown[-1]) if len(found) > limit else None,
            )
        )

    async def add(call: Call) -> Reply:
        new = call.body(NewSuppression)
        reason = (new.reason or "").strip()
        kind = LIST_OF.get(reason, "unsubscribes")
        try:
            entry = await suppressions.add(
                call.principal,
                kind,
                new.recipient,
                bounce_type="hard" if kind == "bounces" else None,
                reason=reason if kind == "unsubscribes" else "",
            )
        except Invalid as invalid:
            raise Invalid([_renamed(error) for error in invalid.errors]) from invalid
        return Reply(_item(entry))

    async def remove(call: Call) -> Reply:
        query = call.query
        _channel(query, required=True)
        recipient = query.text("recipient")
        if recipient is None:
            query.findings.add_unless_known("recipient", "Is required.")
        query.check()
        assert recipient is not None
        await suppressions.remove_anywhere(call.principal, recipient)
        return Reply()

    read, write = (Scope.suppressions_read,), (Scope.suppressions_write,)
    channel = Parameter("channel", Literal["email"], "The only one there is.")
    return (
        Endpoint(
            method="GET", path=BASE, summary="List suppressed recipients, newest first", answer=listed, scopes=read,
            gives=SuppressionPage, refuses=(400,),
            parameters=(
                channel,
                Parameter("limit", Annotated[int, Meta(ge=1, le=MAX_LIMIT)], f"1 to {MAX_LIMIT}, which is the default."),
                Parameter("cursor", str, "The next_cursor of the page before."),
            ),
        ),
        Endpoint(
            method="POST", path=BASE, summary="Suppress a recipient", answer=add, scopes=write, takes=NewSuppression,
            gives=SuppressionItem, status=201, refuses=(400,),
        ),
        Endpoint(
            method="DELETE", path=BASE, summary="Let mail go to a recipient again", answer=remove, scopes=write,
            status=204, refuses=(400, 404), parameters=(channel, Parameter("recipient", str, "Whose entries go.")),
        ),
    )  # fmt: skip


def _channel(query: Query, *, required: bool) -> None:
    if query.text("channel") not in ((CHANNEL,) if required else (CHANNEL, None)):
        query.findings.add("channel", f"Must be {CHANNEL}.")


def _renamed(error: FieldError) -> FieldError:
    return FieldError(error.message, "recipient" if error.field == "email" else error.field)


def _item(entry: Suppression) -> SuppressionItem:
    own = entry.reason if entry.list == "unsubscribes" else ""
    return SuppressionItem(
        channel=CHANNEL,
        recipient=entry.address,
        state="suppressed",
        reason=own or REASON_OF[entry.list],
        updated_at=iso(entry.created_at),
    )


def _cursor(entry: Suppression) -> str:
    position = Position(at=entry.created_at, recipient=entry.address)
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def _before(query: Query) -> tuple[int, str] | None:
    text = query.text("cursor")
    if text is None:
        return None
    try:
        if len(text) > MAX_CURSOR:
            raise ValueError("too long")
        position = _position(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if "\x00" in position.recipient:
            raise ValueError("U+0000")
        position.recipient.encode()
    except (ValueError, msgspec.MsgspecError):
        query.findings.add("cursor", "Is not one that a list answered.")
        return None
    return position.at, position.recipient
