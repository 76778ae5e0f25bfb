"""``idempotency_key`` of POST /v1/send: a call that is made again is one call (Sendara's documentation, idempotency)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.send_api import DOMAIN, SendApi, fresh_api, one


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SendApi]:
    """The real app over a fresh store."""
    async with fresh_api(tmp_path) as running:
        yield running


async def test_the_same_call_gets_the_same_message(api: SendApi) -> None:
    """201 with the same five fields, and a header that tells; the first answer has it not."""
    body = one(idempotency_key="k")
    first = await api.post(body)
    api.clock.move(5.0)
    again = await api.post(body)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert await api.count() == 1


async def test_sameness_is_in_what_is_said_not_how(api: SendApi) -> None:
    """Order of keys and white space do not matter; null and absent are two things, and so are 1 and 1.0."""
    body = one(idempotency_key="k", template_vars={"n": 1})
    first = await api.send(body)
    text = json.dumps(dict(reversed(body.items())), indent=2).encode()
    assert (await api.post(text)).json()["id"] == first["id"]
    for other in (body | {"message_type": None}, body | {"template_vars": {"n": 1.0}}, body | {"test_send": False}):
        assert (await api.refused(other))[:2] == (409, "idempotency_key_reused")


async def test_scheduled_at_is_no_part_of_the_call(api: SendApi) -> None:
    """With another time, a bad one's range, or none: the original scheduled message, which stays where it is."""
    at = api.at(3_600)
    first = await api.send(one(idempotency_key="k", scheduled_at=at))
    due = (await api.detail(first["id"])).row.due_at
    for other in (api.at(7_200), api.at(91 * 86_400), api.at(-86_400), None):
        again = await api.post(one(idempotency_key="k", scheduled_at=other))
        assert (again.status_code, again.json()) == (201, first)
    assert (await api.detail(first["id"])).row.due_at == due
    assert await api.count() == 1


async def test_another_call_under_the_key(api: SendApi) -> None:
    """409 idempotency_key_reused, as often as it is tried, and the first stands."""
    await api.send(one(idempotency_key="k"))
    for _ in range(4):
        assert (await api.refused(one("bob@example.net", idempotency_key="k")))[:2] == (409, "idempotency_key_reused")
    assert await api.count() == 1


async def test_a_refused_call_does_not_use_its_key(api: SendApi) -> None:
    """Whatever refused it; mended, it goes through under the same key."""
    await api.suppress("sad@example.net")
    for body in (
        one("sad@example.net", idempotency_key="k"),
        one("ada", idempotency_key="k"),
        one(idempotency_key="k", scheduled_at=api.at(91 * 86_400)),
        one(idempotency_key="k", metadata={"from_email": "a@elsewhere.com"}),
        one(idempotency_key="k", template_id="tmpl_nowhere"),
        one(idempotency_key="k", test_send=True),
    ):
        await api.refused(body)
    answer = await api.post(one(idempotency_key="k"))
    assert answer.status_code == 201
    assert "Idempotency-Replayed" not in answer.headers


async def test_a_replay_is_answered_whatever_the_checks_say_now(api: SendApi) -> None:
    """The recipient is suppressed, the money spent, the recipient's domain gone, the time past: the original answers."""
    api.testers.add("ada@example.net")
    body = one(idempotency_key="k", validate_recipient=True, test_send=True, scheduled_at=api.at(60))
    first = await api.send(body)
    looked = len(api.looked_at)
    await api.suppress("ada@example.net")
    api.testers.clear()
    api.spent = "the hard cap is reached"
    api.undeliverable["ada@example.net"] = "no"
    api.clock.move(3_600.0)
    again = await api.post(body)
    assert (again.status_code, again.json()["id"]) == (201, first["id"])
    assert len(api.looked_at) == looked, "nobody is asked for a replay"
    assert (await api.refused(body | {"message_type": "marketing"}))[:2] == (409, "idempotency_key_reused")


async def test_a_replay_is_answered_when_the_sender_is_no_longer_verified(api: SendApi) -> None:
    """The domain may not be sent from any more: a new call is refused, the old one gets its message."""
    body = one(idempotency_key="k")
    first = await api.send(body)
    await api.store.domains.set_verified(api.tenant.id, DOMAIN, None)
    api.clock.move(1.0)  # a key is remembered for less
    assert (await api.post(body)).json()["id"] == first["id"]
    assert (await api.refused(one()))[1] == "from_not_verified"


async def test_a_replay_tells_the_present_status(api: SendApi) -> None:
    """Scheduled, then queued when its time has come, or canceled."""
    first = await api.send(one(idempotency_key="a", scheduled_at=api.at(60)))
    second = await api.send(one(idempotency_key="b", scheduled_at=api.at(120)))
    body_a, body_b = (one(idempotency_key=key) for key in "ab")
    assert (await api.send(body_a))["status"] == "scheduled"
    api.clock.move(61.0)
    assert await api.send(body_a) == first | {"status": "queued"}
    canceled = await api.client.post(f"/v1/messages/{second['id']}/cancel", headers=await api.usual())
    assert canceled.json() == {"id": second["id"], "status": "canceled"}
    assert await api.send(body_b) == second | {"status": "canceled"}


async def test_the_header_is_nobodys_key(api: SendApi) -> None:
    """Clients put a random Idempotency-Key on every write: it neither joins two calls nor parts them."""
    first, second = [await api.post(one(), headers={"Idempotency-Key": "same"}) for _ in range(2)]
    assert first.json()["id"] != second.json()["id"]
    third, fourth = [await api.post(one(idempotency_key="k"), headers={"Idempotency-Key": key}) for key in "xy"]
    assert third.json()["id"] == fourth.json()["id"]
    assert (await api.post(one(), headers={"Idempotency-Key": ""})).status_code == 201


async def test_keys_of_modes_and_tenants_are_apart(api: SendApi) -> None:
    """A test key's call is another call, and so is another tenant's; two keys of one tenant share."""
    body = one(idempotency_key="k")
    live = await api.send(body)
    test = await api.send(body, mode="test")
    other = await api.tenants.create("other")
    await api.store.domains.add_domain(other.id, "other.com", (), 0, trusted=True)
    headers = await api.key(tenant=other)
    foreign = await api.client.post(
        "/v1/send", json=body | {"metadata": {"from_email": "a@other.com"}}, headers=headers
    )
    assert foreign.status_code == 201
    assert len({live["id"], test["id"], foreign.json()["id"]}) == 3
    second = await api.client.post("/v1/send", json=body, headers=await api.key(["send"]))
    assert second.json()["id"] == live["id"]


async def test_the_longest_key(api: SendApi) -> None:
    """255 characters, of any script."""
    key = "ключ🔑" * 51
    assert len(key) == 255
    first = await api.send(one(idempotency_key=key))
    assert await api.send(one(idempotency_key=key)) == first
