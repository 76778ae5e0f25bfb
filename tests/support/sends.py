"""Bodies of ``POST /v3/mail/send`` for tests: a good one, its parts, and what becomes of one that was changed."""

import json
from typing import Any

import pytest

from postclock.api.scaisend.translate_send import SendRequest, parse_send
from postclock.core.errors import Invalid

NOW = 1_800_000_000_000
SOON = NOW // 1000 + 3_600


def good(**change: Any) -> dict[str, Any]:
    """A call that can be taken, with ``from_`` for from; None takes a field out."""
    body: dict[str, Any] = {
        "personalizations": [
            {"to": [{"email": "ada@example.com"}]},
            {"to": [{"email": "bob@example.com", "name": "Bob"}]},
        ],
        "from": {"email": "hello@mail.example.com", "name": "Shop"},
        "subject": "Weekly digest",
        "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<p>Hello</p>"}],
    }
    for name, value in change.items():
        body[name.rstrip("_")] = value
    return body


def person(**more: Any) -> list[dict[str, Any]]:
    """One good personalization with more in it."""
    return [{"to": [{"email": "ada@example.com"}]} | {name.rstrip("_"): value for name, value in more.items()}]


def people(n: int) -> list[dict[str, str]]:
    return [{"email": f"user{i}@example.com"} for i in range(n)]


def file(**change: Any) -> dict[str, Any]:
    return {"content": "SGVsbG8=", "filename": "hello.txt"} | change


def parse(body: Any) -> SendRequest:
    return parse_send(json.dumps(body).encode(), NOW)


def told(body: Any) -> list[str | None]:
    """The fields a refusal names; every error has a sentence."""
    with pytest.raises(Invalid) as refused:
        parse_send(body if isinstance(body, bytes) else json.dumps(body).encode(), NOW)
    assert all(error.message for error in refused.value.errors)
    return [error.field for error in refused.value.errors]


def outcome(body: bytes) -> SendRequest | Invalid:
    """What the call becomes, or why it is refused; anything else that is raised comes through."""
    try:
        return parse_send(body, NOW)
    except Invalid as refused:
        return refused
