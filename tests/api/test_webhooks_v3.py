"""/v3/user/webhooks: made, listed, changed, rotated, removed; each refusal by its field."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postclock.core.webhook import FURTHER, PROMISED
from postclock.service.webhooks import MAX_WEBHOOKS
from tests.api.webhook_ground import SEAL, WebhookGround, webhook_ground

BASE = "/v3/user/webhooks"
URL = "https://hooks.example.com/in"
Json = dict[str, Any]


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[WebhookGround]:
    """The API over a fresh store."""
    async with webhook_ground(tmp_path) as running:
        yield running


async def made(ground: WebhookGround, headers: dict[str, str], **fields: Any) -> Json:
    """A new webhook; one is made each minute, for only ten may be."""
    ground.api.clock.move(61)
    return await ground.call("POST", BASE, headers, {"url": URL, **fields}, code=201)


async def test_a_webhook_is_made_and_its_secret_is_shown_once(ground: WebhookGround) -> None:
    """201 with the secret; no read shows it again, and the store holds it sealed."""
    headers = await ground.api.headers()
    new = await made(ground, headers, enabled_events=["*"])
    assert re.fullmatch(r"whsec_[0-9a-f]{64}", new["signing_secret"])
    assert re.fullmatch(r"wh_[0-9A-Z]{13}", new["id"])
    assert new == {
        "id": new["id"], "url": URL, "enabled_events": ["*"], "signing_secret": new["signing_secret"], "enabled": True,
        "created_at": "2027-01-15T08:01:01Z",
    }  # fmt: skip
    read = await ground.call("GET", f"{BASE}/{new['id']}", headers)
    assert read == {
        "id": new["id"], "url": URL, "enabled_events": ["*"], "enabled": True, "created_at": new["created_at"],
        "last_success_at": None, "last_failure_at": None, "failure_count": 0, "disabled_at": None,
    }  # fmt: skip
    [stored], _ = await ground.api.store.outbox.page(ground.api.tenant.id, 0, "scaisend", limit=1)
    assert stored.secret is not None
    assert new["signing_secret"].encode() not in stored.secret
    assert SEAL.open("webhook", stored.secret).decode() == new["signing_secret"]


async def test_the_twelve_are_told_unless_others_are_named(ground: WebhookGround) -> None:
    """``*`` and nothing at all stand for ScaiSend's twelve; a further type is told when it is named."""
    headers = await ground.api.headers()
    wanted = [None, ["*"], ["bounce", "delivered", "bounce"], ["*", "sent"], [*PROMISED], list(FURTHER)]
    shown = [(await made(ground, headers, enabled_events=names))["enabled_events"] for names in wanted]
    assert shown == [["*"], ["*"], ["delivered", "bounce"], ["*", "sent"], ["*"], list(FURTHER)]
    stored, _ = await ground.api.store.outbox.page(ground.api.tenant.id, 0, "scaisend", limit=10)
    assert [set(each.types) for each in reversed(stored)] == [
        set(PROMISED), set(PROMISED), {"delivered", "bounce"}, {*PROMISED, "sent"}, set(PROMISED), set(FURTHER),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["url"]),
        ({"url": 7}, ["url"]),
        ({"url": "http://example.com/"}, ["url"]),
        ({"url": "https://10.0.0.1/"}, ["url"]),
        ({"url": "https://localhost/"}, ["url"]),
        ({"url": "https://a:b@example.com/"}, ["url"]),
        ({"url": "https://example.com/" + "x" * 2_048}, ["url"]),
        ({"url": URL, "enabled_events": ["delivered", "clicked", "*", "opened"]}, ["enabled_events.1", "enabled_events.3"]),
        ({"url": URL, "enabled_events": []}, ["enabled_events"]),
        ({"url": URL, "enabled_events": ["delivered"] * 101}, ["enabled_events"]),
        (
            {"url": URL, "oauth_client_id": "x", "oauth_client_secret": "y"},
            ["oauth_client_id", "oauth_client_secret"],
        ),
    ],
)  # fmt: skip
async def test_a_bad_webhook_is_refused_by_field(ground: WebhookGround, body: Json, fields: list[str]) -> None:
    """400 names what is wrong, and nothing is stored; a change is looked at in the same way."""
    headers = await ground.api.headers()
    there = await made(ground, headers)
    refused = await ground.call("POST", BASE, headers, body, code=400)
    assert [".".join(map(str, e["loc"])) for e in refused["detail"]] == fields
    if body:
        refused = await ground.call("PATCH", f"{BASE}/{there['id']}", headers, body, code=400)
        assert [".".join(map(str, e["loc"])) for e in refused["detail"]] == fields
    assert (await ground.call("GET", BASE, headers))["total"] == 1


async def test_an_operator_may_open_a_network(tmp_path: Path) -> None:
    """What lies in it is taken, also without TLS; what lies beside it is not."""
    async with webhook_ground(tmp_path, allowed=["10.1.0.0/16"]) as ground:
        headers = await ground.api.headers()
        await made(ground, headers, url="http://10.1.2.3:8080/in")
        await ground.call("POST", BASE, headers, {"url": "http://10.2.2.3:8080/in"}, code=400)


async def test_the_list_is_newest_first_in_pages(ground: WebhookGround) -> None:
    """page and page_size cut it, is_active chooses, total counts all that match."""
    headers = await ground.api.headers()
    ids = [(await made(ground, headers))["id"] for _ in range(5)]
    await ground.call("PATCH", f"{BASE}/{ids[1]}", headers, {"enabled": False})
    page = await ground.call("GET", f"{BASE}?page=2&page_size=2", headers)
    assert ([each["id"] for each in page["webhooks"]], page["total"]) == ([ids[2], ids[1]], 5)
    paused = await ground.call("GET", f"{BASE}?is_active=false", headers)
    assert ([each["id"] for each in paused["webhooks"]], paused["total"]) == ([ids[1]], 1)
    assert (await ground.call("GET", f"{BASE}?is_active=true", headers))["total"] == 4
    for bad in ("page=0", "page_size=101", "is_active=perhaps"):
        refused = await ground.call("GET", f"{BASE}?{bad}", headers, code=400)
        assert [e["loc"] for e in refused["detail"]] == [[bad.partition("=")[0]]]


async def test_a_change_leaves_the_rest(ground: WebhookGround) -> None:
    """Absent fields stay as they were."""
    headers = await ground.api.headers()
    new = await made(ground, headers, enabled_events=["open"])
    path = f"{BASE}/{new['id']}"
    assert (await ground.call("PATCH", path, headers, {"enabled": False}))["enabled"] is False
    assert (await ground.call("PATCH", path, headers, {"url": URL + "2"}))["url"] == URL + "2"
    changed = await ground.call("PATCH", path, headers, {"enabled_events": ["click"]})
    assert (changed["enabled"], changed["url"], changed["enabled_events"]) == (False, URL + "2", ["click"])
    assert await ground.call("PATCH", path, headers, {}) == changed


async def test_a_rotated_secret_is_dead_at_once(ground: WebhookGround) -> None:
    """The new one is shown, and nothing signs with the old one any more."""
    headers = await ground.api.headers()
    old = await made(ground, headers)
    new = await ground.call("POST", f"{BASE}/{old['id']}/signing_secret", headers)
    assert new["signing_secret"] != old["signing_secret"]
    assert {**new, "signing_secret": ""} == {**old, "signing_secret": ""}
    [stored], _ = await ground.api.store.outbox.page(ground.api.tenant.id, 0, "scaisend", limit=1)
    secrets = ground.webhooks.secrets(stored)
    assert (secrets.secret, secrets.previous) == (new["signing_secret"], None)
    assert new["signing_secret"] not in repr(secrets)


async def test_a_removed_webhook_is_gone(ground: WebhookGround) -> None:
    """204, then 404 for whatever is asked of it."""
    headers = await ground.api.headers()
    path = f"{BASE}/{(await made(ground, headers))['id']}"
    await ground.call("DELETE", path, headers, code=204)
    for method, rest in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/signing_secret"), ("GET", "/deliveries"), ("POST", "/replay"),
        ("POST", "/deliveries/del_0000000000000/replay"),
    ):  # fmt: skip
        body: Json | None = {} if method == "PATCH" else None
        gone = await ground.call(method, path + rest, headers, body, code=404)
        assert gone["detail"].startswith(("Webhook not found", "Delivery not found"))


async def test_nobody_sees_what_is_not_theirs(ground: WebhookGround) -> None:
    """Another tenant's webhook, one of the other mode and one of /v1 are not there."""
    mine = await ground.api.headers()
    path = f"{BASE}/{(await made(ground, mine))['id']}"
    other = await ground.api.tenants.create("other")
    strangers = [await ground.api.headers(tenant=other), await ground.api.headers(environment="test")]
    for stranger in strangers:
        assert (await ground.call("GET", BASE, stranger))["webhooks"] == []
        for method, rest in (
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "/signing_secret"),
            ("GET", "/deliveries"),
        ):
            body = {"enabled": False} if method == "PATCH" else None
            await ground.call(method, path + rest, stranger, body, code=404)
    theirs = await ground.call("POST", "/v1/webhooks", await ground.key(), {"endpoint_url": URL}, code=201)
    await ground.call("GET", f"{BASE}/{theirs['id']}", mine, code=404)
    assert (await ground.call("GET", BASE, mine))["total"] == 1
    for nonsense in ("wh_", "wh_ZZZZZZZZZZZZZ", "none", "wh_000000000000U"):
        await ground.call("GET", f"{BASE}/{nonsense}", mine, code=404)


async def test_there_is_a_most_of_webhooks(ground: WebhookGround) -> None:
    """Each multiplies what every event writes; one removed makes room for one."""
    headers = await ground.api.headers()
    ids = [(await made(ground, headers))["id"] for _ in range(MAX_WEBHOOKS)]
    ground.api.clock.move(61)
    refused = await ground.call("POST", BASE, headers, {"url": URL}, code=400)
    assert str(MAX_WEBHOOKS) in str(refused)
    await ground.call("DELETE", f"{BASE}/{ids[0]}", headers, code=204)
    await made(ground, headers)


async def test_only_ten_are_made_in_a_minute(ground: WebhookGround) -> None:
    """The eleventh is 429, and counts for the tenant whichever key asks."""
    one, two = await ground.api.headers(), await ground.api.headers()
    for n in range(10):
        await ground.call("POST", BASE, two if n % 2 else one, {"url": URL}, code=201)
    await ground.call("POST", BASE, two, {"url": URL}, code=429)
    ground.api.clock.move(61)
    await ground.call("POST", BASE, two, {"url": URL}, code=201)


async def test_each_scope_opens_its_half(ground: WebhookGround) -> None:
    """webhooks.read reads, webhooks.write writes, and neither does the other's."""
    new = await made(ground, await ground.api.headers())
    reader, writer = await ground.api.headers(["webhooks.read"]), await ground.api.headers(["webhooks.write"])
    for path in (BASE, f"{BASE}/{new['id']}", f"{BASE}/{new['id']}/deliveries", f"{BASE}/event/settings"):
        await ground.call("GET", path, reader)
        assert "webhooks.read" in str(await ground.call("GET", path, writer, code=403))
    await ground.call("PATCH", f"{BASE}/{new['id']}", writer, {"enabled": True})
    await ground.call("PATCH", f"{BASE}/{new['id']}", reader, {"enabled": True}, code=403)
