"""/v3/suppression/bounces: the addresses that bounced, or were put there by hand (ScaiSend's documentation, suppressions)."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.scaisend.shapes import BounceAnswer, BounceList, NewBounce
from postclock.core.account import Scope
from postclock.core.errors import Invalid
from postclock.core.suppression import Suppression
from postclock.service.suppressions import Slice, Suppressions

BASE: Final = "/v3/suppression/bounces"
ONE: Final = BASE + "/{email:path}"
MAX_LIMIT: Final = 500
LATEST: Final = 253_402_300_799  # the last second of the year 9999
FURTHEST: Final = 2**53  # what a JSON number carries everywhere


def bounce_endpoints(suppressions: Suppressions) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def page(call: Call) -> Reply:
        query = call.query
        limit, offset = query.integer("limit", 50, 1, MAX_LIMIT), query.integer("offset", 0, 0, FURTHEST)
        start, end = query.optional_integer("start_time", 0, LATEST), query.optional_integer("end_time", 0, LATEST)
        email = query.text("email")
        query.check()
        wanted = Slice(
            limit=limit,
            offset=offset,
            start_at=None if start is None else start * 1000,
            end_at=None if end is None else end * 1000 + 999,
            email=email,
        )
        found, total = await suppressions.page(call.principal, "bounces", wanted)
        return Reply(BounceList([_answer(entry) for entry in found], total))

    async def one(call: Call) -> Reply:
        return Reply([_answer(await suppressions.get(call.principal, "bounces", call.path("email")))])

    async def add(call: Call) -> Reply:
        new = call.body(NewBounce)
        entry = await suppressions.add(
            call.principal, "bounces", new.email, bounce_type=new.bounce_type or "hard", reason=new.reason or ""
        )
        return Reply(_answer(entry))

    async def remove(call: Call) -> Reply:
        await suppressions.remove(call.principal, "bounces", call.path("email"))
        return Reply()

    async def clear(call: Call) -> Reply:
        everything = call.query.flag("delete_all")
        call.query.check()
        if not everything:
            raise Invalid("Say delete_all=true to remove every bounce.", "delete_all")
        await suppressions.clear(call.principal, "bounces")
        return Reply()

    read, write = (Scope.suppressions_read,), (Scope.suppressions_write,)
    return (
        Endpoint(
            method="GET", path=BASE, summary="List bounces", answer=page, scopes=read, gives=BounceList, refuses=(400,),
            parameters=(
                Parameter("limit", Annotated[int, Meta(ge=1, le=MAX_LIMIT)], "1 to 500, by default 50."),
                Parameter("offset", Annotated[int, Meta(ge=0, le=FURTHEST)], "How many to leave out."),
                Parameter("start_time", Annotated[int, Meta(ge=0, le=LATEST)], "Unix seconds: not older."),
                Parameter("end_time", Annotated[int, Meta(ge=0, le=LATEST)], "Unix seconds: not newer."),
                Parameter("email", str, "Only this address."),
            ),
        ),
        Endpoint(
            method="POST", path=BASE, summary="Suppress an address", answer=add, scopes=write, takes=NewBounce,
            gives=BounceAnswer, status=201, refuses=(400,),
        ),
        Endpoint(
            method="DELETE", path=BASE, summary="Remove every bounce", answer=clear, scopes=write, status=204,
            refuses=(400,), parameters=(Parameter("delete_all", Literal[True], "Must be true."),),
        ),
        Endpoint(
            method="GET", path=ONE, summary="Read a bounce", answer=one, scopes=read, gives=list[BounceAnswer],
            refuses=(404,),
        ),
        Endpoint(
            method="DELETE", path=ONE, summary="Remove a bounce", answer=remove, scopes=write, status=204, refuses=(404,),
        ),
    )  # fmt: skip


def _answer(entry: Suppression) -> BounceAnswer:
    return BounceAnswer(
        email=entry.address,
        created=entry.created_at // 1000,
        reason=entry.reason,
        bounce_type=entry.bounce_type,
        status=entry.status,
    )
