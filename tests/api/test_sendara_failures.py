"""What /v1 answers when something is wrong: the envelope, the codes, the statuses that differ from /v3's (Sendara's documentation, errors)."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.failures import failure_of
from postclock.api.limits import Ceiling, Limits
from postclock.api.scaisend.failures import VOICE as SCAISEND_VOICE
from postclock.api.sendara.failures import BY_STATUS, VOICE
from postclock.api.shape import THREAD_FROM
from postclock.core.account import Scope
from postclock.core.errors import (
    Busy,
    Conflict,
    FieldError,
    Forbidden,
    FromNotVerified,
    Invalid,
    InvalidRecipient,
    KeyReused,
    Limited,
    MissingVariable,
    NotFound,
    PostclockError,
    RecipientSuppressed,
    RecipientUndeliverable,
    SpendCapExceeded,
    TooLarge,
    Unauthorized,
    Unprocessable,
    ValidationNotConfigured,
)
from tests.support.slow_api import SlowApi, slow_api

EVERY: list[tuple[Exception, int, str, int]] = [
    (Invalid("wrong", "a.b"), 400, "invalid_request", 400),
    (Unauthorized("Invalid API key"), 401, "unauthorized", 401),
    (SpendCapExceeded("cap"), 402, "spend_cap_exceeded", 403),
    (Forbidden("scope"), 403, "forbidden", 403),
    (NotFound("no"), 404, "not_found", 404),
    (Conflict("there"), 409, "conflict", 409),
    (KeyReused("used"), 409, "idempotency_key_reused", 422),
    (RecipientSuppressed("sad"), 409, "recipient_suppressed", 409),
    (TooLarge("large"), 413, "payload_too_large", 413),
    (FromNotVerified("from"), 422, "from_not_verified", 403),
    (Unprocessable("no"), 422, "unprocessable", 422),
    (InvalidRecipient("no"), 422, "invalid_recipient", 422),
    (RecipientUndeliverable("no"), 422, "recipient_undeliverable", 422),
    (MissingVariable("name"), 422, "missing_variable", 422),
    (Limited(limit=1, remaining=0, reset_at=5, retry_after=1), 429, "rate_limit_exceeded", 429),
    (ValueError("secret detail"), 500, "internal_error", 500),
    (PostclockError("secret detail"), 500, "internal_error", 500),
    (ValidationNotConfigured("off"), 503, "validation_not_configured", 503),
    (Busy("not now"), 503, "unavailable", 503),
    (Busy("full", status=507), 507, "unavailable", 507),
]


@pytest.mark.parametrize(("error", "status", "code", "of_v3"), EVERY, ids=[type(e).__name__ for e, *_ in EVERY])
def test_each_failure_has_its_code_and_its_status(error: Exception, status: int, code: str, of_v3: int) -> None:
    """The envelope repeats the HTTP status; /v3 has another for some."""
    failure = failure_of(error)
    told = json.loads(VOICE.failure_body("/v1/send", failure))
    assert VOICE.status_of(failure) == status
    assert told == {"error": {"code": code, "message": told["error"]["message"], "status": status}}
    assert "secret" not in told["error"]["message"]
    assert SCAISEND_VOICE.status_of(failure) == of_v3


def test_every_bad_field_stands_in_the_sentence() -> None:
    """By its path, for a person; there is no other place for it in the envelope."""
    error = Invalid([FieldError("Too long.", "a.b"), FieldError("Bad"), FieldError("Required.", "c")])
    told = json.loads(VOICE.failure_body("/v1/send", failure_of(error)))
    assert told["error"]["message"] == "a.b: Too long. Bad. c: Required."


def test_every_code_is_in_the_documentation() -> None:
    """With its status."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for status, code in {(status, code) for _, status, code, _ in EVERY} | set(BY_STATUS.items()):
        assert any(line.startswith(f"| `{code}` | ") and str(status) in line for line in page.splitlines()), code


# What every endpoint of /v1 goes through


class Inner(msgspec.Struct):
    a: str | None = None


class Body(msgspec.Struct):
    inner: Inner | None = None
    names: list[str] | None = None


def _endpoint(path: str, answer: Any, **more: Any) -> Endpoint:
    return Endpoint(method="POST", path=path, summary=path, answer=answer, **more)


async def _fails(_: Call) -> Reply:
    raise FromNotVerified("The domain is not verified")


async def _breaks(_: Call) -> Reply:
    raise ZeroDivisionError("secret detail")


async def _takes(call: Call) -> Reply:
    return Reply(call.body(Body))


async def _lists(call: Call) -> Reply:
    return Reply(call.body(list[Body]))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """A few endpoints of both dialects."""
    more = [
        _endpoint("/v1/fails", _fails, scopes=(Scope.mail_send,)),
        _endpoint("/v1/breaks", _breaks),
        _endpoint("/v1/takes", _takes, takes=Body),
        _endpoint("/v1/lists", _lists, takes=list[Body]),
        _endpoint("/v3/fails", _fails),
        _endpoint("/v3/takes", _takes, takes=Body),
    ]
    async with slow_api(tmp_path, more=more) as running:
        yield running


async def test_the_status_is_the_dialects(api: SlowApi) -> None:
    """The same failure is 422 here and 403 there; both tell what is left of the ceiling."""
    headers = await api.headers()
    for path, status in (("/v1/fails", 422), ("/v3/fails", 403)):
        answer = await api.client.post(path, headers=headers)
        assert answer.status_code == status
        assert int(answer.headers["X-RateLimit-Remaining"]) < int(answer.headers["X-RateLimit-Limit"])


async def test_an_accident_is_told_to_people_with_the_requests_id(
    api: SlowApi, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller learns the id and nothing else; the log has both."""
    with caplog.at_level(logging.ERROR, "postclock"):
        answer = await api.client.post("/v1/breaks", headers=await api.headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    [record] = caplog.records
    assert vars(record)["fields"]["request"] == answer.headers["X-Request-Id"]
    assert record.exc_info is not None


async def test_a_missing_scope_counts_nothing(api: SlowApi) -> None:
    """403 forbidden, with the headers about the ceiling."""
    headers = await api.headers(["messages.read"])
    left = [(await api.client.post("/v1/fails", headers=headers)).headers["X-RateLimit-Remaining"] for _ in range(3)]
    assert len(set(left)) == 1


async def test_an_empty_list_where_an_object_belongs_is_absent(api: SlowApi) -> None:
    """On /v1, where PHP sends it; on /v3 it is a mistake. Where a list belongs it is one."""
    headers = await api.headers()
    body: dict[str, Any] = {"inner": [], "names": []}
    answer = await api.client.post("/v1/takes", headers=headers, json=body)
    assert answer.json() == {"inner": None, "names": []}
    whole = await api.client.post("/v1/takes", headers=headers, json=[])
    assert whole.json() == {"inner": None, "names": None}
    assert (await api.client.post("/v3/takes", headers=headers, json=[])).status_code == 400
    assert (await api.client.post("/v1/takes", headers=headers, json={"inner": [1]})).status_code == 400
    assert (await api.client.post("/v3/takes", headers=headers, json=body)).status_code == 400


async def test_a_bare_array_can_be_body_and_answer(api: SlowApi) -> None:
    """Small or large; a bad item is named by its place."""
    headers = await api.headers()
    small: list[dict[str, Any]] = [{"names": ["a"]}, {}]
    large: list[dict[str, Any]] = [{"names": ["x" * THREAD_FROM]}, {"inner": []}]
    for items in (small, large):
        answer = await api.client.post("/v1/lists", headers=headers, json=items)
        assert [item["names"] for item in answer.json()] == [item.get("names") for item in items]
    wrong = await api.client.post("/v1/lists", headers=headers, json=[{}, {"names": [5]}])
    assert wrong.json()["error"]["message"].startswith("1.names.0: ")
    for nothing in (b"", b"{}"):
        assert (await api.client.post("/v1/lists", headers=headers, content=nothing)).status_code == 400


async def test_a_look_at_a_ceiling_takes_nothing_of_it(api: SlowApi) -> None:
    """In an open window, after it, and when it is full."""
    limits, who = Limits(api.clock), await api.authenticator.authenticate((await api.headers())["Authorization"])
    whole = limits.look(who, Ceiling.message_lists).limit
    assert limits.look(who, Ceiling.message_lists).remaining == whole
    taken = [limits.take(who, Ceiling.message_lists) for _ in range(whole)]
    assert limits.look(who, Ceiling.message_lists) == taken[-1]
    assert taken[-1].remaining == 0
    api.clock.move(1.0)
    assert limits.look(who, Ceiling.message_lists).remaining == whole
