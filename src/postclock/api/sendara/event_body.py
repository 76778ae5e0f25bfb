"""What is posted of an event on /v1: one envelope for each, with what the event says as its payload (Sendara's documentation, webhooks).

The last step on an event's way out, and the one place that says what a payload holds: a message's timeline shows the same.
"""

from typing import Any, Final

import msgspec

from postclock.api.sendara.words import EventWord, account_id, bounce_word, event_word
from postclock.core.message import Mode
from postclock.core.webhook import EventType, Secrets
from postclock.core.when import iso
from postclock.mail.webhook_signature import hmac_signature
from postclock.service.records import Post, Told

SIGNATURE: Final = "Sendara-Signature"
PREVIOUS_SIGNATURE: Final = "Sendara-Signature-Previous"
TIMESTAMP: Final = "Sendara-Timestamp"
EVENT_ID: Final = "Sendara-Event-Id"
EVENT_TYPE: Final = "Sendara-Event-Type"

_encode: Final = msgspec.json.Encoder().encode
_said = msgspec.json.Decoder(dict[str, Any]).decode


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One event. ``event_id`` is the same however often it is posted."""

    event_id: str
    event_type: EventWord
    message_id: str
    account_id: str
    payload: dict[str, Any]
    created_at: str


def post(told: Told, secrets: Secrets, now: int) -> Post:
    """The POST that tells one event to a webhook of /v1 at ``now`` (UTC milliseconds)."""
    timestamp = str(now // 1000)
    event = envelope(told)
    body = _encode(event)
    headers = {
        "Content-Type": "application/json",
        EVENT_ID: event.event_id,
        EVENT_TYPE: event.event_type,
        TIMESTAMP: timestamp,
    }
    if secrets.secret is not None:
        headers[SIGNATURE] = hmac_signature(secrets.secret, timestamp, body)
    if secrets.previous is not None:
        headers[PREVIOUS_SIGNATURE] = hmac_signature(secrets.previous, timestamp, body)
    return Post(body=body, headers=headers)


def envelope(told: Told) -> Envelope:
    """The envelope of an event. Beside what the event says, its payload has the ``idempotency_key`` and ``metadata`` of the send."""
    kind = msgspec.convert(told.type, EventType)
    mode: Mode = "test" if told.mode else "live"
    word = event_word(kind, mode)
    assert word is not None, kind  # no subscription of /v1 is told of these
    origin = told.origin
    sent_with: dict[str, Any] = {}
    if origin.idempotency_key:
        sent_with["idempotency_key"] = origin.idempotency_key
    if origin.metadata:
        sent_with["metadata"] = origin.metadata
    return Envelope(
        event_id=told.event_id,
        event_type=word,
        message_id=told.message_id,
        account_id=account_id(told.tenant),
        payload=payload(kind, told.recipient, told.metadata) | sent_with,
        created_at=iso(told.at),
    )


def payload(kind: EventType, recipient: str | None, metadata: str | None) -> dict[str, Any]:
    """What an event of the timeline says, in /v1's words: ``channel``, ``to``, and what belongs to its type.

    ``metadata`` is the timeline's JSON object as text. A click has ``url``, a bounce ``bounce_type`` (Permanent or Transient);
    ``detail`` names the timeline's own type where several share a word.
    """
    said = _said(metadata) if metadata else {}
    told: dict[str, Any] = {"channel": "email"}
    if recipient:
        told["to"] = recipient
    match kind:
        case "bounce" | "blocked":
            told["bounce_type"] = bounce_word(str(said.pop("bounce_type", "")))
        case "open" | "click" | "sent" | "delivered" | "processed" | "cancelled" | "spam_report":
            pass
        case _:
            told["detail"] = kind
    if "next_attempt_at" in said:
        said["next_attempt_at"] = iso(int(said["next_attempt_at"]) * 1000)
    return said | told
