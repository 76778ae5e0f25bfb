"""POST /v1/send/batch: an array in, an array out, each item for itself (Sendara's documentation, batch)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postclock.api.json_body import MAX_BODY
from postclock.api.sendara.send import SendOne
from postclock.api.sendara.send_batch import AT_ONCE, MAX_ITEMS, PARSED_AT_ONCE, PATH
from postclock.service.submit import BULK_FROM
from tests.support.send_api import Json, SendApi, fresh_api, one


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SendApi]:
    """The real app over a fresh store."""
    async with fresh_api(tmp_path) as running:
        yield running


async def batch(api: SendApi, items: Any, **how: Any) -> list[Json]:
    """The answer to a batch that must be taken."""
    answer = await api.post(items, path=PATH, **how)
    assert answer.status_code == 200, answer.text
    told: list[Json] = answer.json()
    return told


async def test_partial_success_in_the_order_of_the_call(api: SendApi) -> None:
    """What was taken has its response, what was not its error; neither has the other's field."""
    await api.suppress("sad@example.net")
    told = await batch(
        api,
        [
            one(idempotency_key="b1"),
            one("sad@example.net"),
            {"channel": "sms"},
            5,
            one(scheduled_at=api.at(3_600)),
            one(metadata={"from_email": "a@elsewhere.com"}),
        ],
    )
    assert [item["success"] for item in told] == [True, False, False, False, True, False]
    assert all(set(item) == {"success", "response" if item["success"] else "error"} for item in told)
    assert (told[0]["response"]["idempotency_key"], told[0]["response"]["status"]) == ("b1", "queued")
    assert set(told[0]["response"]) == {"id", "status", "channel", "idempotency_key", "created_at"}
    assert told[4]["response"]["status"] == "scheduled"
    errors = [(item["error"]["code"], item["error"]["status"]) for item in told if not item["success"]]
    assert errors == [
        ("recipient_suppressed", 409), ("invalid_request", 400), ("invalid_request", 400), ("from_not_verified", 422),
    ]  # fmt: skip
    assert all(set(item["error"]) == {"code", "message", "status"} for item in told if not item["success"])
    assert await api.count() == 2


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"5", b"[", b"null", b"\xff", b"[1,]", b"[" * 100_000])
async def test_what_is_no_array_of_items_is_refused_whole(api: SendApi, body: bytes) -> None:
    """400 invalid_request."""
    assert (await api.refused(body, path=PATH))[:2] == (400, "invalid_request")


async def test_a_thousand_items_and_not_one_more(api: SendApi) -> None:
    """All are taken, each with an id of its own; 1,001 are none."""
    items = [one(f"user{n}@example.net", scheduled_at=api.at(3_600)) for n in range(MAX_ITEMS)]
    told = await batch(api, items)
    assert len({item["response"]["id"] for item in told}) == MAX_ITEMS
    recipients = [(await api.stored(told[n]["response"]["id"]))[1].recipients[0].email for n in (0, 500, 999)]
    assert recipients == ["user0@example.net", "user500@example.net", "user999@example.net"]
    assert (await api.refused([*items, one()], path=PATH))[0] == 400


async def test_many_items_stand_behind_single_sends(api: SendApi) -> None:
    """More than ten take the lane of bulk mail; ten do not. Marketing always does."""
    for n, kind, lane in ((BULK_FROM, "transactional", 0), (BULK_FROM + 1, "transactional", 2), (1, "marketing", 2)):
        await batch(api, [one(message_type=kind)] * n)
        now = api.clock.now_ms()
        limits = [(lane_of, 100 if lane_of == lane else 0) for lane_of in (0, 1, 2)]
        assert len(await api.store.ledger.claim(limits, now, now)) == n


async def test_the_same_key_twice_in_one_batch(api: SendApi) -> None:
    """In order: the second is a replay of the first, or it says something else; a refused first leaves the key."""
    body = one(idempotency_key="k")
    told = await batch(
        api,
        [
            body, body, one("bob@example.net", idempotency_key="k"),
            one(idempotency_key="l", scheduled_at=api.at(-86_400)), one(idempotency_key="l"),
        ],
    )  # fmt: skip
    assert told[0] == told[1]
    assert told[2]["error"]["code"] == "idempotency_key_reused"
    assert [item["success"] for item in told[3:]] == [False, True]
    assert await api.count() == 2


async def test_a_batch_that_is_made_again(api: SendApi) -> None:
    """Items with keys are the same messages, those without are new."""
    items = [one(idempotency_key="k"), one()]
    first, again = await batch(api, items), await batch(api, items)
    assert first[0] == again[0]
    assert first[1]["response"]["id"] != again[1]["response"]["id"]


async def test_one_batch_is_one_call_for_the_rate_limit(api: SendApi) -> None:
    """However many items it has."""
    await api.tenants.set("default", ["rate_sends=2"])
    for _ in range(2):
        await batch(api, [one()] * 20)
    assert (await api.refused([one()], path=PATH))[:2] == (429, "rate_limit_exceeded")


async def test_an_item_that_nests_too_deep_fails_alone(api: SendApi) -> None:
    """And so does one with half of a surrogate pair, with U+0000 or NaN."""
    deep = '{"a":' * 70 + "1" + "}" * 70
    texts = [
        json.dumps(one()).replace("Reminder", text) for text in ("fine", r"\ud800", r"\u0000", "fine")
    ] + [json.dumps(one()).replace('"channel"', f'"x": {deep}, "channel"')]  # fmt: skip
    told = await batch(api, f"[{' ,'.join(texts)}, NaN ] ".encode())
    assert [item["success"] for item in told] == [True, False, False, True, False, False]


async def test_an_item_that_fails_unexpectedly_fails_alone(api: SendApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 internal_error for it, without a word of what it was; the others are answered."""
    real = SendOne.send

    async def send(self: SendOne, who: Any, asked: Any, *args: Any, **more: Any) -> Any:
        if asked.submission.subject == "boom":
            raise ZeroDivisionError("secret detail")
        return await real(self, who, asked, *args, **more)

    monkeypatch.setattr(SendOne, "send", send)
    told = await batch(api, [one(), one(payload={"subject": "boom", "body_text": "a"}), one()])
    assert [item["success"] for item in told] == [True, False, True]
    assert told[1]["error"] == {"code": "internal_error", "message": "Internal error", "status": 500}


async def test_a_batch_that_is_too_large(api: SendApi) -> None:
    """413 over 20 MB; a large one below is decoded and taken."""
    assert (await api.refused(b"x", path=PATH, headers={"Content-Length": str(MAX_BODY + 1)}))[0] == 413
    html = "<p>" + "x" * 20_000 + "</p>"
    told = await batch(api, [one(payload={"subject": "a", "body_html": html})] * (AT_ONCE + 20))
    assert all(item["success"] for item in told)


async def test_others_have_their_turn_between_large_items(api: SendApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few the items are: what is read in one go is bounded in octets."""
    real, order = SendOne.parse, list[str]()

    async def parse(self: SendOne, who: Any, body: bytes) -> Any:
        order.append("read")
        return await real(self, who, body)

    async def sleep(seconds: float) -> None:
        order.append("turn")

    monkeypatch.setattr(SendOne, "parse", parse)
    monkeypatch.setattr(api.clock, "sleep", sleep)
    await batch(api, [one(payload={"subject": "a", "body_text": "x" * PARSED_AT_ONCE})] * 3)
    assert order == ["read", "turn"] * 3


async def test_who_may_not_send_may_not_send_many(api: SendApi) -> None:
    """403 for the call, 401 without a key."""
    answer = await api.client.post(PATH, json=[one()], headers=await api.key(["read"]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert (await api.client.post(PATH, json=[one()])).status_code == 401


async def test_no_scope_to_schedule_is_the_items_failure(api: SendApi) -> None:
    """The others go."""
    headers = await api.key(["mail.send"], dialect="scaisend")
    told = await batch(api, [one(), one(scheduled_at=api.at(60))], headers=headers)
    assert [item["success"] for item in told] == [True, False]
    assert (told[1]["error"]["code"], told[1]["error"]["status"]) == ("forbidden", 403)
