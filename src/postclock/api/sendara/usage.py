"""/v1/usage and /v1/spend-caps: what a month has cost, and what it may cost (Sendara's documentation, usage and caps).

Money is whole micro-dollars.
"""

from typing import Any, Final

import msgspec

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.json_body import load
from postclock.core.account import Scope
from postclock.core.plan import UsageRow
from postclock.service.usage import CapChange, CapStatus, MonthUsage, Usage

USAGE: Final = "/v1/usage"
SPEND_CAPS: Final = "/v1/spend-caps"
CHANNELS: Final = ("email",)


class ChannelUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed off over one channel."""

    channel: str
    send_count: int
    cost_micros: int
    transactional_send_count: int
    transactional_cost_micros: int
    marketing_send_count: int
    marketing_cost_micros: int
    free_send_count: int


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC month. Sends are recipients, counted at hand-off; the free ones (to test recipients) stand beside the total.

    ``included`` is what the plan has in a month (null: no such number), the limits are those that hold now.
    """

    period: str
    total_send_count: int
    total_cost_micros: int
    transactional_send_count: int
    transactional_cost_micros: int
    marketing_send_count: int
    marketing_cost_micros: int
    free_send_count: int
    channels: list[ChannelUsage]
    included: int | None
    price_micros: int | None
    soft_limit_micros: int | None
    hard_limit_micros: int | None
    soft_limit_reached: bool
    hard_limit_reached: bool


class NewCap(msgspec.Struct, frozen=True, kw_only=True):
    """Limits for the account, or for one key. What is left out stays as it is, null clears."""

    key_id: str | None = None
    soft_limit_micros: int | None = None
    hard_limit_micros: int | None = None


class CapAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A cap, and what this UTC month has cost against it; ``key_id`` null: the account's own."""

    key_id: str | None
    soft_limit_micros: int | None
    hard_limit_micros: int | None
    cost_micros: int
    soft_limit_reached: bool
    hard_limit_reached: bool


class CapsAnswer(CapAnswer, frozen=True, kw_only=True):
    """The account's own cap, and those of its keys."""

    keys: list[CapAnswer]


def usage_endpoints(usage: Usage) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def month(call: Call) -> Reply:
        period = call.query.text("period")
        call.query.check()
        return Reply(_usage_answer(await usage.month(call.principal, period)))

    async def caps(call: Call) -> Reply:
        own, *keys = await usage.caps(call.principal)
        return Reply(CapsAnswer(**_cap_fields(own), keys=[CapAnswer(**_cap_fields(cap)) for cap in keys]))

    async def set_cap(call: Call) -> Reply:
        new = call.body(NewCap)
        # A field that is null says something else than one that is not there.
        there = load(call.raw) if call.raw.strip() else {}
        change = CapChange(
            soft=new.soft_limit_micros,
            hard=new.hard_limit_micros,
            sets=frozenset(word for word in ("soft", "hard") if f"{word}_limit_micros" in there),
        )
        return Reply(CapAnswer(**_cap_fields(await usage.set_cap(call.principal, new.key_id, change))))

    return (
        Endpoint(
            method="GET", path=USAGE, summary="What a month has counted and cost", answer=month,
            scopes=(Scope.stats_read,), gives=UsageAnswer, refuses=(400,),
            parameters=(Parameter("period", str, "A UTC month such as 2026-06, by default this one."),),
        ),
        Endpoint(
            method="GET", path=SPEND_CAPS, summary="Spend caps and what this month has cost", answer=caps,
            scopes=(Scope.stats_read,), gives=CapsAnswer,
        ),
        Endpoint(
            method="PUT", path=SPEND_CAPS, summary="Change the spend cap of the account or of a key", answer=set_cap,
            scopes=(Scope.admin_settings,), takes=NewCap, gives=CapAnswer, refuses=(400, 404),
        ),
    )  # fmt: skip


def _usage_answer(found: MonthUsage) -> UsageAnswer:
    plan, caps, cost = found.spending.plan, found.spending.caps, found.spent.cost_micros
    return UsageAnswer(
        period=found.period,
        total_send_count=sum(row.n for row in found.rows),
        total_cost_micros=sum(row.cost_micros for row in found.rows),
        **_by_type(found.rows),
        channels=[_channel(name, [row for row in found.rows if row.channel == name]) for name in CHANNELS],
        included=plan.included,
        price_micros=plan.price_micros,
        soft_limit_micros=caps.soft_micros,
        hard_limit_micros=caps.hard_micros,
        soft_limit_reached=caps.is_soft_reached(cost),
        hard_limit_reached=caps.is_hard_reached(cost),
    )


def _channel(name: str, rows: list[UsageRow]) -> ChannelUsage:
    return ChannelUsage(
        channel=name,
        send_count=sum(row.n for row in rows),
        cost_micros=sum(row.cost_micros for row in rows),
        **_by_type(rows),
    )


def _by_type(rows: list[UsageRow]) -> dict[str, int]:
    sums = {"free_send_count": sum(row.free for row in rows)}
    for kind in ("transactional", "marketing"):
        mine = [row for row in rows if row.type == kind]
        sums[f"{kind}_send_count"] = sum(row.n for row in mine)
        sums[f"{kind}_cost_micros"] = sum(row.cost_micros for row in mine)
    return sums


def _cap_fields(status: CapStatus) -> dict[str, Any]:
    return {
        "key_id": status.key,
        "soft_limit_micros": status.cap.soft_micros,
        "hard_limit_micros": status.cap.hard_micros,
        "cost_micros": status.cost_micros,
        "soft_limit_reached": status.cap.is_soft_reached(status.cost_micros),
        "hard_limit_reached": status.cap.is_hard_reached(status.cost_micros),
    }
