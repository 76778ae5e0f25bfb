"""POST /v1/send: who may ask, how often, and what every answer carries."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.send_api import SendApi, fresh_api, one


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SendApi]:
    """The real app over a fresh store."""
    async with fresh_api(tmp_path) as running:
        yield running


async def test_a_credential_comes_first(api: SendApi) -> None:
    """401 in the envelope, before the body is looked at."""
    for value in (None, "Bearer sk_live_" + "0" * 32, "Basic abc"):
        answer = await api.client.post(
            "/v1/send", content=b"{", headers={} if value is None else {"Authorization": value}
        )
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthorized"
        assert "X-RateLimit-Limit" not in answer.headers


async def test_a_read_key_may_not_send(api: SendApi) -> None:
    """403 forbidden; what the ceiling leaves is told all the same, and nothing of it is used."""
    before = (await api.post(one())).headers["X-RateLimit-Remaining"]
    answer = await api.client.post("/v1/send", json=one(), headers=await api.key(["read"]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert answer.headers["X-RateLimit-Remaining"] == before


async def test_a_key_that_may_not_schedule(api: SendApi) -> None:
    """A /v3 key with mail.send alone: under a minute is no schedule, a minute is."""
    headers = await api.key(["mail.send"], dialect="scaisend")
    for seconds, status in ((59, 201), (60, 403)):
        answer = await api.client.post("/v1/send", json=one(scheduled_at=api.at(seconds)), headers=headers)
        assert answer.status_code == status
    assert answer.json()["error"]["code"] == "forbidden"


async def test_every_answer_has_its_request_id_and_what_is_left(api: SendApi) -> None:
    """Whether it is taken or refused; each call its own."""
    seen = set()
    for body in (one(), one(channel="sms"), one(metadata={"from_email": "a@elsewhere.com"})):
        answer = await api.post(body)
        seen.add(answer.headers["X-Request-Id"])
        for name in ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"):
            assert name in answer.headers
        assert "Retry-After" not in answer.headers
    missing = await api.client.get("/v1/nowhere")
    assert missing.json()["error"]["code"] == "not_found"
    wrong = await api.client.get("/v1/send")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    seen |= {missing.headers["X-Request-Id"], wrong.headers["X-Request-Id"]}
    assert len(seen) == 5


async def test_over_the_rate_limit(api: SendApi) -> None:
    """429 rate_limit_exceeded with Retry-After; it is not processed, and a second later it goes."""
    await api.tenants.set("default", ["rate_sends=2"])
    answers = [await api.post(one()) for _ in range(3)]
    assert [a.status_code for a in answers] == [201, 201, 429]
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert answers[2].headers["Retry-After"] == "1"
    assert answers[2].headers["X-RateLimit-Remaining"] == "0"
    api.clock.move(1.0)
    assert (await api.post(one())).status_code == 201
