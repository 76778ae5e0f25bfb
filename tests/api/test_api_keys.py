"""/v3/api_keys and /v3/scopes: keys that make, change and end keys."""

import re
from typing import Any

from postclock.core.account import ALL_SCOPES, Scope
from tests.support.slow_api import SlowApi, bearer

Json = dict[str, Any]


async def made(api: SlowApi, headers: dict[str, str], **fields: Any) -> Json:
    answer = await api.client.post("/v3/api_keys", headers=headers, json={"name": "mine", **fields})
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body


def header(made_key: Json) -> dict[str, str]:
    return {"Authorization": f"Bearer {made_key['api_key']}"}


async def works(api: SlowApi, headers: dict[str, str]) -> bool:
    return (await api.client.get("/v3/scopes", headers=headers)).status_code == 200


async def test_a_new_key_is_shown_once_and_works_at_once(api: SlowApi) -> None:
    """POST answers 201 with the secret; every later answer has its first sixteen characters alone."""
    headers = await api.headers()
    key = await made(api, headers, scopes=["mail.send"])
    assert re.fullmatch(r"sg_live_[0-9a-f]{32}", key["api_key"])
    assert key == {
        "id": key["id"],
        "name": "mine",
        "api_key": key["api_key"],
        "prefix": key["api_key"][:16],
        "environment": "live",
        "scopes": ["mail.send", "messages.read"],
        "created_at": "2027-01-15T08:00:00Z",
        "expires_at": None,
    }
    assert key["id"].startswith("key_")
    assert await works(api, header(key))
    read = await api.client.get(f"/v3/api_keys/{key['id']}", headers=headers)
    assert read.status_code == 200
    assert key["api_key"] not in read.text
    assert set(read.json()) == {
        "id", "name", "prefix", "environment", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at",
    }  # fmt: skip


async def test_a_key_without_scopes_reaches_nothing_but_reading(api: SlowApi) -> None:
    """Scopes are empty by default; reading messages comes with every key unless it is told not to."""
    headers = await api.headers()
    assert (await made(api, headers))["scopes"] == ["messages.read"]
    assert (await made(api, headers, read_messages=False))["scopes"] == []


async def test_a_key_makes_keys_only_with_scopes_it_holds(api: SlowApi) -> None:
    """What the maker lacks is 403 and named; messages.read is not handed on by a maker without it."""
    maker = bearer(await api.key(["admin.api_keys", "mail.send"], read_messages=False))
    assert (await made(api, maker, scopes=["mail.send"]))["scopes"] == ["mail.send"]
    answer = await api.client.post("/v3/api_keys", headers=maker, json={"name": "x", "scopes": ["mail.cancel"]})
    assert (answer.status_code, answer.json()) == (403, {"detail": "Missing required scope: mail.cancel"})
    answer = await api.client.post("/v3/api_keys", headers=maker, json={"name": "x", "scopes": ["messages.read"]})
    assert answer.json() == {"detail": "Missing required scope: messages.read"}


async def test_every_bad_field_of_a_new_key_is_named(api: SlowApi) -> None:
    """Unknown scopes by their place, the name, and an expiry that is past or no time."""
    headers = await api.headers()
    answer = await api.client.post(
        "/v3/api_keys",
        headers=headers,
        json={"name": "", "scopes": ["mail.send", "mail.read"], "expires_at": "2027-01-15T07:59:59Z"},
    )
    assert answer.status_code == 400
    assert [entry["loc"] for entry in answer.json()["detail"]] == [["name"], ["scopes", 1], ["expires_at"]]
    assert "mail.read" in answer.text
    for wrong in ("tomorrow", "", "99999-01-01T00:00:00Z"):
        answer = await api.client.post("/v3/api_keys", headers=headers, json={"name": "x", "expires_at": wrong})
        assert answer.status_code == 400, wrong
    answer = await api.client.post("/v3/api_keys", headers=headers, json={"name": "x", "environment": "staging"})
    assert [entry["loc"] for entry in answer.json()["detail"]] == [["environment"]]


async def test_a_key_ends_when_it_expires(api: SlowApi) -> None:
    """It works until its time and is 401 from then on, remembered or not."""
    key = await made(api, await api.headers(), expires_at="2027-01-15T10:00:01+02:00")
    assert key["expires_at"] == "2027-01-15T08:00:01Z"
    assert await works(api, header(key))
    api.clock.move(0.5)
    assert await works(api, header(key))
    api.clock.move(0.5)
    answer = await api.client.get("/v3/scopes", headers=header(key))
    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API key"})


async def test_the_list_leaves_revoked_keys_out_unless_asked(api: SlowApi) -> None:
    """DELETE is soft: the key stops at once, and stays listed with the time."""
    headers = await api.headers()
    key = await made(api, headers)
    assert await works(api, header(key))
    ended = await api.client.delete(f"/v3/api_keys/{key['id']}", headers=headers)
    assert (ended.status_code, ended.content) == (204, b"")
    assert not await works(api, header(key))
    assert (await api.client.delete(f"/v3/api_keys/{key['id']}", headers=headers)).status_code == 204

    async def listed(query: str) -> dict[str, str | None]:
        answer = await api.client.get(f"/v3/api_keys{query}", headers=headers)
        return {k["id"]: k["revoked_at"] for k in answer.json()["api_keys"]}

    assert key["id"] not in await listed("")
    assert (await listed("?include_revoked=true"))[key["id"]] == "2027-01-15T08:00:00Z"
    bad = await api.client.get("/v3/api_keys?include_revoked=maybe", headers=headers)
    assert [entry["loc"] for entry in bad.json()["detail"]] == [["include_revoked"]]


async def test_rotation_kills_the_old_secret_at_once(api: SlowApi) -> None:
    """The key keeps id, name and scopes; the new secret works and the old one is 401."""
    headers = await api.headers()
    key = await made(api, headers, scopes=["mail.send"])
    assert await works(api, header(key))
    answer = await api.client.post(f"/v3/api_keys/{key['id']}/rotate", headers=headers)
    assert answer.status_code == 200
    rotated = answer.json()
    assert rotated["api_key"] != key["api_key"]
    assert {**rotated, "api_key": "", "prefix": ""} == {**key, "api_key": "", "prefix": ""}
    assert await works(api, header(rotated))
    assert not await works(api, header(key))


async def test_nobody_rotates_a_key_that_holds_more(api: SlowApi) -> None:
    """The new secret would give its scopes away: 403 names the scope that the caller lacks."""
    strong = await made(api, await api.headers(), scopes=["admin.settings"])
    weak = await api.headers(["admin.api_keys"])
    answer = await api.client.post(f"/v3/api_keys/{strong['id']}/rotate", headers=weak)
    assert (answer.status_code, answer.json()) == (403, {"detail": "Missing required scope: admin.settings"})
    assert await works(api, header(strong))


async def test_a_key_is_renamed_and_rescoped(api: SlowApi) -> None:
    """PATCH changes what is given; scopes are replaced, and what the caller lacks cannot be added."""
    headers = await api.headers()
    key = await made(api, headers, scopes=["mail.send"])
    path = f"/v3/api_keys/{key['id']}"
    renamed = (await api.client.patch(path, headers=headers, json={"name": "yours"})).json()
    assert (renamed["name"], renamed["scopes"]) == ("yours", ["mail.send", "messages.read"])
    changed = await api.client.patch(path, headers=headers, json={"scopes": ["mail.cancel"]})
    assert changed.json()["scopes"] == ["mail.cancel", "messages.read"]
    silent = await api.client.patch(path, headers=headers, json={"read_messages": False})
    assert silent.json()["scopes"] == ["mail.cancel"]
    weak = await api.headers(["admin.api_keys"])
    refused = await api.client.patch(path, headers=weak, json={"scopes": ["mail.cancel", "stats.read"]})
    assert refused.json() == {"detail": "Missing required scope: stats.read"}
    unknown = await api.client.patch(path, headers=headers, json={"name": "", "scopes": ["x"]})
    assert [entry["loc"] for entry in unknown.json()["detail"]] == [["name"], ["scopes", 0]]


async def test_a_change_of_scopes_is_felt_at_once(api: SlowApi) -> None:
    """A scope taken away is missing in the very next call."""
    headers = await api.headers()
    key = await made(api, headers, scopes=["templates.read"])
    assert (await api.client.get("/v3/templates", headers=header(key))).status_code == 200
    await api.client.patch(f"/v3/api_keys/{key['id']}", headers=headers, json={"scopes": []})
    assert (await api.client.get("/v3/templates", headers=header(key))).status_code == 403


async def test_a_revoked_key_is_not_changed_any_more(api: SlowApi) -> None:
    """Renaming and rotating it are 400."""
    headers = await api.headers()
    key = await made(api, headers)
    await api.client.delete(f"/v3/api_keys/{key['id']}", headers=headers)
    path = f"/v3/api_keys/{key['id']}"
    assert (await api.client.patch(path, headers=headers, json={"name": "x"})).status_code == 400
    assert (await api.client.post(f"{path}/rotate", headers=headers)).status_code == 400


async def test_a_test_key_sees_and_makes_test_keys_alone(api: SlowApi) -> None:
    """Live keys are not there for it; what it makes is a test key, and asking for a live one is 403."""
    live = await made(api, await api.headers())
    tester = await api.headers(environment="test")
    assert (await made(api, tester))["api_key"].startswith("sg_test_")
    refused = await api.client.post("/v3/api_keys", headers=tester, json={"name": "x", "environment": "live"})
    assert (refused.status_code, refused.json()) == (403, {"detail": "A test key cannot make live keys"})
    listed = (await api.client.get("/v3/api_keys", headers=tester)).json()["api_keys"]
    assert {key["environment"] for key in listed} == {"test"}
    path = f"/v3/api_keys/{live['id']}"
    assert (await api.client.get(path, headers=tester)).status_code == 404
    assert (await api.client.delete(path, headers=tester)).status_code == 404
    assert (await api.client.post(f"{path}/rotate", headers=tester)).status_code == 404
    assert await works(api, header(live))


async def test_a_foreign_key_is_not_there(api: SlowApi) -> None:
    """Another tenant's key and a string that is no id are alike 404."""
    key = await made(api, await api.headers())
    foreign = await api.headers(tenant=await api.tenants.create("neighbour"))
    for ident in (key["id"], "key_0", "nothing"):
        for method, rest in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
            answer = await api.client.request(
                method,
                f"/v3/api_keys/{ident}{rest}",
                headers=foreign,
                json={"name": "x"} if method == "PATCH" else None,
            )
            assert (answer.status_code, answer.json()) == (404, {"detail": "API key not found"}), (method, ident)
    assert await works(api, header(key))


async def test_keys_need_their_scope(api: SlowApi) -> None:
    """Everything but admin.api_keys is not enough."""
    headers = await api.headers(ALL_SCOPES - {Scope.admin_api_keys})
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/key_x"), ("DELETE", "/key_x"), ("POST", "/key_x/rotate")):
        answer = await api.client.request(method, f"/v3/api_keys{path}", headers=headers)
        assert (answer.status_code, answer.json()) == (403, {"detail": "Missing required scope: admin.api_keys"})


async def test_the_scopes_are_listed_for_any_key(api: SlowApi) -> None:
    """All eighteen, and beside them those that the key holds."""
    headers = await api.headers(["mail.send"])
    body = (await api.client.get("/v3/scopes", headers=headers)).json()
    assert set(body["scopes"]) == {scope.value for scope in Scope}
    assert body["held"] == ["mail.send", "messages.read"]


async def test_eleven_keys_a_minute_are_one_too_many(api: SlowApi) -> None:
    """Making keys has a ceiling of ten a minute for the tenant; other calls go on."""
    headers = await api.headers()
    for _ in range(10):
        await made(api, headers)
    another = await api.headers()
    answer = await api.client.post("/v3/api_keys", headers=another, json={"name": "one more"})
    assert (answer.status_code, answer.json()) == (429, {"detail": "Rate limit exceeded"})
    assert answer.headers["Retry-After"] == "60"
    assert (await api.client.get("/v3/api_keys", headers=headers)).status_code == 200
    api.clock.move(60)
    await made(api, headers)
