"""Sendara's own Python library against the running service: messages, keys and suppressions; only the address and the key are ours.

A message that was sent through one dialect is listed, read and cancelled through the other.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sendara import Sendara
from sendara.errors import NotFoundError, PermissionError_
from sendara.models import Message

from tests.end_to_end.parts import Caller, Ground, mail, soon, until

FROM = "Shop <hello@mail.example.com>"


@pytest.fixture(scope="module")
def key(shared: Ground) -> str:
    """A key of /v1 with every scope."""
    return shared.service.key(["admin"], dialect="sendara")


@pytest.fixture(scope="module")
def client(shared: Ground, key: str) -> Iterator[Sendara]:
    """The library's client, as its users make it."""
    with Sendara(key, base_url=shared.service.url) as made:
        yield made


def hence(**delta: float) -> str:
    """A moment from now on, in RFC 3339."""
    return (datetime.now(UTC) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def send(client: Sendara, to: str, **more: Any) -> str:
    result = client.emails.send(to=to, subject="See you Monday", html="<p>Reminder</p>", from_=FROM, **more)
    assert result.id is not None
    return result.id


def settled(client: Sendara, ident: str, status: str) -> Message:
    """The message once it is shown with this status."""
    until(lambda: client.messages.get(ident).status == status)
    return client.messages.get(ident)


def test_a_scheduled_message_is_tracked_and_canceled(client: Sendara, shared: Ground) -> None:
    """Listed, read by id and by key, canceled by the library's raw request; it is never sent, and a second cancel is 404."""
    ident = send(client, "monday@example.com", scheduled_at=hence(hours=1), idempotency_key="welcome_9f21")
    listed = client.messages.list(status="scheduled", search="monday@")
    assert [(m.id, m.channel, m["to"]) for m in listed["messages"]] == [(ident, "email", "monday@example.com")]
    assert listed["next_cursor"] is None
    read = client.messages.get(ident)
    assert (read.status, [e["event_type"] for e in read.events or []]) == ("scheduled", ["queued"])
    assert client.messages.get(idempotency_key="welcome_9f21").raw == read.raw
    assert client.request("POST", f"/v1/messages/{ident}/cancel") == {"id": ident, "status": "canceled"}
    with pytest.raises(NotFoundError) as twice:
        client.request("POST", f"/v1/messages/{ident}/cancel")
    assert (twice.value.status, twice.value.code) == (404, "not_found")
    assert client.messages.get(ident).status == "canceled"
    assert not shared.came_to("monday@example.com")


def test_a_sent_message_has_its_timeline(client: Sendara, shared: Ground) -> None:
    """From queued to delivered; it was never scheduled, so a cancel finds nothing to stop."""
    ident = send(client, "now@example.com", metadata={"order": "7"})
    shared.wait_for("now@example.com")
    read = settled(client, ident, "delivered")
    assert [e["event_type"] for e in read.events or []] == ["queued", "delivered"]
    assert (read["from"], read["metadata"]["order"], read["test_mode"]) == (
        '"Shop" <hello@mail.example.com>',
        "7",
        False,
    )
    assert read["payload"] == {"subject": "See you Monday", "body_html": "<p>Reminder</p>", "body_text": None}
    with pytest.raises(NotFoundError):
        client.request("POST", f"/v1/messages/{ident}/cancel")
    assert client.messages.get(ident).raw == read.raw


def test_the_library_walks_all_pages(client: Sendara) -> None:
    """Its iterator follows the cursor to the end; the filters reach us as it writes them."""
    start = hence()
    idents = [send(client, f"page{n}@example.com", scheduled_at=hence(hours=2)) for n in range(5)]
    walked = [
        m.id for m in client.messages.iter(search="page", limit=2, channel="email", from_=start, to=hence(minutes=1))
    ]
    assert walked == idents[::-1]
    assert list(client.messages.iter(search="page", to=start)) == []


def test_a_message_of_v3_is_listed_read_and_canceled_through_v1(client: Sendara, shared: Ground) -> None:
    """With its first address, its custom arguments and its time; /v3 says cancelled then."""
    at = soon(3_600)
    body = mail("cross3@example.com", "second@example.com", send_at=at, custom_args={"order": "8"})
    body["personalizations"] = [{"to": [{"email": "cross3@example.com"}, {"email": "second@example.com"}]}]
    [ident] = shared.caller.send(body)
    [item] = client.messages.list(search="cross3@")["messages"]
    assert (item.id, item["to"], item.status) == (ident, "cross3@example.com", "scheduled")
    assert item["scheduled_at"] == datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    read = client.messages.get(ident)
    assert (read["metadata"], read["idempotency_key"], read["payload"]["body_text"]) == ({"order": "8"}, None, "Hello")
    assert client.request("POST", f"/v1/messages/{ident}/cancel")["status"] == "canceled"
    assert shared.caller.status(ident) == "cancelled"


def test_a_message_of_v1_is_listed_read_and_cancelled_through_v3(client: Sendara, shared: Ground, key: str) -> None:
    """By keys of either kind: what a key may do says its scopes, not its dialect."""
    ident = send(client, "cross1@example.com", scheduled_at=hence(hours=1))
    assert [m["id"] for m in shared.caller.all_messages(to_email="cross1@example.com")] == [ident]
    read = shared.caller.detail(ident)
    assert (read["status"], read["subject"], read["html_content"]) == ("queued", "See you Monday", "<p>Reminder</p>")
    sendara = Caller(shared.service.url, key)
    assert sendara.status(ident) == "queued"
    assert shared.caller.cancel(ident)["status"] == "cancelled"
    sendara.close()
    assert client.messages.get(ident).status == "canceled"


def test_a_test_key_sees_test_messages_alone(shared: Ground) -> None:
    """Its mail runs through the whole pipeline, says accepted, then the outcome of the local part, and leaves no trace in live lists."""
    with Sendara(shared.service.key(["admin"], "test", dialect="sendara"), base_url=shared.service.url) as tester:
        ident = send(tester, "complained@example.com")
        read = settled(tester, ident, "complained")
        assert ([e["event_type"] for e in read.events or []], read["test_mode"]) == (["accepted", "complained"], True)
        assert [m.id for m in tester.messages.list(status="complained")["messages"]] == [ident]
        assert [(s.recipient, s.reason) for s in tester.suppressions.list()] == [
            ("complained@example.com", "complaint")
        ]
    assert not shared.came_to("complained@example.com")
    assert shared.caller.all_messages(to_email="complained@example.com") == []


def test_suppressions_of_the_library_are_those_of_v3(client: Sendara, shared: Ground) -> None:
    """Added through the one, seen and removed through the other."""
    made = client.suppressions.create(channel="email", recipient="Gone@example.com", reason="bounce")
    assert (made.recipient, made.state, made.reason) == ("gone@example.com", "suppressed", "bounce")
    assert shared.caller.get("/v3/suppression/bounces/gone@example.com")
    shared.caller.post("/v3/asm/suppressions/global", {"recipient_emails": ["left@example.com"]}, code=201)
    listed = {s.recipient: s.reason for s in client.suppressions.list(channel="email")}
    assert (listed["gone@example.com"], listed["left@example.com"]) == ("bounce", "unsubscribe")
    for address in ("gone@example.com", "left@example.com"):
        client.suppressions.delete(channel="email", recipient=address)
        with pytest.raises(NotFoundError):
            client.suppressions.delete(channel="email", recipient=address)
    assert shared.caller.get("/v3/asm/suppressions/global/left@example.com") == {}


def test_keys_of_the_library(client: Sendara, shared: Ground) -> None:
    """Made, listed, rotated and revoked; a send key reads no message, in either dialect."""
    made = client.api_keys.create(scope="send")
    assert (made.scope, made.test_mode, (made.key or "")[:8]) == ("send", False, "sk_live_")
    assert made.id in [k.id for k in client.api_keys.list()]
    rotated = client.api_keys.rotate(str(made.id))
    with Sendara(rotated, base_url=shared.service.url) as sender:
        ident = send(sender, "bykey@example.com", scheduled_at=hence(hours=1))
        with pytest.raises(PermissionError_):
            sender.messages.get(ident)
        with pytest.raises(PermissionError_):
            sender.request("GET", f"/v3/messages/{ident}")
        assert sender.request("POST", f"/v1/messages/{ident}/cancel")["status"] == "canceled"
    client.api_keys.revoke(str(made.id))
    assert made.id not in [k.id for k in client.api_keys.list()]


def test_the_account_is_out_of_the_sandbox(client: Sendara) -> None:
    """Its domain is verified."""
    told = client.request("GET", "/v1/account/verification")
    assert (told["sandbox_mode"], told["channels"][0]["status"]) == (False, "verified")
