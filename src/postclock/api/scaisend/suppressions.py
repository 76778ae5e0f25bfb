"""/v3/suppression and /v3/asm: the addresses that bounced, complained or unsubscribed, or were put there by hand.

Bounces and spam reports follow ScaiSend's documentation (suppressions), the global unsubscribes SendGrid's v3 API. /v1 shows the
same lists as one.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.query import Query
from postclock.api.scaisend.shapes import BounceAnswer, BounceList, NewBounce
from postclock.core.account import Scope
from postclock.core.errors import Invalid, NotFound
from postclock.core.suppression import Suppression, SuppressionList
from postclock.service.suppressions import Slice, Suppressions

BASE: Final = "/v3/suppression/bounces"
SPAM_REPORTS: Final = "/v3/suppression/spam_reports"
UNSUBSCRIBES: Final = "/v3/suppression/unsubscribes"
GLOBAL: Final = "/v3/asm/suppressions/global"
EMAIL: Final = "/{email:path}"
MAX_LIMIT: Final = 500
LATEST: Final = 253_402_300_799  # the last second of the year 9999
FURTHEST: Final = 2**53  # what a JSON number carries everywhere

_READ: Final = (Scope.suppressions_read,)
_WRITE: Final = (Scope.suppressions_write,)
_SLICE: Final = (
    Parameter("limit", Annotated[int, Meta(ge=1, le=MAX_LIMIT)], "1 to 500, by default 50."),
    Parameter("offset", Annotated[int, Meta(ge=0, le=FURTHEST)], "How many to leave out."),
    Parameter("start_time", Annotated[int, Meta(ge=0, le=LATEST)], "Unix seconds: not older."),
    Parameter("end_time", Annotated[int, Meta(ge=0, le=LATEST)], "Unix seconds: not newer."),
    Parameter("email", str, "Only this address."),
)


class NewSpamReport(msgspec.Struct, kw_only=True):
    """An address to be suppressed by hand."""

    email: str
    reason: str | None = None


class SpamReportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the list of spam reports; ``created`` in Unix seconds."""

    email: str
    created: int
    reason: str


class SpamReportList(msgspec.Struct, frozen=True):
    """A part of the list, newest first; ``total`` counts all that match."""

    spam_reports: list[SpamReportAnswer]
    total: int


class UnsubscribeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A global unsubscribe; ``created`` in Unix seconds."""

    email: str
    created: int


class RecipientEmails(msgspec.Struct, kw_only=True):
    """Addresses that unsubscribed from everything."""

    recipient_emails: list[str]


class RecipientEmail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The address when it unsubscribed from everything, else nothing."""

    recipient_email: str = ""


def bounce_endpoints(suppressions: Suppressions) -> tuple[Endpoint, ...]:
    """The endpoints of bounces over one service."""

    async def page(call: Call) -> Reply:
        found, total = await suppressions.page(call.principal, "bounces", _slice(call.query))
        return Reply(BounceList([_bounce(entry) for entry in found], total))

    async def one(call: Call) -> Reply:
        return Reply([_bounce(await suppressions.get(call.principal, "bounces", call.path("email")))])

    async def add(call: Call) -> Reply:
        new = call.body(NewBounce)
        entry = await suppressions.add(
            call.principal, "bounces", new.email, bounce_type=new.bounce_type or "hard", reason=new.reason or ""
        )
        return Reply(_bounce(entry))

    return (
        Endpoint(
            method="GET", path=BASE, summary="List bounces", answer=page, scopes=_READ, gives=BounceList, refuses=(400,), parameters=_SLICE,
        ),
        Endpoint(
            method="POST", path=BASE, summary="Suppress an address", answer=add, scopes=_WRITE, takes=NewBounce,
            gives=BounceAnswer, status=201, refuses=(400,),
        ),
        Endpoint(
            method="DELETE", path=BASE, summary="Remove every bounce", answer=_clear(suppressions, "bounces", "bounce"), scopes=_WRITE, status=204,
            refuses=(400,), parameters=(Parameter("delete_all", Literal[True], "Must be true."),),
        ),
        Endpoint(
            method="GET", path=BASE + EMAIL, summary="Read a bounce", answer=one, scopes=_READ, gives=list[BounceAnswer],
            refuses=(404,),
        ),
        Endpoint(
            method="DELETE", path=BASE + EMAIL, summary="Remove a bounce", answer=_remove(suppressions, "bounces"), scopes=_WRITE, status=204,
            refuses=(404,),
        ),
    )  # fmt: skip


def spam_report_endpoints(suppressions: Suppressions) -> tuple[Endpoint, ...]:
    """The endpoints of spam reports over one service: those of bounces again."""

    async def page(call: Call) -> Reply:
        found, total = await suppressions.page(call.principal, "spam_reports", _slice(call.query))
        return Reply(SpamReportList([_spam_report(entry) for entry in found], total))

    async def one(call: Call) -> Reply:
        return Reply([_spam_report(await suppressions.get(call.principal, "spam_reports", call.path("email")))])

    async def add(call: Call) -> Reply:
        new = call.body(NewSpamReport)
        entry = await suppressions.add(call.principal, "spam_reports", new.email, reason=new.reason or "")
        return Reply(_spam_report(entry))

    return (
        Endpoint(
            method="GET", path=SPAM_REPORTS, summary="List spam reports", answer=page, scopes=_READ, gives=SpamReportList, refuses=(400,),
            parameters=_SLICE,
        ),
        Endpoint(
            method="POST", path=SPAM_REPORTS, summary="Suppress an address that complained", answer=add, scopes=_WRITE, takes=NewSpamReport,
            gives=SpamReportAnswer, status=201, refuses=(400,),
        ),
        Endpoint(
            method="DELETE", path=SPAM_REPORTS, summary="Remove every spam report", answer=_clear(suppressions, "spam_reports", "spam report"),
            scopes=_WRITE, status=204, refuses=(400,), parameters=(Parameter("delete_all", Literal[True], "Must be true."),),
        ),
        Endpoint(
            method="GET", path=SPAM_REPORTS + EMAIL, summary="Read a spam report", answer=one, scopes=_READ, gives=list[SpamReportAnswer],
            refuses=(404,),
        ),
        Endpoint(
            method="DELETE", path=SPAM_REPORTS + EMAIL, summary="Remove a spam report", answer=_remove(suppressions, "spam_reports"),
            scopes=_WRITE, status=204, refuses=(404,),
        ),
    )  # fmt: skip


def unsubscribe_endpoints(suppressions: Suppressions) -> tuple[Endpoint, ...]:
    """The endpoints of global unsubscribes over one service, as SendGrid has them: an unknown address is read as an empty object."""

    async def page(call: Call) -> Reply:
        found, _ = await suppressions.page(call.principal, "unsubscribes", _slice(call.query))
        return Reply([UnsubscribeAnswer(email=entry.address, created=entry.created_at // 1000) for entry in found])

    async def one(call: Call) -> Reply:
        try:
            entry = await suppressions.get(call.principal, "unsubscribes", call.path("email"))
        except NotFound:
            return Reply(RecipientEmail())
        return Reply(RecipientEmail(recipient_email=entry.address))

    async def add(call: Call) -> Reply:
        given = call.body(RecipientEmails)
        await suppressions.add_all(call.principal, "unsubscribes", given.recipient_emails, "recipient_emails")
        return Reply(given)

    return (
        Endpoint(
            method="GET", path=UNSUBSCRIBES, summary="List global unsubscribes", answer=page, scopes=_READ, gives=list[UnsubscribeAnswer],
            refuses=(400,), parameters=_SLICE,
        ),
        Endpoint(
            method="POST", path=GLOBAL, summary="Send nothing more to these addresses", answer=add, scopes=_WRITE, takes=RecipientEmails,
            gives=RecipientEmails, status=201, refuses=(400,),
        ),
        Endpoint(
            method="GET", path=GLOBAL + EMAIL, summary="Whether an address unsubscribed from everything", answer=one, scopes=_READ,
            gives=RecipientEmail,
        ),
        Endpoint(
            method="DELETE", path=GLOBAL + EMAIL, summary="Remove a global unsubscribe", answer=_remove(suppressions, "unsubscribes"),
            scopes=_WRITE, status=204, refuses=(404,),
        ),
    )  # fmt: skip


def _slice(query: Query) -> Slice:
    """Which part is asked for; raises Invalid with every bad parameter."""
    limit, offset = query.integer("limit", 50, 1, MAX_LIMIT), query.integer("offset", 0, 0, FURTHEST)
    start, end = query.optional_integer("start_time", 0, LATEST), query.optional_integer("end_time", 0, LATEST)
    email = query.text("email")
    query.check()
    return Slice(
        limit=limit,
        offset=offset,
        start_at=None if start is None else start * 1000,
        end_at=None if end is None else end * 1000 + 999,
        email=email,
    )


def _remove(suppressions: Suppressions, kind: SuppressionList) -> Callable[[Call], Awaitable[Reply]]:
    async def remove(call: Call) -> Reply:
        await suppressions.remove(call.principal, kind, call.path("email"))
        return Reply()

    return remove


def _clear(suppressions: Suppressions, kind: SuppressionList, noun: str) -> Callable[[Call], Awaitable[Reply]]:
    async def clear(call: Call) -> Reply:
        everything = call.query.flag("delete_all")
        call.query.check()
        if not everything:
            raise Invalid(f"Say delete_all=true to remove every {noun}.", "delete_all")
        await suppressions.clear(call.principal, kind)
        return Reply()

    return clear


def _bounce(entry: Suppression) -> BounceAnswer:
    return BounceAnswer(
        email=entry.address,
        created=entry.created_at // 1000,
        reason=entry.reason,
        bounce_type=entry.bounce_type,
        status=entry.status,
    )


def _spam_report(entry: Suppression) -> SpamReportAnswer:
    return SpamReportAnswer(email=entry.address, created=entry.created_at // 1000, reason=entry.reason)
