"""/v1/keys and /v1/account/verification: keys with one scope, made, rotated and revoked; whether the account may send."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postclock.api.sendara.account import account_endpoints
from postclock.api.sendara.keys import key_endpoints
from postclock.core.ids import IdSource
from postclock.runtime.entropy import SystemEntropy
from postclock.service.accounts import ApiKeys, KeyMade
from postclock.service.domains import Domains
from tests.support.slow_api import SlowApi, bearer, slow_api

BASE = "/v1/keys"
ACCOUNT = "/v1/account/verification"
Headers = dict[str, str]


async def never(name: str) -> list[str]:
    raise AssertionError(f"the DNS was asked for {name}")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """The API with the keys and the account of /v1."""

    def built(store: Any, clock: Any) -> list[Any]:
        made = IdSource(clock, 5)
        domains = Domains(store.domains, clock, made, seal=bytes, unseal=bytes, look_up=never)
        # Their own remembering of keys is moved on by the clock: nobody tells it of changes.
        return [*key_endpoints(ApiKeys(store.accounts, clock, made, SystemEntropy())), *account_endpoints(domains)]

    async with slow_api(tmp_path, built=built) as running:
        yield running


async def key_of(api: SlowApi, word: str = "admin", environment: Any = "live", **more: Any) -> KeyMade:
    return await api.keys.make(
        more.get("tenant", api.tenant), name=word, dialect="sendara", environment=environment, scopes=[word]
    )


async def admin(api: SlowApi, environment: Any = "live") -> Headers:
    return bearer(await key_of(api, environment=environment))


async def made(api: SlowApi, headers: Headers, code: int = 201, **body: Any) -> Any:
    answer = await api.client.post(BASE, headers=headers, json=body)
    assert answer.status_code == code, answer.text
    return answer.json()


async def opens(api: SlowApi, secret: str) -> bool:
    api.clock.move(1)  # longer than a key is remembered
    answer = await api.client.get(ACCOUNT, headers={"Authorization": f"Bearer {secret}"})
    return answer.status_code == 200


async def test_a_new_key_is_shown_once(api: SlowApi) -> None:
    """201 with the secret; the list has its beginning alone."""
    headers = await admin(api)
    key = await made(api, headers, scope="read", test_mode=False)
    assert re.fullmatch(r"sk_live_[0-9a-f]{32}", key["key"])
    assert key == {
        "id": key["id"],
        "key": key["key"],
        "key_prefix": key["key"][:16],
        "scope": "read",
        "test_mode": False,
        "created_at": "2027-01-15T08:00:00Z",
    }
    assert key["id"].startswith("key_")
    assert await opens(api, key["key"])
    listed = await api.client.get(BASE, headers=headers)
    assert key["key"] not in listed.text
    assert listed.json()["keys"][-1] == {name: value for name, value in key.items() if name != "key"}


async def test_a_key_sends_and_is_of_its_makers_mode_unless_told_otherwise(api: SlowApi) -> None:
    """scope is send by default; test_mode is the maker's; null is as good as absent."""
    live, tester = await admin(api), await admin(api, "test")
    bodies: tuple[dict[str, Any], ...] = ({}, {"scope": None, "test_mode": None})
    for body in bodies:
        key = await made(api, live, **body)
        assert (key["scope"], key["test_mode"]) == ("send", False)
    key = await made(api, live, scope="admin", test_mode=True)
    assert (key["key"][:8], key["scope"], key["test_mode"]) == ("sk_test_", "admin", True)
    assert (await made(api, tester))["test_mode"] is True


async def test_a_test_key_makes_no_live_keys_and_sees_none(api: SlowApi) -> None:
    """It sees and touches test rows alone: 403 for making one, 404 for ending one."""
    live, tester = await admin(api), await admin(api, "test")
    refused = await made(api, tester, 403, scope="send", test_mode=False)
    assert refused["error"]["code"] == "forbidden"
    ident = (await made(api, live))["id"]
    assert {key["test_mode"] for key in (await api.client.get(BASE, headers=tester)).json()["keys"]} == {True}
    for method, path in (("POST", f"{BASE}/{ident}/rotate"), ("DELETE", f"{BASE}/{ident}")):
        answer = await api.client.request(method, path, headers=tester)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_key_makes_keys_only_with_scopes_it_holds(api: SlowApi) -> None:
    """A key of /v3 that may manage keys and nothing else hands on nothing else."""
    keeper = bearer(await api.key(["admin.api_keys"], read_messages=False))
    for word in ("send", "read", "admin"):
        assert (await made(api, keeper, 403, scope=word))["error"]["code"] == "forbidden"
    for word in ("send", "read"):
        other = bearer(await key_of(api, word))
        assert (await made(api, other, 403))["error"]["message"] == "Missing required scope: admin.api_keys"


@pytest.mark.parametrize("body", [{"scope": "write"}, {"scope": ["send"]}, {"test_mode": "no"}])
async def test_a_bad_field_is_named(api: SlowApi, body: dict[str, Any]) -> None:
    """400 invalid_request with the field's name."""
    error = (await made(api, await admin(api), 400, **body))["error"]
    assert (error["code"], next(iter(body)) in error["message"]) == ("invalid_request", True)


async def test_a_rotated_key_has_a_new_secret_and_the_old_one_is_dead(api: SlowApi) -> None:
    """The answer has the new secret; id, scope and mode stay."""
    headers = await admin(api)
    key = await made(api, headers, scope="read")
    rotated = (await api.client.post(f"{BASE}/{key['id']}/rotate", headers=headers)).json()
    assert rotated["key"] != key["key"]
    assert (rotated["id"], rotated["scope"], rotated["key_prefix"]) == (key["id"], "read", rotated["key"][:16])
    assert (await opens(api, key["key"]), await opens(api, rotated["key"])) == (False, True)


async def test_a_revoked_key_opens_nothing_and_is_no_longer_listed(api: SlowApi) -> None:
    """204, also the second time; an unknown one is 404."""
    headers = await admin(api)
    key = await made(api, headers)
    for _ in range(2):
        answer = await api.client.delete(f"{BASE}/{key['id']}", headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
    assert not await opens(api, key["key"])
    listed = (await api.client.get(BASE, headers=headers)).json()["keys"]
    assert key["id"] not in [k["id"] for k in listed]
    assert (await api.client.delete(f"{BASE}/key_0000000000000", headers=headers)).status_code == 404


async def test_keys_of_v3_are_listed_too(api: SlowApi) -> None:
    """Their scope is one of the three words when it comes to exactly that, else null; another tenant's are not there."""
    headers = await admin(api)
    await api.key(["mail.send"])
    await api.key()
    await key_of(api, "send", tenant=await api.tenants.create("neighbour"))
    listed = (await api.client.get(BASE, headers=headers)).json()["keys"]
    assert [(k["key_prefix"][:8], k["scope"]) for k in listed] == [
        ("sk_live_", "admin"), ("sg_live_", None), ("sg_live_", "admin"),
    ]  # fmt: skip


async def test_making_keys_has_a_ceiling_of_its_own(api: SlowApi) -> None:
    """The eleventh of a minute is 429 with the envelope."""
    headers = await admin(api)
    for _ in range(10):
        await made(api, headers)
    assert (await made(api, headers, 429))["error"]["code"] == "rate_limit_exceeded"


async def test_the_account_is_in_the_sandbox_until_a_domain_is_verified(api: SlowApi) -> None:
    """unverified, pending, verified; nothing is sent from a shared address; another tenant's domains do not count."""
    headers = await admin(api)
    neighbour = await api.tenants.create("neighbour")
    now = api.clock.now_ms()
    await api.store.domains.add_domain(neighbour.id, "theirs.example", (), now, trusted=True)

    async def state() -> Any:
        return (await api.client.get(ACCOUNT, headers=headers)).json()

    def told(status: str, verified: list[str], pending: list[str]) -> Any:
        details = {"verified_domains": verified, "pending_domains": pending}
        channel = {"channel": "email", "status": status, "verified": bool(verified), "details": details}
        return {"sandbox_mode": not verified, "shared_email_sender": None, "channels": [channel]}

    assert await state() == told("unverified", [], [])
    await api.store.domains.add_domain(api.tenant.id, "a.example", (), now, trusted=False)
    assert await state() == told("pending", [], ["a.example"])
    await api.store.domains.add_domain(api.tenant.id, "b.example", (), now, trusted=True)
    assert await state() == told("verified", ["b.example"], ["a.example"])
