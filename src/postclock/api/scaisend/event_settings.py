"""/v3/user/webhooks/event/settings: the one event webhook in SendGrid's model, and whether it is signed.

Its thirteen fields are SendGrid's, so that what was written for theirs can set ours. A blocked mail is a bounce there, so the switch
``bounce`` stands for both types.
"""

from typing import Final

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.scaisend.webhook_shapes import EventSettings, EventSettingsChange, SignedAnswer, SignedChange
from postclock.api.scaisend.webhooks import BASE, refuse_oauth
from postclock.core.account import Scope
from postclock.core.webhook import PromisedType
from postclock.service.records import Subscription
from postclock.service.webhooks import Webhooks

SETTINGS: Final = BASE + "/event/settings"
SIGNED: Final = SETTINGS + "/signed"

SWITCHES: Final[dict[str, tuple[PromisedType, ...]]] = {
    "group_resubscribe": ("group_resubscribe",),
    "delivered": ("delivered",),
    "group_unsubscribe": ("group_unsubscribe",),
    "spam_report": ("spam_report",),
    "bounce": ("bounce", "blocked"),
    "deferred": ("deferred",),
    "unsubscribe": ("unsubscribe",),
    "processed": ("processed",),
    "open": ("open",),
    "click": ("click",),
    "dropped": ("dropped",),
}
"""The switch for each type of event."""


def event_settings_endpoints(webhooks: Webhooks) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def show(call: Call) -> Reply:
        return Reply(_answer(await webhooks.event_settings(call.principal)))

    async def change(call: Call) -> Reply:
        asked = call.body(EventSettingsChange)
        refuse_oauth(
            oauth_client_id=asked.oauth_client_id,
            oauth_client_secret=asked.oauth_client_secret,
            oauth_token_url=asked.oauth_token_url,
        )
        switches = _switches(await webhooks.event_settings(call.principal))
        for name in switches:
            wish = getattr(asked, name)
            if wish is not None:
                switches[name] = wish
        types = [kind for name, on in switches.items() if on for kind in SWITCHES[name]]
        after = await webhooks.set_event_settings(call.principal, url=asked.url, types=types, active=asked.enabled)
        return Reply(_answer(after))

    async def key(call: Call) -> Reply:
        there = await webhooks.event_settings(call.principal)
        return Reply(SignedAnswer("" if there is None else there.public_key))

    async def sign(call: Call) -> Reply:
        enabled = call.body(SignedChange).enabled
        return Reply(SignedAnswer(await webhooks.sign_event_settings(call.principal, enabled=enabled)))

    read, write = (Scope.webhooks_read,), (Scope.webhooks_write,)
    return (
        Endpoint(method="GET", path=SETTINGS, summary="Read the event webhook", answer=show, scopes=read, gives=EventSettings),
        Endpoint(
            method="PATCH", path=SETTINGS, summary="Set the event webhook", answer=change, scopes=write,
            takes=EventSettingsChange, gives=EventSettings, refuses=(400,),
        ),
        Endpoint(method="GET", path=SIGNED, summary="The event webhook's public key", answer=key, scopes=read, gives=SignedAnswer),
        Endpoint(
            method="PATCH", path=SIGNED, summary="Sign the event webhook, or no longer", answer=sign, scopes=write,
            takes=SignedChange, gives=SignedAnswer, refuses=(400,),
        ),
    )  # fmt: skip


def _switches(webhook: Subscription | None) -> dict[str, bool]:
    types = frozenset() if webhook is None else frozenset(webhook.types)
    return {name: types.issuperset(kinds) for name, kinds in SWITCHES.items()}


def _answer(webhook: Subscription | None) -> EventSettings:
    return EventSettings(
        enabled=webhook is not None and webhook.active,
        url="" if webhook is None else webhook.url,
        **_switches(webhook),
    )
