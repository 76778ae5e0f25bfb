"""SendGrid's event webhook: thirteen fields, and a key to check signatures with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sendgrid.helpers.eventwebhook import EventWebhook

from postclock.api.scaisend.event_settings import SETTINGS, SIGNED
from tests.api.webhook_ground import WebhookGround, webhook_ground

URL = "https://hooks.example.com/in"
SWITCHES = [
    "group_resubscribe", "delivered", "group_unsubscribe", "spam_report", "bounce", "deferred", "unsubscribe", "processed", "open",
    "click", "dropped",
]  # fmt: skip
OFF = {"enabled": False, "url": "", **dict.fromkeys(SWITCHES, False)}


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[WebhookGround]:
    """The API over a fresh store."""
    async with webhook_ground(tmp_path) as running:
        yield running


async def types_told(ground: WebhookGround) -> list[str]:
    there = await ground.api.store.outbox.event_settings(ground.api.tenant.id, 0)
    assert there is not None
    return list(there.types)


async def test_before_it_is_set_everything_is_off(ground: WebhookGround) -> None:
    """Thirteen fields are there from the beginning; reading them makes nothing."""
    assert len(OFF) == 13
    headers = await ground.api.headers()
    assert await ground.call("GET", SETTINGS, headers) == OFF
    assert await ground.call("GET", SIGNED, headers) == {"public_key": ""}
    assert await ground.api.store.outbox.event_settings(ground.api.tenant.id, 0) is None


async def test_what_is_set_stays_until_it_is_set_again(ground: WebhookGround) -> None:
    """A PATCH changes the fields it has."""
    headers = await ground.api.headers()
    first = await ground.call(
        "PATCH", SETTINGS, headers, {"enabled": True, "url": URL, "delivered": True, "bounce": True}
    )
    assert first == {**OFF, "enabled": True, "url": URL, "delivered": True, "bounce": True}
    assert await types_told(ground) == ["delivered", "bounce", "blocked"]
    second = await ground.call("PATCH", SETTINGS, headers, {"bounce": False, "open": True})
    assert second == {**first, "bounce": False, "open": True}
    assert await types_told(ground) == ["delivered", "open"]
    assert await ground.call("GET", SETTINGS, headers) == second
    assert (await ground.call("PATCH", SETTINGS, headers, {"enabled": False}))["enabled"] is False


@pytest.mark.parametrize("switch", SWITCHES)
async def test_each_switch_tells_its_events(ground: WebhookGround, switch: str) -> None:
    """Alone it is on alone; and with none on, nothing is told rather than everything."""
    headers = await ground.api.headers()
    await ground.call("PATCH", SETTINGS, headers, {"enabled": True, "url": URL, switch: True})
    assert (await types_told(ground))[0] == switch
    await ground.call("PATCH", SETTINGS, headers, {switch: False})
    assert await types_told(ground) == ["nothing"]
    assert await ground.call("GET", SETTINGS, headers) == {**OFF, "enabled": True, "url": URL}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"enabled": True}, ["url"]),
        ({"enabled": True, "url": ""}, ["url"]),
        ({"url": "http://example.com"}, ["url"]),
        ({"url": "https://192.168.0.1/"}, ["url"]),
        ({"delivered": "yes"}, ["delivered"]),
        ({"oauth_client_id": "a", "oauth_token_url": "https://b"}, ["oauth_client_id", "oauth_token_url"]),
    ],
)
async def test_a_bad_setting_is_refused_by_field(
    ground: WebhookGround, body: dict[str, object], fields: list[str]
) -> None:
    """And nothing is changed."""
    headers = await ground.api.headers()
    refused = await ground.call("PATCH", SETTINGS, headers, body, code=400)
    assert [e["loc"][0] for e in refused["detail"]] == fields
    assert await ground.call("GET", SETTINGS, headers) == OFF


async def test_it_is_signed_on_demand(ground: WebhookGround) -> None:
    """On, it has a key that SendGrid's verifier loads; on again, the same one; off and on, a new one. Only the public half is told."""
    headers = await ground.api.headers()
    first = (await ground.call("PATCH", SIGNED, headers, {"enabled": True}))["public_key"]
    assert EventWebhook(first).public_key is not None
    assert (await ground.call("PATCH", SIGNED, headers, {"enabled": True}))["public_key"] == first
    assert (await ground.call("GET", SIGNED, headers))["public_key"] == first
    stored = await ground.api.store.outbox.event_settings(ground.api.tenant.id, 0)
    assert stored is not None
    assert stored.active is False, "a key alone starts nothing"
    assert (await ground.call("PATCH", SIGNED, headers, {"enabled": False})) == {"public_key": ""}
    assert (await ground.call("PATCH", SIGNED, headers, {"enabled": True}))["public_key"] not in ("", first)
    await ground.call("PATCH", SIGNED, headers, {}, code=400)


async def test_the_key_survives_a_change_of_the_settings(ground: WebhookGround) -> None:
    """Whichever is set first."""
    headers = await ground.api.headers()
    key = await ground.call("PATCH", SIGNED, headers, {"enabled": True})
    await ground.call("PATCH", SETTINGS, headers, {"enabled": True, "url": URL, "open": True})
    assert await ground.call("GET", SIGNED, headers) == key
    assert (await ground.call("GET", SETTINGS, headers))["open"] is True


async def test_it_is_no_endpoint_and_each_mode_has_its_own(ground: WebhookGround) -> None:
    """The list of endpoints does not show it; another tenant and the other mode do not see it."""
    headers = await ground.api.headers()
    await ground.call("PATCH", SETTINGS, headers, {"enabled": True, "url": URL})
    assert (await ground.call("GET", "/v3/user/webhooks", headers))["total"] == 0
    other = await ground.api.tenants.create("other")
    for stranger in (await ground.api.headers(tenant=other), await ground.api.headers(environment="test")):
        assert await ground.call("GET", SETTINGS, stranger) == OFF
