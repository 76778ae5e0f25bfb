"""What is answered when something is wrong: statuses, the two shapes of /v3, and nothing that should not be told."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from postclock.api.app import build_app
from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.failures import Failure, failure_of
from postclock.api.json_body import MAX_BODY
from postclock.api.scaisend.failures import failure_body
from postclock.core.errors import (
    Busy,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    KeyReused,
    Limited,
    NotFound,
    PostclockError,
    TooLarge,
    Unauthorized,
)
from tests.support.slow_api import SlowApi, slow_api

EVERY: list[tuple[Exception, int, str]] = [
    (Invalid("That is wrong.", "personalizations.3.send_at"), 400, "That is wrong."),
    (Unauthorized("Invalid API key"), 401, "Invalid API key"),
    (Forbidden("Sender domain not verified", "from"), 403, "Sender domain not verified"),
    (NotFound("Message not found"), 404, "Message not found"),
    (Conflict("It is there already"), 409, "It is there already"),
    (TooLarge("Too large"), 413, "Too large"),
    (KeyReused("The key was used for another request"), 422, "The key was used for another request"),
    (Limited(limit=10, remaining=0, reset_at=1_800_000_060, retry_after=60), 429, "Rate limit exceeded"),
    (ValueError("secret detail"), 500, "Internal error"),
    (PostclockError("secret detail"), 500, "Internal error"),
    (Busy("Not now", retry_after=5), 503, "Not now"),
    (Busy("The disk is full", status=507), 507, "The disk is full"),
]


def body(path: str, error: Exception) -> Any:
    return json.loads(failure_body(path, failure_of(error)))


@pytest.mark.parametrize(("error", "status", "message"), EVERY)
def test_the_mail_family_always_lists_errors(error: Exception, status: int, message: str) -> None:
    """Under /v3/mail/ every status has the shape that SendGrid's clients read, with all three keys."""
    assert failure_of(error).status == status
    for path in ("/v3/mail/send", "/v3/mail/batch/bat_1"):
        (entry,) = body(path, error)["errors"]
        assert set(entry) == {"message", "field", "help"}
        assert entry["message"] == message


@pytest.mark.parametrize(("error", "status", "message"), EVERY)
def test_the_rest_tells_a_detail(error: Exception, status: int, message: str) -> None:
    """Elsewhere the body is one detail: a text, or an array when fields are named."""
    detail = body("/v3/messages/msg_1/cancel", error)["detail"]
    if isinstance(error, Invalid):
        assert detail == [{"loc": ["personalizations", 3, "send_at"], "msg": message, "type": "value_error"}]
    else:
        assert detail == message


def test_an_invalid_request_without_a_field_is_a_text() -> None:
    """What is wrong with the whole is told as one sentence."""
    assert body("/v3/templates", Invalid("The body is empty.")) == {"detail": "The body is empty."}


def test_every_bad_field_is_listed() -> None:
    """In both shapes, in order, with the field as a dotted path or its parts."""
    error = Invalid([FieldError("one", "a.0.b"), FieldError("two", "c"), FieldError("and more")])
    assert [e["field"] for e in body("/v3/mail/send", error)["errors"]] == ["a.0.b", "c", None]
    assert [e["loc"] for e in body("/v3/templates", error)["detail"]] == [["a", 0, "b"], ["c"], []]


def test_headers_say_when_to_come_back() -> None:
    """Retry-After goes with busy and limited, the ceiling's headers with limited, the challenge with 401."""
    assert dict(failure_of(Busy("x", retry_after=7)).headers) == {"Retry-After": "7"}
    assert dict(failure_of(EVERY[7][0]).headers) == {
        "Retry-After": "60",
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1800000060",
    }
    assert dict(failure_of(Unauthorized("x")).headers) == {"WWW-Authenticate": "Bearer"}


def test_the_message_of_several_errors_is_their_sum() -> None:
    """One sentence for logs and plain answers."""
    assert Failure(status=400, errors=(FieldError("one"), FieldError("two"))).message == "one; two"


async def _broken(_: Call) -> Reply:
    raise ValueError("secret detail")


async def _early(_: Call) -> Reply:
    raise Busy("Not now", retry_after=3)


async def _sized(call: Call) -> Reply:
    return Reply({"octets": len(call.raw)})


async def _hot(scope: Scope, receive: Receive, send: Send) -> None:
    if dict(scope["headers"]).get(b"x-fall") == b"before":
        raise ValueError("secret detail")
    await send({"type": "http.response.start", "status": 202, "headers": []})
    if dict(scope["headers"]).get(b"x-fall") == b"after":
        raise ValueError("secret detail")
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
async def odd(tmp_path: Path) -> AsyncIterator[SlowApi]:
    """The API with endpoints that fail."""
    more = [
        Endpoint(method="GET", path="/v3/broken", summary="Breaks", answer=_broken),
        Endpoint(method="GET", path="/v3/mail/broken", summary="Breaks", answer=_broken),
        Endpoint(method="GET", path="/v3/mail/early", summary="Is busy", answer=_early),
        Endpoint(method="POST", path="/v3/sized", summary="Measures", answer=_sized),
    ]
    async with slow_api(tmp_path, more=more, hot={("POST", "/v3/mail/send"): _hot}) as running:
        yield running


async def test_an_accident_tells_nothing(odd: SlowApi, caplog: pytest.LogCaptureFixture) -> None:
    """500 says that it happened; why is in the log alone."""
    headers = await odd.headers()
    answer = await odd.client.get("/v3/broken", headers=headers)
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal error"})
    answer = await odd.client.get("/v3/mail/broken", headers=headers)
    assert answer.json() == {"errors": [{"message": "Internal error", "field": None, "help": None}]}
    assert "secret detail" in caplog.text


async def test_busy_says_when(odd: SlowApi) -> None:
    """503 carries Retry-After, in the mail family's shape."""
    answer = await odd.client.get("/v3/mail/early", headers=await odd.headers())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    assert answer.json()["errors"][0]["message"] == "Not now"


async def test_unknown_paths_and_methods_are_told_in_their_family(odd: SlowApi) -> None:
    """404 and 405 have the shape of the path's family, 405 names the methods; the hot path is no exception."""
    for method, path, status, allowed in (
        ("GET", "/v3/nothing", 404, None),
        ("GET", "/nothing", 404, None),
        ("POST", "/v3/templates/", 404, None),
        ("GET", "/v3/mail/nothing", 404, None),
        ("PUT", "/v3/templates", 405, "GET, HEAD, POST"),
        ("GET", "/v3/mail/send", 405, "POST"),
    ):
        answer = await odd.client.request(method, path)
        told = "Not found" if status == 404 else "Method not allowed"
        assert answer.status_code == status, path
        if path.startswith("/v3/mail/"):
            assert answer.json() == {"errors": [{"message": told, "field": None, "help": None}]}
        else:
            assert answer.json() == {"detail": told}
        assert answer.headers.get("Allow") == allowed
        assert answer.headers["Content-Type"] == "application/json"


async def test_options_and_head_are_answered(odd: SlowApi) -> None:
    """OPTIONS names the methods without a credential; HEAD is a GET."""
    options = await odd.client.options("/v3/templates")
    assert (options.status_code, options.headers["Allow"]) == (204, "GET, HEAD, POST")
    assert (await odd.client.options("/v3/mail/send")).headers["Allow"] == "POST"
    assert (await odd.client.options("/v3/nothing")).status_code == 404
    assert (await odd.client.head("/v3/templates", headers=await odd.headers())).status_code == 200
    assert (await odd.client.head("/v3/templates")).status_code == 401


async def test_the_hot_path_never_sees_the_router(odd: SlowApi) -> None:
    """What it sends is what is answered; what falls out of it before an answer is 500."""
    assert (await odd.client.post("/v3/mail/send")).status_code == 202
    fallen = await odd.client.post("/v3/mail/send", headers={"X-Fall": "before"})
    assert fallen.status_code == 500
    assert fallen.json()["errors"][0]["message"] == "Internal error"


async def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    """What falls out of the hot path in the middle of its answer leaves it half: the server then closes the line."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    app = build_app([], {("POST", "/v3/mail/send"): _hot}, voices={})
    scope = {"type": "http", "method": "POST", "path": "/v3/mail/send", "headers": [(b"x-fall", b"after")]}
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_the_credential_is_checked_before_the_body(odd: SlowApi) -> None:
    """A stranger's body is never read, nor is one of a key without the scope."""
    read: list[Message] = []

    async def pieces() -> AsyncIterator[bytes]:
        read.append({})
        yield b"{}"

    answer = await odd.client.post("/v3/templates", content=pieces())
    assert answer.status_code == 401
    answer = await odd.client.post("/v3/templates", content=pieces(), headers=await odd.headers([]))
    assert answer.status_code == 403
    assert read == []


async def test_twenty_megabytes_are_the_most(odd: SlowApi) -> None:
    """One octet more is 413, announced or not."""
    headers = await odd.headers()
    most = await odd.client.post("/v3/sized", headers=headers, content=b"x" * MAX_BODY)
    assert most.json() == {"octets": MAX_BODY}
    over = await odd.client.post("/v3/sized", headers=headers, content=b"x" * (MAX_BODY + 1))
    assert (over.status_code, over.json()) == (413, {"detail": "The body is larger than 20 MB."})

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(21):
            yield b"x" * 1024 * 1024

    assert (await odd.client.post("/v3/sized", headers=headers, content=pieces())).status_code == 413


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"name": "\\u0000"}', b"{" * 100_000])
async def test_a_bad_body_is_400(odd: SlowApi, text: bytes) -> None:
    """Whatever is sent, it is never an accident."""
    answer = await odd.client.post("/v3/templates", headers=await odd.headers(), content=text)
    assert answer.status_code == 400
    assert "detail" in answer.json()
