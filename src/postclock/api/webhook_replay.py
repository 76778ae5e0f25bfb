"""What both dialects say alike of a webhook's deliveries: how one stands, and which of them go out again.

Beside the dialects' own webhook files, which say the rest in their own words.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from postclock.api.endpoint import Call, Reply
from postclock.core.account import Dialect
from postclock.service.records import DeliveryState
from postclock.service.webhooks import Webhooks

MAX_DELIVERIES: Final = 500
Limit = Annotated[int, Meta(ge=1, le=MAX_DELIVERIES)]
DeliveryWord = Literal["pending", "delivered", "failed"]
DELIVERY_WORDS: Final[dict[DeliveryState, DeliveryWord]] = {
    DeliveryState.waiting: "pending",
    DeliveryState.delivered: "delivered",
    DeliveryState.failed: "failed",
}
Answer = Callable[[Call], Awaitable[Reply]]


class ReplayWish(msgspec.Struct, kw_only=True):
    """Which deliveries go out again: from the one to the other, both included; an absent end is the oldest or newest there is."""

    first: str | None = None
    last: str | None = None


class Replayed(msgspec.Struct, frozen=True):
    """How many wait again."""

    replayed: int


def replay(webhooks: Webhooks, dialect: Dialect) -> Answer:
    """Answers a call for many of one webhook's settled deliveries."""

    async def answer(call: Call) -> Reply:
        wish = call.body(ReplayWish)
        n = await webhooks.replay(call.principal, dialect, call.path("webhook_id"), first=wish.first, last=wish.last)
        return Reply(Replayed(n))

    return answer


def replay_one(webhooks: Webhooks, dialect: Dialect) -> Answer:
    """Answers a call for one delivery."""

    async def answer(call: Call) -> Reply:
        await webhooks.replay_one(call.principal, dialect, call.path("webhook_id"), call.path("delivery_id"))
        return Reply(Replayed(1))

    return answer
