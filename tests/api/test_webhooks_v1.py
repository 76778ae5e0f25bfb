"""/v1/webhooks: subscriptions in Sendara's words, their secrets, deliveries and replay."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from postclock.api.sendara.words import EVENT_WORDS, SHOWN_AS, event_word, types_of_all
from postclock.core.lifecycle import RecipientState
from postclock.core.message import Mode
from postclock.core.webhook import TIMELINE
from postclock.store.outbox import DeliveryState, Health, Tried
from tests.api.webhook_ground import WebhookGround, webhook_ground
from tests.store.parts import ADA, Shop
from tests.support import mails

BASE = "/v1/webhooks"
URL = "https://hooks.example.com/in"
DAY = 86_400
Json = dict[str, Any]


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[WebhookGround]:
    """The API over a fresh store."""
    async with webhook_ground(tmp_path) as running:
        yield running


async def made(ground: WebhookGround, headers: dict[str, str], *types: str) -> Json:
    return await ground.call("POST", BASE, headers, {"endpoint_url": URL, "event_types": list(types)}, code=201)


async def shop_of(ground: WebhookGround) -> Shop:
    """The tenant's mail, to be moved by hand."""
    api = ground.api
    await api.store.domains.add_domain(api.tenant.id, mails.DOMAIN, (), api.clock.now_ms(), trusted=True)
    return Shop(cast(Any, api), api.clock, api.tenant.id)


def test_every_type_of_the_timeline_has_its_word() -> None:
    """The table has all of them and no other, and both modes speak the words that are promised."""
    assert set(SHOWN_AS) == set(TIMELINE)
    for kind in TIMELINE:
        for mode in cast("tuple[Mode, ...]", ("live", "test")):
            assert event_word(kind, mode) in (None, *EVENT_WORDS)
    assert {event_word(kind, "live") for kind in TIMELINE} == {None, *EVENT_WORDS} - {"accepted"}
    assert (event_word("processed", "live"), event_word("processed", "test")) == ("queued", "accepted")


async def test_a_subscription_shows_its_secret_on_every_single_read(ground: WebhookGround) -> None:
    """201 with 64 hex characters, the same with GET; the list leaves it out."""
    headers = await ground.key()
    new = await made(ground, headers, "delivered", "bounced")
    assert re.fullmatch(r"[0-9a-f]{64}", new["signing_secret"])
    assert new == {
        "id": new["id"], "account_id": new["account_id"], "endpoint_url": URL, "event_types": ["delivered", "bounced"],
        "is_active": True, "created_at": "2027-01-15T08:00:00Z", "failure_count": 0, "disabled_at": None,
        "signing_secret": new["signing_secret"], "previous_signing_secret": None, "previous_signing_secret_expires_at": None,
    }  # fmt: skip
    assert re.fullmatch(r"acct_[0-9A-Z]{13}", new["account_id"])
    assert await ground.call("GET", f"{BASE}/{new['id']}", headers) == new
    [listed] = (await ground.call("GET", BASE, headers))["webhooks"]
    secrets = {"signing_secret", "previous_signing_secret", "previous_signing_secret_expires_at"}
    assert listed == {name: value for name, value in new.items() if name not in secrets}


@pytest.mark.parametrize("mode", ["live", "test"])
async def test_words_come_back_as_they_were_given(ground: WebhookGround, mode: Mode) -> None:
    """Absent and empty mean all and are shown as []; each word alone is shown alone."""
    headers = await ground.key(mode=mode)
    new = await ground.call("POST", BASE, headers, {"endpoint_url": URL}, code=201)
    path = f"{BASE}/{new['id']}"
    assert new["event_types"] == []
    for word in EVENT_WORDS:
        changed = await ground.call("PUT", path, headers, {"event_types": [word]})
        assert changed["event_types"] == [word]
    assert (await ground.call("PUT", path, headers, {"event_types": []}))["event_types"] == []
    every = await ground.call("PUT", path, headers, {"event_types": list(EVENT_WORDS)})
    assert every["event_types"] == []
    [stored], _ = await ground.api.store.outbox.page(ground.api.tenant.id, int(mode == "test"), "sendara", limit=1)
    assert set(stored.types) == types_of_all()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "endpoint_url"),
        ({"endpoint_url": "http://example.com"}, "endpoint_url"),
        ({"endpoint_url": "https://169.254.169.254/"}, "endpoint_url"),
        ({"endpoint_url": URL, "event_types": ["delivered", "email.received"]}, "event_types.1"),
        ({"endpoint_url": URL, "event_types": ["message.delivered"]}, "event_types.0"),
        ({"endpoint_url": URL, "event_types": "delivered"}, "event_types"),
    ],
)
async def test_a_bad_subscription_is_refused_by_field(ground: WebhookGround, body: Json, field: str) -> None:
    """400 invalid_request whose sentence names the field."""
    headers = await ground.key()
    refused = await ground.call("POST", BASE, headers, body, code=400)
    assert refused["error"]["code"] == "invalid_request"
    assert refused["error"]["message"].startswith(f"{field}: ")
    assert (await ground.call("GET", BASE, headers))["webhooks"] == []


async def test_put_changes_only_what_is_sent(ground: WebhookGround) -> None:
    """is_active false pauses; the rest stays, the secret too."""
    headers = await ground.key()
    new = await made(ground, headers, "opened")
    path = f"{BASE}/{new['id']}"
    assert await ground.call("PUT", path, headers, {"is_active": False}) == {**new, "is_active": False}
    moved = await ground.call("PUT", path, headers, {"endpoint_url": URL + "2", "is_active": True})
    assert moved == {**new, "endpoint_url": URL + "2"}


async def test_a_rotated_secret_signs_for_a_day_beside_the_new_one(ground: WebhookGround) -> None:
    """The answer has both and when the old one ends; after that it is shown no more. A second rotation ends the first at once."""
    headers = await ground.key()
    old = await made(ground, headers)
    path = f"{BASE}/{old['id']}"
    new = await ground.call("POST", f"{path}/rotate-secret", headers)
    assert new["previous_signing_secret"] == old["signing_secret"] != new["signing_secret"]
    assert new["previous_signing_secret_expires_at"] == "2027-01-16T08:00:00Z"
    ground.api.clock.move(DAY - 1)
    assert await ground.call("GET", path, headers) == new
    ground.api.clock.move(1)
    after = await ground.call("GET", path, headers)
    assert (after["signing_secret"], after["previous_signing_secret"]) == (new["signing_secret"], None)
    newer = await ground.call("POST", f"{path}/rotate-secret", headers)
    newest = await ground.call("POST", f"{path}/rotate-secret", headers)
    assert newest["previous_signing_secret"] == newer["signing_secret"]


async def test_deliveries_are_listed_newest_first(ground: WebhookGround) -> None:
    """Each with its event, its word, how often it was tried and what was answered."""
    headers = await ground.key()
    new = await made(ground, headers)
    shop = await shop_of(ground)
    await shop.send(ADA)
    ground.api.clock.move(5)
    await shop.run(RecipientState.bounced)
    path = f"{BASE}/{new['id']}/deliveries"
    newest, oldest = (await ground.call("GET", path, headers))["deliveries"]
    assert (newest["event_type"], oldest["event_type"]) == ("bounced", "queued")
    assert newest == {
        "id": newest["id"], "subscription_id": new["id"], "event_id": newest["event_id"], "event_type": "bounced", "status": "pending",
        "attempt_count": 0, "response_status": None, "reason": "", "created_at": "2027-01-15T08:00:05Z",
    }  # fmt: skip
    assert newest["event_id"] > oldest["event_id"]
    assert (await ground.call("GET", f"{path}?limit=1", headers))["deliveries"] == [newest]
    await ground.call("GET", f"{path}?limit=0", headers, code=400)


async def test_what_is_settled_can_be_told_again(ground: WebhookGround) -> None:
    """One, a range or all; what is still on its way is left alone. The event keeps its id."""
    headers = await ground.key()
    new = await made(ground, headers, "queued")
    shop = await shop_of(ground)
    for _ in range(4):
        await shop.send(ADA)
    outbox, path = ground.api.store.outbox, f"{BASE}/{new['id']}"
    owner, now = ground.api.store.ledger.owner.id, shop.now
    [leased] = await outbox.lease(owner, now, now + DAY, 10)
    told = await outbox.take(leased.id, now, 10)
    tried = [
        Tried(delivery=t.delivery, state=state, attempts=6, response_status=status)
        for t, state, status in zip(told, (DeliveryState.delivered, DeliveryState.failed, DeliveryState.failed), (204, 500, 500), strict=False)
    ]  # fmt: skip
    assert await outbox.report(leased.id, owner, tried, Health(), now, now)
    listed = (await ground.call("GET", f"{path}/deliveries", headers))["deliveries"]
    fourth, third, second, first = listed
    assert [(d["status"], d["attempt_count"], d["response_status"]) for d in listed] == [
        ("pending", 0, None), ("failed", 6, 500), ("failed", 6, 500), ("delivered", 6, 204),
    ]  # fmt: skip
    assert await ground.call("POST", f"{path}/deliveries/{second['id']}/replay", headers) == {"replayed": 1}
    await ground.call("POST", f"{path}/deliveries/{second['id']}/replay", headers, code=404)
    await ground.call("POST", f"{path}/deliveries/{fourth['id']}/replay", headers, code=404)
    again = (await ground.call("GET", f"{path}/deliveries", headers))["deliveries"][2]
    assert (again["status"], again["attempt_count"], again["event_id"]) == ("pending", 0, second["event_id"])
    assert await ground.call("POST", f"{path}/replay", headers, {"first": second["id"]}) == {"replayed": 1}
    assert await ground.call("POST", f"{path}/replay", headers, {"last": third["id"]}) == {"replayed": 1}
    assert await ground.call("POST", f"{path}/replay", headers) == {"replayed": 0}
    for nonsense in ("none", "del_", first["id"] + "0"):
        await ground.call("POST", f"{path}/replay", headers, {"first": nonsense}, code=404)


async def test_nobody_sees_what_is_not_theirs(ground: WebhookGround) -> None:
    """Another tenant's, the other mode's and /v3's are not there: 404 not_found."""
    mine = await ground.key()
    path = f"{BASE}/{(await made(ground, mine))['id']}"
    other = await ground.api.tenants.create("other")
    for stranger in (await ground.key(tenant=other), await ground.key(mode="test")):
        assert (await ground.call("GET", BASE, stranger))["webhooks"] == []
        for method, rest in (
            ("GET", ""),
            ("PUT", ""),
            ("DELETE", ""),
            ("POST", "/rotate-secret"),
            ("GET", "/deliveries"),
        ):
            body = {"is_active": False} if method == "PUT" else None
            gone = await ground.call(method, path + rest, stranger, body, code=404)
            assert gone["error"]["code"] == "not_found"
    theirs = await ground.call("POST", "/v3/user/webhooks", await ground.api.headers(), {"url": URL}, code=201)
    await ground.call("GET", f"{BASE}/{theirs['id']}", mine, code=404)


async def test_admin_keys_write_read_keys_read(ground: WebhookGround) -> None:
    """And a key that sends does neither."""
    admin, reader, sender = await ground.key(), await ground.key("read"), await ground.key("send")
    path = f"{BASE}/{(await made(ground, admin))['id']}"
    await ground.call("GET", path, reader)
    await ground.call("GET", path, sender, code=403)
    await ground.call("POST", BASE, reader, {"endpoint_url": URL}, code=403)
    await ground.call("DELETE", path, reader, code=403)
    await ground.call("DELETE", path, admin, code=204)
    await ground.call("GET", path, admin, code=404)
