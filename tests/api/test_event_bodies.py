"""What is posted of events, as each dialect's receivers know it; signatures are checked by their own libraries."""

import hmac
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

import msgspec
import pytest
from sendara.webhooks_verify import WebhookVerificationError, verify
from sendgrid.helpers.eventwebhook import EventWebhook

from postclock.api.scaisend import event_body as scaisend
from postclock.api.sendara import event_body as sendara
from postclock.api.sendara.words import event_word
from postclock.core.address import Mailbox
from postclock.core.message import Mode
from postclock.core.webhook import PROMISED, TIMELINE, EventType, Secrets
from postclock.mail.webhook_signature import new_signing_key, public_key
from postclock.store.outbox import Kind, Origin, Post, Subscription, Told

AT = 1_800_000_000_000
NOW = AT + 5_250
WEEK = 2_976
ORIGIN = Origin(
    from_=Mailbox("Hello@Mail.Example.com"),
    subject="Hello",
    categories=("digest", "daily"),
    custom_args={"order": "7", "email": "not@the.address"},
    metadata={"order": 7},
    idempotency_key="evt_1",
)
WEBHOOK = Subscription(
    id=1, tenant=2, mode=0, dialect="scaisend", kind="endpoint", url="https://h.example/", types=(), active=True, created_at=0,
    updated_at=0,
)  # fmt: skip


def told(kind: str = "delivered", said: dict[str, Any] | None = None, **given: Any) -> Told:
    """An event of message 77, its fifth."""
    return Told(
        **{
            "delivery": 1, "message": 77, "week": WEEK, "n": 5, "tenant": 2, "mode": 0, "type": kind, "at": AT, "recipient": "ada@example.net",
            "metadata": None if said is None else json.dumps(said), "attempt": 1, "due_at": AT, "created_at": AT, "batch": None, "status": None,
            "origin": ORIGIN, **given,
        }
    )  # fmt: skip


def posted(kind: Kind, events: list[Told], **secrets: Any) -> Post:
    return scaisend.post(replace(WEBHOOK, kind=kind), events, Secrets(**secrets), NOW)


def test_an_endpoint_of_v3_gets_an_array_of_envelopes() -> None:
    """Seven fields each, in order; what the timeline says is the metadata, with the message's categories and arguments."""
    plain = told("sent", origin=Origin(), n=6)
    body = json.loads(posted("endpoint", [told(said={"smtp_response": "250 ok"}), plain]).body)
    assert body == [
        {
            "event_id": "evt_000000000002D005", "event_type": "delivered", "timestamp": 1_800_000_000, "message_id": told().message_id,
            "recipient_email": "ada@example.net", "tenant_id": "ten_0000000000002",
            "metadata": {"smtp_response": "250 ok", "categories": ["digest", "daily"], "custom_args": ORIGIN.custom_args},
        },
        {
            "event_id": "evt_000000000002D006", "event_type": "sent", "timestamp": 1_800_000_000, "message_id": told().message_id,
            "recipient_email": "ada@example.net", "tenant_id": "ten_0000000000002", "metadata": {},
        },
    ]  # fmt: skip


def test_an_endpoint_of_v3_is_signed_with_its_secret() -> None:
    """Hex HMAC-SHA256 of the time, a dot and the raw body."""
    post = posted("endpoint", [told()], secret="whsec_abc")
    headers = dict(post.headers)
    assert headers["Content-Type"] == "application/json"
    assert headers["X-ScaiSend-Timestamp"] == "1800000005"
    expected = hmac.new(b"whsec_abc", b"1800000005." + post.body, sha256).hexdigest()
    assert headers["X-ScaiSend-Signature"] == expected


SAID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "processed": ({}, {}),
    "deferred": ({"smtp_response": "451 4.7.1 later", "attempt": 3}, {"response": "451 4.7.1 later", "attempt": "3"}),
    "delivered": ({"smtp_response": "250 2.0.0 ok"}, {"response": "250 2.0.0 ok"}),
    "bounce": (
        {"smtp_response": "550 5.1.1 nobody", "bounce_type": "hard"},
        {"reason": "550 5.1.1 nobody", "status": "5.1.1", "type": "bounce"},
    ),
    "blocked": (
        {"smtp_response": "554 no thanks", "bounce_type": "block"},
        {"event": "bounce", "reason": "554 no thanks", "status": "554", "type": "blocked"},
    ),
    "dropped": ({"reason": "suppressed", "list": "bounces"}, {"reason": "suppressed"}),
    "open": ({"useragent": "Mail/1", "ip": "192.0.2.1"}, {"useragent": "Mail/1", "ip": "192.0.2.1"}),
    "click": ({"url": "https://a.example/", "useragent": "W"}, {"url": "https://a.example/", "useragent": "W"}),
    "spam_report": ({}, {}),
    "unsubscribe": ({}, {}),
    "group_unsubscribe": ({}, {}),
    "group_resubscribe": ({}, {}),
}


@pytest.mark.parametrize("kind", PROMISED)
def test_the_event_webhook_gets_sendgrids_objects(kind: str) -> None:
    """For each type its own fields; a blocked mail is a bounce of type blocked, as theirs."""
    said, fields = SAID[kind]
    [found] = json.loads(posted("event_settings", [told(kind, said)]).body)
    message = told().message_id
    assert found == {
        "email": "ada@example.net", "timestamp": 1_800_000_000, "event": kind, "sg_event_id": "evt_000000000002D005",
        "sg_message_id": message, "smtp-id": f"<{message}@mail.example.com>", "category": ["digest", "daily"], "order": "7", **fields,
    }  # fmt: skip


def test_unique_args_never_replace_what_is_ours() -> None:
    """An argument named email stands back behind the address; without categories and sender their fields are left out."""
    hostile = Origin(custom_args={"email": "x", "event": "y", "sg_message_id": "z", "response": "w"})
    [found] = json.loads(posted("event_settings", [told(said={"smtp_response": "250 ok"}, origin=hostile)]).body)
    assert (found["email"], found["event"], found["response"]) == ("ada@example.net", "delivered", "250 ok")
    assert found["sg_message_id"] == told().message_id
    assert {"category", "smtp-id"}.isdisjoint(found)


@pytest.mark.parametrize("reply", ["", "421", "4.4.1 no", "the connection broke", "550 5.1.1", "550 5.1 x", " "])
def test_a_bounce_always_has_a_status(reply: str) -> None:
    """Whatever was answered, and when nothing was."""
    [found] = json.loads(posted("event_settings", [told("bounce", {"smtp_response": reply})]).body)
    assert found["status"] in ("", "421", "5.1.1", "550")


def test_the_event_webhook_is_signed_as_sendgrids() -> None:
    """Their library's verifier takes it, and refuses another body; unsigned it has no such header."""
    private = new_signing_key()
    post = posted("event_settings", [told(), told("open", {})], signing_key=private)
    headers = dict(post.headers)
    signature = headers["X-Twilio-Email-Event-Webhook-Signature"]
    timestamp = headers["X-Twilio-Email-Event-Webhook-Timestamp"]
    verifier = EventWebhook(public_key(private))
    assert verifier.verify_signature(post.body.decode(), signature, timestamp)
    assert not verifier.verify_signature(post.body.decode().replace("ada", "eve"), signature, timestamp)
    assert dict(posted("event_settings", [told()]).headers) == {"Content-Type": "application/json"}


def test_a_subscription_of_v1_gets_one_envelope() -> None:
    """Six fields; the payload says whom, what belongs to the type, and what the send brought with it."""
    post = sendara.post(
        told("bounce", {"smtp_response": "550 no", "bounce_type": "hard", "attempt": 1}), Secrets(), NOW
    )
    assert json.loads(post.body) == {
        "event_id": "evt_000000000002D005", "event_type": "bounced", "message_id": told().message_id, "account_id": "acct_0000000000002",
        "payload": {
            "channel": "email", "to": "ada@example.net", "bounce_type": "Permanent", "smtp_response": "550 no", "attempt": 1,
            "idempotency_key": "evt_1", "metadata": {"order": 7},
        },
        "created_at": "2027-01-15T08:00:00Z",
    }  # fmt: skip
    assert dict(post.headers) == {
        "Content-Type": "application/json", "Sendara-Event-Id": "evt_000000000002D005", "Sendara-Event-Type": "bounced",
        "Sendara-Timestamp": "1800000005",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "said", "word", "expected"),
    [
        ("bounce", {"bounce_type": "soft"}, "bounced", {"bounce_type": "Transient"}),
        ("blocked", {"bounce_type": "block"}, "bounced", {"bounce_type": "Transient"}),
        ("bounce", {}, "bounced", {"bounce_type": "Transient"}),
        ("click", {"url": "https://a.example/"}, "opened", {"url": "https://a.example/"}),
        ("open", {}, "opened", {}),
        ("dropped", {"reason": "suppressed"}, "failed", {"detail": "dropped", "reason": "suppressed"}),
        (
            "deferred",
            {"next_attempt_at": 1_800_000_060},
            "queued",
            {"detail": "deferred", "next_attempt_at": "2027-01-15T08:01:00Z"},
        ),
        ("cancelled", {"by": "request"}, "canceled", {"by": "request"}),
        ("delivered", {"to": "eve@example.net", "channel": "sms"}, "delivered", {}),
    ],
)
def test_a_payload_says_what_belongs_to_its_type(
    kind: str, said: dict[str, Any], word: str, expected: dict[str, Any]
) -> None:
    """In /v1's words, with times as /v1 writes them; nothing that was said replaces whom it is about."""
    envelope = sendara.envelope(told(kind, said, origin=Origin()))
    assert envelope.event_type == word
    assert envelope.payload == {"channel": "email", "to": "ada@example.net", **expected}


@pytest.mark.parametrize("mode", ["live", "test"])
def test_every_event_with_a_word_can_be_posted(mode: Mode) -> None:
    """The header and the body agree on the word."""
    for kind in TIMELINE:
        word = event_word(kind, mode)
        if word is not None:
            post = sendara.post(told(kind, {}, mode=int(mode == "test")), Secrets(), NOW)
            assert dict(post.headers)["Sendara-Event-Type"] == word == json.loads(post.body)["event_type"]


def test_sendaras_verifier_takes_both_secrets_while_they_overlap() -> None:
    """The new secret signs the usual header, the previous one a header of its own: either receiver can check."""
    post = sendara.post(told(), Secrets(secret="new", previous="old"), NOW)
    headers = dict(post.headers)
    assert verify("new", post.body, headers, tolerance=None)["event_id"] == "evt_000000000002D005"
    before = {**headers, "Sendara-Signature": headers["Sendara-Signature-Previous"]}
    assert verify("old", post.body, before, tolerance=None)["event_type"] == "delivered"
    for secret, wrong in (("old", headers), ("new", before)):
        with pytest.raises(WebhookVerificationError):
            verify(secret, post.body, wrong, tolerance=None)
    assert "Sendara-Signature-Previous" not in dict(sendara.post(told(), Secrets(secret="new"), NOW).headers)


def test_types_of_the_store_are_those_of_the_table() -> None:
    """What the store writes as a type is one the dialects know; another would be a mistake of ours, told loudly."""
    with pytest.raises(msgspec.ValidationError):
        sendara.envelope(told("invented"))
    assert cast("tuple[EventType, ...]", tuple(SAID)) == PROMISED
