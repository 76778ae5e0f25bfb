"""/v3/user/webhooks: endpoints that are told of events, their deliveries and replay (ScaiSend's documentation, webhooks)."""

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.findings import Findings
from postclock.api.limits import Ceiling
from postclock.api.scaisend.webhook_shapes import (
    DeliveryAnswer,
    DeliveryList,
    EventName,
    NewWebhook,
    WebhookAnswer,
    WebhookChange,
    WebhookList,
    WebhookMade,
)
from postclock.api.webhook_replay import (
    DELIVERY_WORDS,
    MAX_DELIVERIES,
    Limit,
    Replayed,
    ReplayWish,
    replay,
    replay_one,
)
from postclock.core.account import Dialect, Scope
from postclock.core.ids import public_message_id
from postclock.core.webhook import PROMISED, TIMELINE
from postclock.core.when import iso
from postclock.service import webhooks as service
from postclock.service.records import DeliveryRow, Subscription
from postclock.service.webhooks import Webhooks, public_delivery_id, public_webhook_id

BASE: Final = "/v3/user/webhooks"
ONE: Final = BASE + "/{webhook_id}"
MAX_PAGE: Final = 2**31
NO_OAUTH: Final = "OAuth is not supported: check the signature of what is posted instead."
_US: Final[Dialect] = "scaisend"
PageSize = Annotated[int, Meta(ge=1, le=100)]


def webhook_endpoints(webhooks: Webhooks) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def page(call: Call) -> Reply:
        query = call.query
        number, size = query.integer("page", 1, 1, MAX_PAGE), query.integer("page_size", 20, 1, 100)
        active = query.flag("is_active") if query.text("is_active") else None
        query.check()
        found, total = await webhooks.page(call.principal, _US, limit=size, offset=(number - 1) * size, active=active)
        return Reply(WebhookList([_answer(each) for each in found], total))

    async def create(call: Call) -> Reply:
        new = call.body(NewWebhook)
        refuse_oauth(oauth_client_id=new.oauth_client_id, oauth_client_secret=new.oauth_client_secret)
        types = PROMISED if new.enabled_events is None else _types(new.enabled_events)
        return Reply(_made(await webhooks.add(call.principal, _US, field="url", url=new.url, types=types)))

    async def one(call: Call) -> Reply:
        return Reply(_answer(await webhooks.get(call.principal, _US, call.path("webhook_id"))))

    async def change(call: Call) -> Reply:
        asked = call.body(WebhookChange)
        refuse_oauth(oauth_client_id=asked.oauth_client_id, oauth_client_secret=asked.oauth_client_secret)
        changed = await webhooks.change(
            call.principal,
            _US,
            call.path("webhook_id"),
            field="url",
            url=asked.url,
            types=None if asked.enabled_events is None else _types(asked.enabled_events),
            active=asked.enabled,
        )
        return Reply(_answer(changed))

    async def remove(call: Call) -> Reply:
        await webhooks.remove(call.principal, _US, call.path("webhook_id"))
        return Reply()

    async def rotate(call: Call) -> Reply:
        return Reply(_made(await webhooks.rotate(call.principal, _US, call.path("webhook_id"), overlap=False)))

    async def deliveries(call: Call) -> Reply:
        limit = call.query.integer("limit", 50, 1, MAX_DELIVERIES)
        call.query.check()
        found = await webhooks.deliveries(call.principal, _US, call.path("webhook_id"), limit=limit)
        return Reply(DeliveryList([_delivery(each) for each in found]))

    read, write = (Scope.webhooks_read,), (Scope.webhooks_write,)
    return (
        Endpoint(
            method="GET", path=BASE, summary="List webhooks", answer=page, scopes=read, gives=WebhookList, refuses=(400,),
            parameters=(
                Parameter("page", int, "From 1."),
                Parameter("page_size", PageSize, "1 to 100, by default 20."),
                Parameter("is_active", bool, "Only those that are enabled, or only those that are not."),
            ),
        ),
        Endpoint(
            method="POST", path=BASE, summary="Make a webhook; its secret is shown this once", answer=create, scopes=write,
            ceiling=Ceiling.new_webhooks, takes=NewWebhook, gives=WebhookMade, status=201, refuses=(400,),
        ),
        Endpoint(method="GET", path=ONE, summary="Read a webhook", answer=one, scopes=read, gives=WebhookAnswer, refuses=(404,)),
        Endpoint(
            method="PATCH", path=ONE, summary="Change a webhook, or enable it again", answer=change, scopes=write,
            takes=WebhookChange, gives=WebhookAnswer, refuses=(400, 404),
        ),
        Endpoint(
            method="DELETE", path=ONE, summary="Remove a webhook and its deliveries", answer=remove, scopes=write, status=204,
            refuses=(404,),
        ),
        Endpoint(
            method="POST", path=ONE + "/signing_secret", summary="Give a webhook a new secret; the old one is dead at once",
            answer=rotate, scopes=write, gives=WebhookMade, refuses=(404,),
        ),
        Endpoint(
            method="GET", path=ONE + "/deliveries", summary="The newest deliveries of a webhook", answer=deliveries, scopes=read,
            gives=DeliveryList, refuses=(400, 404), parameters=(Parameter("limit", Limit, "1 to 500, by default 50."),),
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


def refuse_oauth(**fields: str | None) -> None:
    """Raises Invalid naming each field of OAuth that was given: posts would go out without the token that was asked for."""
    findings = Findings()
    for name, value in fields.items():
        if value:
            findings.add(name, NO_OAUTH)
    if findings:
        raise findings.invalid()


def _types(names: Sequence[str]) -> Sequence[str]:
    """The timeline's types for names as they are given. Raises Invalid."""
    findings = Findings()
    for n, name in enumerate(names):
        if name != "*" and name not in TIMELINE:
            findings.add(f"enabled_events.{n}", f"Must be * or one of: {', '.join(TIMELINE)}.")
    if not names:
        findings.add("enabled_events", 'Must name at least one event; ["*"] names all.')
    if findings:
        raise findings.invalid()
    return (*PROMISED, *names) if "*" in names else names


def _names(webhook: Subscription) -> list[EventName]:
    """How its types are shown: ScaiSend's twelve together are ``*``."""
    if not set(PROMISED) <= set(webhook.types):
        return [kind for kind in TIMELINE if kind in webhook.types]
    return ["*", *(kind for kind in TIMELINE if kind in webhook.types and kind not in PROMISED)]


def _answer(webhook: Subscription) -> WebhookAnswer:
    health = webhook.health
    return WebhookAnswer(
        id=public_webhook_id(webhook.id),
        url=webhook.url,
        enabled_events=_names(webhook),
        enabled=webhook.active,
        created_at=iso(webhook.created_at),
        last_success_at=_iso(health.last_success_at),
        last_failure_at=_iso(health.last_failure_at),
        failure_count=health.failures,
        disabled_at=_iso(health.disabled_at),
    )


def _made(made: service.WebhookMade) -> WebhookMade:
    webhook = made.webhook
    assert made.secrets.secret is not None
    return WebhookMade(
        id=public_webhook_id(webhook.id),
        url=webhook.url,
        enabled_events=_names(webhook),
        signing_secret=made.secrets.secret,
        enabled=webhook.active,
        created_at=iso(webhook.created_at),
    )


def _delivery(row: DeliveryRow) -> DeliveryAnswer:
    return DeliveryAnswer(
        id=public_delivery_id(row.id),
        webhook_id=public_webhook_id(row.webhook),
        event_id=row.event_id,
        event_type=row.type,
        message_id=public_message_id(row.week, row.message),
        status=DELIVERY_WORDS[row.state],
        attempts=row.attempts,
        response_status=row.response_status,
        reason=row.reason,
        created_at=iso(row.at),
        settled_at=_iso(row.settled_at),
    )


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
