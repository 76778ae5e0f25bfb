"""/v1/suppressions and the lists of /v3: one set of entries, seen through both dialects."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postclock.api.scaisend.suppressions import spam_report_endpoints, unsubscribe_endpoints
from postclock.api.sendara.suppressions import suppression_endpoints
from postclock.core.suppression import LISTS, Suppression
from postclock.service.suppressions import Suppressions
from tests.support.slow_api import SlowApi, slow_api

BASE = "/v1/suppressions"
V3 = "/v3/suppression"
GLOBAL = "/v3/asm/suppressions/global"
Headers = dict[str, str]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """The API with the suppressions of both dialects."""

    def built(store: Any, clock: Any) -> list[Any]:
        service = Suppressions(store.suppressions, clock)
        return [
            *suppression_endpoints(service),
            *spam_report_endpoints(service),
            *unsubscribe_endpoints(service),
        ]

    async with slow_api(tmp_path, built=built) as running:
        yield running


async def add(api: SlowApi, headers: Headers, recipient: str, reason: str | None = None, code: int = 201) -> Any:
    body = {"channel": "email", "recipient": recipient} | ({} if reason is None else {"reason": reason})
    answer = await api.client.post(BASE, headers=headers, json=body)
    assert answer.status_code == code, answer.text
    return answer.json()


async def page(api: SlowApi, headers: Headers, **query: Any) -> Any:
    answer = await api.client.get(BASE, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def listed(api: SlowApi, headers: Headers, **query: Any) -> list[tuple[str, str]]:
    return [(s["recipient"], s["reason"]) for s in (await page(api, headers, **query))["suppressions"]]


async def remove(api: SlowApi, headers: Headers, **query: Any) -> int:
    return (await api.client.delete(BASE, headers=headers, params=query)).status_code


async def v3(api: SlowApi, headers: Headers, path: str) -> Any:
    answer = await api.client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_entry_added_by_hand(api: SlowApi) -> None:
    """201 with the entry, whose state is suppressed; addresses are compared in lower case."""
    headers = await api.headers()
    entry = await add(api, headers, "Ann@Example.ORG", "bounce")
    assert entry == {
        "channel": "email",
        "recipient": "ann@example.org",
        "state": "suppressed",
        "reason": "bounce",
        "updated_at": "2027-01-15T08:00:00Z",
    }
    assert await page(api, headers, channel="email") == {"suppressions": [entry], "next_cursor": None}


async def test_the_reason_says_which_list_it_is_for_v3(api: SlowApi) -> None:
    """bounce, complaint, and everything else as an unsubscribe that keeps its reason."""
    headers = await api.headers()
    await add(api, headers, "b@example.org", "bounce")
    await add(api, headers, "c@example.org", "complaint")
    await add(api, headers, "u@example.org", "asked by phone")
    await add(api, headers, "v@example.org")
    bounces = await v3(api, headers, f"{V3}/bounces")
    assert [(e["email"], e["bounce_type"]) for e in bounces["bounces"]] == [("b@example.org", "hard")]
    reports = await v3(api, headers, f"{V3}/spam_reports")
    assert ([e["email"] for e in reports["spam_reports"]], reports["total"]) == (["c@example.org"], 1)
    gone = await v3(api, headers, f"{V3}/unsubscribes")
    assert [e["email"] for e in gone] == ["v@example.org", "u@example.org"]
    assert await listed(api, headers) == [
        ("v@example.org", "unsubscribe"), ("u@example.org", "asked by phone"), ("c@example.org", "complaint"), ("b@example.org", "bounce"),
    ]  # fmt: skip


async def test_an_address_on_several_lists_is_shown_once_and_removed_from_all(api: SlowApi) -> None:
    """By its newest entry; DELETE answers 204 once and 404 then."""
    headers = await api.headers()
    for reason in ("complaint", "bounce", "unsubscribe"):
        await add(api, headers, "ann@example.org", reason)
        api.clock.move(1)
        assert await listed(api, headers) == [("ann@example.org", reason)]
    assert await remove(api, headers, channel="email", recipient="ANN@example.org") == 204
    assert await listed(api, headers) == []
    for path in ("bounces", "spam_reports"):
        assert (await v3(api, headers, f"{V3}/{path}"))["total"] == 0
    assert await remove(api, headers, channel="email", recipient="ann@example.org") == 404


async def test_two_lists_of_one_moment_are_still_one_entry(api: SlowApi) -> None:
    """The clock stands still between the two."""
    headers = await api.headers()
    for reason in ("unsubscribe", "bounce", "complaint"):
        await add(api, headers, "ann@example.org", reason)
    assert [recipient for recipient, _ in await listed(api, headers)] == ["ann@example.org"]


async def test_pages_reach_every_entry(api: SlowApi) -> None:
    """Also of one moment and of all lists, and while entries come and go between the pages."""
    headers = await api.headers()
    entries = [
        Suppression(address=f"u{n:02d}@example.org", list=LISTS[n % 3], created_at=1_000 + n // 4) for n in range(20)
    ]
    await api.store.suppressions.suppress_all(api.tenant.id, 0, entries)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        part = await page(api, headers, limit=3, **cursor)
        seen += [s["recipient"] for s in part["suppressions"]]
        if part["next_cursor"] is None:
            break
        cursor = {"cursor": part["next_cursor"]}
        await add(api, headers, f"new{len(seen)}@example.org")
        await remove(api, headers, channel="email", recipient=seen[-1])
    assert seen == [e.address for e in sorted(entries, key=lambda e: (e.created_at, e.address), reverse=True)]


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [("channel", "sms"), ("limit", "0"), ("limit", "1001"), ("cursor", "x"), ("cursor", encoded({"at": -1, "recipient": "a"})),
     ("cursor", encoded({"at": 2**63, "recipient": "a"})), ("cursor", encoded({"at": 1, "recipient": "a\x00"})), ("cursor", "A" * 700),
     ("cursor", encoded({"at": 1, "recipient": "\ud800"}))],
)  # fmt: skip
async def test_a_bad_parameter_is_named(api: SlowApi, name: str, value: str) -> None:
    """400 invalid_request, never a 500."""
    answer = await api.client.get(BASE, headers=await api.headers(), params={name: value})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert name in answer.json()["error"]["message"]


async def test_a_bad_entry_is_refused_by_field(api: SlowApi) -> None:
    """No address, another channel, no channel, an endless reason; a delete needs both of its parameters."""
    headers = await api.headers()
    assert "recipient" in (await add(api, headers, "ann", code=400))["error"]["message"]
    assert "reason" in (await add(api, headers, "ann@example.org", "x" * 1_001, 400))["error"]["message"]
    for body in ({"recipient": "ann@example.org"}, {"channel": "sms", "recipient": "ann@example.org"}):
        answer = await api.client.post(BASE, headers=headers, json=body)
        assert (answer.status_code, "channel" in answer.json()["error"]["message"]) == (400, True)
    for query in ({}, {"channel": "email"}, {"recipient": "ann@example.org"}):
        assert await remove(api, headers, **query) == 400
    answer = await api.client.delete(BASE, headers=headers, params={"channel": "email", "recipient": "\x00"})
    assert (answer.status_code, answer.json()["error"]["message"].count("recipient: ")) == (400, 1)
    assert await listed(api, headers) == []


async def test_modes_tenants_and_scopes_stay_apart(api: SlowApi) -> None:
    """A test key sees and removes test entries alone, a neighbour none; read and write are two scopes."""
    live, tester = await api.headers(), await api.headers(environment="test")
    foreign = await api.headers(tenant=await api.tenants.create("neighbour"))
    await add(api, live, "live@example.org")
    await add(api, tester, "test@example.org")
    assert await listed(api, live) == [("live@example.org", "unsubscribe")]
    assert await listed(api, tester) == [("test@example.org", "unsubscribe")]
    assert await listed(api, foreign) == []
    for who in (tester, foreign):
        assert await remove(api, who, channel="email", recipient="live@example.org") == 404
    reader = await api.headers(["suppressions.read"])
    assert await listed(api, reader) == [("live@example.org", "unsubscribe")]
    assert (await add(api, reader, "x@example.org", code=403))["error"]["code"] == "forbidden"
    assert await remove(api, reader, channel="email", recipient="live@example.org") == 403


# What /v3 has beside bounces


async def test_spam_reports_mirror_bounces(api: SlowApi) -> None:
    """Added, listed in slices, read, removed one by one or all when that is said; /v1 shows them as complaints."""
    headers = await api.headers()
    path = f"{V3}/spam_reports"
    answer = await api.client.post(path, headers=headers, json={"email": "Ann@example.org", "reason": "abuse desk"})
    entry = {"email": "ann@example.org", "created": 1_800_000_000, "reason": "abuse desk"}
    assert (answer.status_code, answer.json()) == (201, entry)
    api.clock.move(10)
    await api.client.post(path, headers=headers, json={"email": "bob@example.org"})
    assert await v3(api, headers, f"{path}?limit=1&offset=1") == {"spam_reports": [entry], "total": 2}
    assert await v3(api, headers, f"{path}/ANN@example.org") == [entry]
    assert await listed(api, headers) == [("bob@example.org", "complaint"), ("ann@example.org", "complaint")]
    assert (await api.client.delete(f"{path}/ann@example.org", headers=headers)).status_code == 204
    missing = await api.client.get(f"{path}/ann@example.org", headers=headers)
    assert (missing.status_code, missing.json()) == (404, {"detail": "Spam report not found"})
    assert (await api.client.delete(path, headers=headers)).status_code == 400
    assert (await api.client.delete(f"{path}?delete_all=true", headers=headers)).status_code == 204
    assert await listed(api, headers) == []


async def test_global_unsubscribes_are_sendgrids(api: SlowApi) -> None:
    """Several at once; one is read as an object, empty when it is not there; the list is a bare array."""
    headers = await api.headers()
    given = {"recipient_emails": ["Ann@example.org", "bob@example.org", "ann@EXAMPLE.org"]}
    answer = await api.client.post(GLOBAL, headers=headers, json=given)
    assert (answer.status_code, answer.json()) == (201, given)
    assert await v3(api, headers, f"{GLOBAL}/ann@example.org") == {"recipient_email": "ann@example.org"}
    assert await v3(api, headers, f"{GLOBAL}/cyd@example.org") == {}
    assert await v3(api, headers, f"{V3}/unsubscribes") == [
        {"email": "bob@example.org", "created": 1_800_000_000}, {"email": "ann@example.org", "created": 1_800_000_000},
    ]  # fmt: skip
    assert (await api.client.delete(f"{GLOBAL}/ann@example.org", headers=headers)).status_code == 204
    assert (await api.client.delete(f"{GLOBAL}/ann@example.org", headers=headers)).status_code == 404
    assert await listed(api, headers) == [("bob@example.org", "unsubscribe")]


@pytest.mark.parametrize(
    ("emails", "fields"),
    [([], ["recipient_emails"]), (["a@example.org"] * 1_001, ["recipient_emails"]),
     (["ann", "bob@example.org", ""], ["recipient_emails.0", "recipient_emails.2"])],
)  # fmt: skip
async def test_global_unsubscribes_are_taken_all_or_none(api: SlowApi, emails: list[str], fields: list[str]) -> None:
    """1 to 1,000 of them, each an address; every bad one is named, and nothing is stored."""
    headers = await api.headers()
    answer = await api.client.post(GLOBAL, headers=headers, json={"recipient_emails": emails})
    assert answer.status_code == 400
    assert [".".join(map(str, e["loc"])) for e in answer.json()["detail"]] == fields
    assert await listed(api, headers) == []
