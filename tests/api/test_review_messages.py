"""/v3/messages and mail/send at their edges: far dates, foreign weeks, strangers, compressed bodies. Nothing there is a 500."""

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from postclock.core import ids
from tests.support.process import Service

GOOD: dict[str, Any] = {
    "personalizations": [{"to": [{"email": "ada@example.com"}]}],
    "from": {"email": "hello@mail.example.com"},
    "subject": "Weekly digest",
    "content": [{"type": "text/plain", "value": "Hello"}],
    "send_at": int(time.time()) + 86_400,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service whose mail all waits until tomorrow."""
    with (
        Service(tmp_path_factory.mktemp("edges")) as service,
        httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {service.key()}"}) as client,
    ):
        yield client


def sent(client: httpx.Client) -> str:
    answer = client.post("/v3/mail/send", json=GOOD)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["message_id"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("start_date=0001-01-01", True),
        ("start_date=2089-12-31", False),
        ("start_date=2100-01-01", False),
        ("start_date=9999-12-31T23:59:59Z", False),
        ("status=queued&start_date=2100-01-01", False),
        ("end_date=9999-12-31", True),
        ("end_date=9999-12-31T23:59:59Z", True),
        ("end_date=0001-01-01", False),
    ],
)
def test_any_date_may_bound_a_list(client: httpx.Client, query: str, found: bool) -> None:
    """Dates before and after all that ids can say find everything or nothing."""
    sent(client)
    answer = client.get(f"/v3/messages?{query}")
    assert answer.status_code == 200, answer.text
    assert bool(answer.json()["messages"]) is found
    assert (answer.json()["total"] > 0) is found


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00%2B12:00"])
def test_a_date_beyond_the_calendar_is_named(client: httpx.Client, text: str) -> None:
    """An offset that takes a moment out of the years 1 to 9999 makes it none."""
    for name in ("start_date", "end_date"):
        answer = client.get(f"/v3/messages?{name}={text}")
        assert answer.status_code == 400
        assert answer.json()["detail"][0]["loc"] == [name]


def test_a_day_without_hyphens_counts_to_its_end_as_well(client: httpx.Client) -> None:
    """20261121 is the same day as 2026-11-21, and all of it."""
    ident = sent(client)
    day = client.get(f"/v3/messages/{ident}").json()["created_at"][:10]
    for text in (day, day.replace("-", "")):
        page = client.get("/v3/messages", params={"start_date": text, "end_date": text}).json()
        assert ident in [m["id"] for m in page["messages"]]


def test_an_id_with_another_week_is_nobodys(client: httpx.Client) -> None:
    """The week is a part of the id: with another one it is 404 everywhere, and the message goes on waiting."""
    ident = sent(client)
    week, number = ids.parse_message_id(ident)
    for other in (0, week - 1, week + 1):
        wrong = ids.public_message_id(other, number)
        assert client.get(f"/v3/messages/{wrong}").status_code == 404
        for step in ("cancel", "retry", "fail"):
            answer = client.post(f"/v3/messages/{wrong}/{step}")
            assert (answer.status_code, answer.json()) == (404, {"detail": "Message not found"})
    assert client.get(f"/v3/messages/{ident}").json()["status"] == "queued"
    assert client.post(f"/v3/messages/{ident}/cancel").json()["status"] == "cancelled"


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_stranger_is_told_so_before_his_idempotency_key_is_looked_at(client: httpx.Client, key: str) -> None:
    """401 without a credential and with a wrong one; 400 for those who may ask."""
    headers = {"Idempotency-Key": key}
    for credential in ("", "Bearer sg_live_" + "0" * 32):
        answer = client.post("/v3/mail/send", json=GOOD, headers={**headers, "Authorization": credential})
        assert answer.status_code == 401
    answer = client.post("/v3/mail/send", json=GOOD, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_compressed_body_is_refused_by_name(client: httpx.Client) -> None:
    """It is never unpacked, and the answer says what is wrong with it; identity is no compression."""
    body = json.dumps(GOOD).encode()
    answer = client.post("/v3/mail/send", content=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Content-Encoding"
    answer = client.post("/v3/templates", content=gzip.compress(body), headers={"Content-Encoding": "GZip"})
    assert answer.status_code == 400
    assert answer.json()["detail"][0]["loc"] == ["Content-Encoding"]
    assert client.post("/v3/mail/send", content=body, headers={"Content-Encoding": "identity"}).status_code == 202
