"""What is posted of events on /v3: ScaiSend's envelopes to endpoints, SendGrid's event objects to the event webhook; both as arrays.

The last step on an event's way out: from what the store knows of it to the bytes and headers of a POST. Bodies are signed as they are.
"""

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec

from postclock.core.address import domain_of
from postclock.core.ids import public_id
from postclock.core.webhook import Secrets
from postclock.mail.message_id import message_id
from postclock.mail.webhook_signature import ecdsa_signature, hmac_signature
from postclock.service.records import Post, Subscription, Told

SIGNATURE: Final = "X-ScaiSend-Signature"
TIMESTAMP: Final = "X-ScaiSend-Timestamp"
SENDGRID_SIGNATURE: Final = "X-Twilio-Email-Event-Webhook-Signature"
SENDGRID_TIMESTAMP: Final = "X-Twilio-Email-Event-Webhook-Timestamp"

_JSON: Final = {"Content-Type": "application/json"}
_encode: Final = msgspec.json.Encoder().encode
_metadata = msgspec.json.Decoder(dict[str, Any]).decode


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One event for an endpoint; ``timestamp`` in Unix seconds. ``event_id`` is the same however often it is posted."""

    event_id: str
    event_type: str
    timestamp: int
    message_id: str
    recipient_email: str
    tenant_id: str
    metadata: dict[str, Any]


def post(webhook: Subscription, events: Sequence[Told], secrets: Secrets, now: int) -> Post:
    """The POST that tells ``events`` (one or more) to a webhook of /v3 at ``now`` (UTC milliseconds)."""
    timestamp = str(now // 1000)
    match webhook.kind:
        case "endpoint":
            body = _encode([envelope(each) for each in events])
            if secrets.secret is None:
                return Post(body=body, headers=_JSON)
            signature = hmac_signature(secrets.secret, timestamp, body)
            return Post(body=body, headers={**_JSON, SIGNATURE: signature, TIMESTAMP: timestamp})
        case "event_settings":
            body = _encode([event_object(each) for each in events])
            if secrets.signing_key is None:
                return Post(body=body, headers=_JSON)
            signature = ecdsa_signature(secrets.signing_key, timestamp, body)
            return Post(body=body, headers={**_JSON, SENDGRID_SIGNATURE: signature, SENDGRID_TIMESTAMP: timestamp})
        case kind:
            assert_never(kind)


def envelope(told: Told) -> Envelope:
    """ScaiSend's envelope. Beside what the timeline says, ``metadata`` has the categories and custom args of the message."""
    origin = told.origin
    metadata = _metadata(told.metadata) if told.metadata else {}
    if origin.categories:
        metadata["categories"] = list(origin.categories)
    if origin.custom_args:
        metadata["custom_args"] = origin.custom_args
    return Envelope(
        event_id=told.event_id,
        event_type=told.type,
        timestamp=told.at // 1000,
        message_id=told.message_id,
        recipient_email=told.recipient,
        tenant_id=public_id("ten_", told.tenant),
        metadata=metadata,
    )


def event_object(told: Told) -> dict[str, Any]:
    """SendGrid's object for an event: what a receiver written for it looks for. Unique args stand beside the rest and never replace it."""
    said = _metadata(told.metadata) if told.metadata else {}
    found: dict[str, Any] = {
        "email": told.recipient,
        "timestamp": told.at // 1000,
        "event": "bounce" if told.type == "blocked" else told.type,
        "sg_event_id": told.event_id,
        "sg_message_id": told.message_id,
    }
    if told.origin.categories:
        found["category"] = list(told.origin.categories)
    if told.origin.from_.email:  # gone with the content once retention has dropped it
        found["smtp-id"] = message_id(told.message_id, domain_of(told.origin.from_.email))
    found |= _details(told.type, said)
    return {**told.origin.custom_args, **found}


def _details(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    reply = str(said.get("smtp_response") or said.get("reason") or "")
    match kind:
        case "delivered":
            return {"response": reply}
        case "deferred":
            return {
                "response": reply,
                "attempt": str(said.get("attempt", 1)),
            }  # SendGrid writes this number as a string
        case "bounce" | "blocked":
            refused = kind == "blocked" or said.get("bounce_type") == "block"
            return {"reason": reply, "status": _status(reply), "type": "blocked" if refused else "bounce"}
        case "dropped":
            return {"reason": reply}
        case "open" | "click":
            return {name: said[name] for name in ("url", "useragent", "ip") if name in said}
        case _:
            return {}


def _status(reply: str) -> str:
    """The enhanced status code of a reply, or the plain one where it has none (RFC 3463 2)."""
    words = reply.split(maxsplit=2)
    if len(words) > 1 and words[1][:2] in ("4.", "5.") and words[1].count(".") == 2:
        return words[1]
    return words[0] if words and words[0].isdigit() else ""
