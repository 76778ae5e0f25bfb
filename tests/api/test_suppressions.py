"""/v3/suppression/bounces: looked up, added by hand, removed."""

from typing import Any
from urllib.parse import quote

import pytest

from postclock.core.suppression import Suppression
from tests.support.slow_api import SlowApi

BASE = "/v3/suppression/bounces"


async def add(api: SlowApi, headers: dict[str, str], email: str, **fields: Any) -> dict[str, Any]:
    answer = await api.client.post(BASE, headers=headers, json={"email": email, **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def listed(api: SlowApi, headers: dict[str, str], query: str = "") -> tuple[list[str], int]:
    body = (await api.client.get(BASE + query, headers=headers)).json()
    return [entry["email"] for entry in body["bounces"]], body["total"]


async def test_an_address_is_added_by_hand(api: SlowApi) -> None:
    """POST answers 201 with the entry; it is a hard bounce unless said otherwise."""
    headers = await api.headers()
    entry = await add(api, headers, "Ann@Example.ORG", reason="asked by phone")
    assert entry == {
        "email": "ann@example.org",
        "created": 1_800_000_000,
        "reason": "asked by phone",
        "bounce_type": "hard",
        "status": "",
    }
    assert (await add(api, headers, "bob@example.org", bounce_type="block"))["bounce_type"] == "block"


async def test_an_entry_is_found_however_it_is_written(api: SlowApi) -> None:
    """Addresses are compared in lower case with the domain in IDNA form; the answer is an array, 404 when there is none."""
    headers = await api.headers()
    await add(api, headers, "Ann@Bücher.example")
    for email in ("ann@bücher.example", "ANN@xn--bcher-kva.example"):
        answer = await api.client.get(f"{BASE}/{quote(email)}", headers=headers)
        assert answer.status_code == 200
        assert [entry["email"] for entry in answer.json()] == ["ann@xn--bcher-kva.example"]
        assert await listed(api, headers, f"?email={quote(email)}") == (["ann@xn--bcher-kva.example"], 1)
    missing = await api.client.get(f"{BASE}/bob@example.org", headers=headers)
    assert (missing.status_code, missing.json()) == (404, {"detail": "Bounce not found"})


async def test_a_slash_in_an_address_is_part_of_it(api: SlowApi) -> None:
    """RFC 5322 allows a slash before the @; the path takes it, encoded or not."""
    headers = await api.headers()
    await add(api, headers, "a/b@example.org")
    assert (await api.client.get(f"{BASE}/a%2Fb@example.org", headers=headers)).status_code == 200
    assert (await api.client.delete(f"{BASE}/a/b@example.org", headers=headers)).status_code == 204


async def test_the_list_is_newest_first_in_slices(api: SlowApi) -> None:
    """limit and offset cut it, total counts all that match, times are Unix seconds and both ends count."""
    headers = await api.headers()
    for name in "abcde":
        await add(api, headers, f"{name}@example.org")
        api.clock.move(10)
    assert await listed(api, headers) == ([f"{n}@example.org" for n in "edcba"], 5)
    assert await listed(api, headers, "?limit=2&offset=1") == (["d@example.org", "c@example.org"], 5)
    assert await listed(api, headers, "?start_time=1800000010&end_time=1800000020") == (
        ["c@example.org", "b@example.org"],
        2,
    )
    assert await listed(api, headers, "?offset=9") == ([], 5)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=", "offset=-1", "start_time=1.5", "end_time=253402300800", "offset=²"],
)
async def test_a_bad_parameter_is_named(api: SlowApi, query: str) -> None:
    """Out of range, or no number at all: 400 with the parameter's name."""
    answer = await api.client.get(f"{BASE}?{query}", headers=await api.headers())
    assert answer.status_code == 400
    assert [entry["loc"] for entry in answer.json()["detail"]] == [[query.partition("=")[0]]]


async def test_all_bad_parameters_are_named_at_once(api: SlowApi) -> None:
    """Two bad ones give two entries."""
    answer = await api.client.get(f"{BASE}?limit=0&offset=x", headers=await api.headers())
    assert [entry["loc"] for entry in answer.json()["detail"]] == [["limit"], ["offset"]]


async def test_a_bad_entry_is_refused_by_field(api: SlowApi) -> None:
    """What is no address, an unknown type and an endless reason are told by their fields."""
    headers = await api.headers()
    shape = await api.client.post(BASE, headers=headers, json={"email": "ann@example.org", "bounce_type": "firm"})
    assert [entry["loc"] for entry in shape.json()["detail"]] == [["bounce_type"]]
    meaning = await api.client.post(BASE, headers=headers, json={"email": "ann", "reason": "x" * 1_001})
    assert [entry["loc"] for entry in meaning.json()["detail"]] == [["email"], ["reason"]]
    assert await listed(api, headers) == ([], 0)


async def test_removed_is_gone(api: SlowApi) -> None:
    """DELETE of one answers 204, and 404 when it is not there."""
    headers = await api.headers()
    await add(api, headers, "ann@example.org")
    answer = await api.client.delete(f"{BASE}/ANN@example.org", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await api.client.delete(f"{BASE}/ann@example.org", headers=headers)).status_code == 404


async def test_everything_goes_only_when_it_is_said(api: SlowApi) -> None:
    """DELETE of the list is 400 without delete_all=true, and removes nothing then."""
    headers = await api.headers()
    await add(api, headers, "ann@example.org")
    for query in ("", "?delete_all=false", "?delete_all=maybe"):
        answer = await api.client.delete(BASE + query, headers=headers)
        assert answer.status_code == 400
        assert [entry["loc"] for entry in answer.json()["detail"]] == [["delete_all"]]
    assert (await listed(api, headers))[1] == 1
    assert (await api.client.delete(f"{BASE}?delete_all=true", headers=headers)).status_code == 204
    assert await listed(api, headers) == ([], 0)


async def test_modes_tenants_and_lists_stay_apart(api: SlowApi) -> None:
    """A test key neither sees nor empties the live list, a neighbour sees nothing, and other lists are not touched."""
    live, tester = await api.headers(), await api.headers(environment="test")
    foreign = await api.headers(tenant=await api.tenants.create("neighbour"))
    await add(api, live, "live@example.org")
    await add(api, tester, "test@example.org")
    await api.store.suppressions.suppress(
        api.tenant.id, 0, Suppression(address="spam@example.org", list="spam_reports", created_at=1)
    )
    assert await listed(api, live) == (["live@example.org"], 1)
    assert await listed(api, tester) == (["test@example.org"], 1)
    assert await listed(api, foreign) == ([], 0)
    assert (await api.client.get(f"{BASE}/live@example.org", headers=tester)).status_code == 404
    await api.client.delete(f"{BASE}?delete_all=true", headers=tester)
    await api.client.delete(f"{BASE}?delete_all=true", headers=foreign)
    assert await listed(api, live) == (["live@example.org"], 1)
    assert await api.store.suppressions.suppression(api.tenant.id, 0, "spam_reports", "spam@example.org") is not None


async def test_reading_and_writing_are_two_scopes(api: SlowApi) -> None:
    """Each verb names the scope it lacks."""
    reader, writer = await api.headers(["suppressions.read"]), await api.headers(["suppressions.write"])
    assert (await api.client.get(BASE, headers=reader)).status_code == 200
    assert (await api.client.get(BASE, headers=writer)).json() == {
        "detail": "Missing required scope: suppressions.read"
    }
    for method, path in (("POST", BASE), ("DELETE", BASE), ("DELETE", f"{BASE}/ann@example.org")):
        answer = await api.client.request(method, path, headers=reader)
        assert answer.json() == {"detail": "Missing required scope: suppressions.write"}
