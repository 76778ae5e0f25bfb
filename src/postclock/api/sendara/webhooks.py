"""/v1/webhooks: subscriptions to events, their deliveries, replay, and secrets rotated with an overlap (Sendara's documentation, webhooks)."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.findings import Findings
from postclock.api.limits import Ceiling
from postclock.api.sendara.words import (
    EVENT_WORDS,
    EventWord,
    account_id,
    event_word,
    types_of_all,
    types_of_word,
)
from postclock.api.webhook_replay import (
    DELIVERY_WORDS,
    MAX_DELIVERIES,
    DeliveryWord,
    Limit,
    Replayed,
    ReplayWish,
    replay,
    replay_one,
)
from postclock.core.account import Dialect, Principal, Scope
from postclock.core.message import Mode
from postclock.core.webhook import EventType, Secrets
from postclock.core.when import iso
from postclock.service.records import DeliveryRow, Subscription
from postclock.service.webhooks import MAX_WEBHOOKS, WebhookMade, Webhooks, public_delivery_id, public_webhook_id

BASE: Final = "/v1/webhooks"
ONE: Final = BASE + "/{webhook_id}"
MAX_NAMES: Final = 100
"""Names in one call: far above those there are."""
_US: Final[Dialect] = "sendara"
Names = Annotated[list[str], Meta(max_length=MAX_NAMES)]


class NewWebhook(msgspec.Struct, kw_only=True):
    """A subscription to be made. ``event_types`` absent or empty: all of them."""

    endpoint_url: str
    event_types: Names | None = None


class WebhookChange(msgspec.Struct, kw_only=True):
    """What changes; absent stays. ``is_active`` false pauses: what happens meanwhile is not told later."""

    endpoint_url: str | None = None
    event_types: Names | None = None
    is_active: bool | None = None


class WebhookSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription in a list, without its secret. ``event_types`` empty: all."""

    id: str
    account_id: str
    endpoint_url: str
    event_types: list[EventWord]
    is_active: bool
    created_at: str
    failure_count: int
    disabled_at: str | None


class WebhookAnswer(WebhookSummary, frozen=True, kw_only=True):
    """A subscription with its secret. The previous one is there while it signs as well."""

    signing_secret: str
    previous_signing_secret: str | None
    previous_signing_secret_expires_at: str | None


class WebhookList(msgspec.Struct, frozen=True):
    """All subscriptions, newest first."""

    webhooks: list[WebhookSummary]


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one subscriber, or arrived. ``reason``: what went wrong last."""

    id: str
    subscription_id: str
    event_id: str
    event_type: EventWord
    status: DeliveryWord
    attempt_count: int
    response_status: int | None
    reason: str
    created_at: str


class DeliveryList(msgspec.Struct, frozen=True):
    """The newest deliveries."""

    deliveries: list[DeliveryAnswer]


def webhook_endpoints(webhooks: Webhooks) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def listed(call: Call) -> Reply:
        found, _ = await webhooks.page(call.principal, _US, limit=MAX_WEBHOOKS)
        return Reply(WebhookList([WebhookSummary(**_fields(each)) for each in found]))

    async def create(call: Call) -> Reply:
        new = call.body(NewWebhook)
        types = _types(new.event_types or (), call.principal.mode)
        return Reply(
            _made(await webhooks.add(call.principal, _US, field="endpoint_url", url=new.endpoint_url, types=types))
        )

    async def one(call: Call) -> Reply:
        found = await webhooks.get(call.principal, _US, call.path("webhook_id"))
        return Reply(_answer(found, webhooks.secrets(found)))

    async def change(call: Call) -> Reply:
        asked = call.body(WebhookChange)
        changed = await webhooks.change(
            call.principal,
            _US,
            call.path("webhook_id"),
            field="endpoint_url",
            url=asked.endpoint_url,
            types=None if asked.event_types is None else _types(asked.event_types, call.principal.mode),
            active=asked.is_active,
        )
        return Reply(_answer(changed, webhooks.secrets(changed)))

    async def remove(call: Call) -> Reply:
        await webhooks.remove(call.principal, _US, call.path("webhook_id"))
        return Reply()

    async def rotate(call: Call) -> Reply:
        return Reply(_made(await webhooks.rotate(call.principal, _US, call.path("webhook_id"), overlap=True)))

    async def deliveries(call: Call) -> Reply:
        limit = call.query.integer("limit", 50, 1, MAX_DELIVERIES)
        call.query.check()
        found = await webhooks.deliveries(call.principal, _US, call.path("webhook_id"), limit=limit)
        return Reply(DeliveryList([_delivery(each, call.principal) for each in found]))

    read, write = (Scope.webhooks_read,), (Scope.webhooks_write,)
    return (
        Endpoint(method="GET", path=BASE, summary="List webhooks", answer=listed, scopes=read, gives=WebhookList),
        Endpoint(
            method="POST", path=BASE, summary="Make a webhook", answer=create, scopes=write, ceiling=Ceiling.new_webhooks,
            takes=NewWebhook, gives=WebhookAnswer, status=201, refuses=(400,),
        ),
        Endpoint(
            method="GET", path=ONE, summary="Read a webhook, with its secret", answer=one, scopes=read, gives=WebhookAnswer,
            refuses=(404,),
        ),
        Endpoint(
            method="PUT", path=ONE, summary="Change a webhook, pause it or start it again", answer=change, scopes=write,
            takes=WebhookChange, gives=WebhookAnswer, refuses=(400, 404),
        ),
        Endpoint(
            method="DELETE", path=ONE, summary="Remove a webhook and its deliveries", answer=remove, scopes=write, status=204,
            refuses=(404,),
        ),
        Endpoint(
            method="POST", path=ONE + "/rotate-secret", summary="Give a webhook a new secret; the old one signs too for a day",
            answer=rotate, scopes=write, gives=WebhookAnswer, refuses=(404,),
        ),
        Endpoint(
            method="GET", path=ONE + "/deliveries", summary="The newest deliveries of a webhook", answer=deliveries, scopes=read,
            gives=DeliveryList, refuses=(400, 404),
            parameters=(Parameter("limit", Limit, "1 to 500, by default 50."),),
        ),
        Endpoint(
            method="POST", path=ONE + "/replay", summary="Post settled deliveries of a webhook again", answer=replay(webhooks, _US), scopes=write,
            takes=ReplayWish, gives=Replayed, refuses=(400, 404),
        ),
        Endpoint(
            method="POST", path=ONE + "/deliveries/{delivery_id}/replay", summary="Post one delivery again", answer=replay_one(webhooks, _US),
            scopes=write, gives=Replayed, refuses=(404,),
        ),
    )  # fmt: skip


def _types(names: Sequence[str], mode: Mode) -> frozenset[EventType]:
    """The timeline's types for /v1's words; none at all means all. Raises Invalid."""
    findings = Findings()
    types: frozenset[EventType] = frozenset() if names else types_of_all()
    for n, name in enumerate(names):
        word = next((w for w in EVENT_WORDS if w == name), None)
        if word is None:
            findings.add(f"event_types.{n}", f"Must be one of: {', '.join(EVENT_WORDS)}.")
        else:
            types |= types_of_word(word, mode)
    if findings:
        raise findings.invalid()
    return types


def _names(webhook: Subscription) -> list[EventWord]:
    """Its types in /v1's words; none when they are all there are."""
    types = set(webhook.types)
    if types_of_all() <= types:
        return []
    mode = _mode(webhook)
    words = [word for word in EVENT_WORDS if types_of_word(word, mode) <= types]
    # For live mail the one word includes the other.
    return [w for w in words if w != "accepted"] if mode == "live" and "queued" in words else words


def _mode(webhook: Subscription) -> Mode:
    return "test" if webhook.mode else "live"


def _fields(webhook: Subscription) -> dict[str, Any]:
    return {
        "id": public_webhook_id(webhook.id),
        "account_id": account_id(webhook.tenant),
        "endpoint_url": webhook.url,
        "event_types": _names(webhook),
        "is_active": webhook.active,
        "created_at": iso(webhook.created_at),
        "failure_count": webhook.health.failures,
        "disabled_at": None if webhook.health.disabled_at is None else iso(webhook.health.disabled_at),
    }


def _made(made: WebhookMade) -> WebhookAnswer:
    return _answer(made.webhook, made.secrets)


def _answer(webhook: Subscription, secrets: Secrets) -> WebhookAnswer:
    until = None if secrets.previous is None else webhook.previous_until
    return WebhookAnswer(
        **_fields(webhook),
        signing_secret=secrets.secret or "",
        previous_signing_secret=secrets.previous,
        previous_signing_secret_expires_at=None if until is None else iso(until),
    )


def _delivery(row: DeliveryRow, who: Principal) -> DeliveryAnswer:
    word = event_word(msgspec.convert(row.type, EventType), who.mode)
    assert word is not None, row.type
    return DeliveryAnswer(
        id=public_delivery_id(row.id),
        subscription_id=public_webhook_id(row.webhook),
        event_id=row.event_id,
        event_type=word,
        status=DELIVERY_WORDS[row.state],
        attempt_count=row.attempts,
        response_status=row.response_status,
        reason=row.reason,
        created_at=iso(row.at),
    )
