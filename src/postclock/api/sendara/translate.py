"""``POST /v1/send`` from its bytes to what the service submits: all of the call's rules that need neither store nor clock.

The first step of a /v1 message's path. Whether the time is in range, the domain is verified and the recipient may get mail is the
service's to find out, once it knows that no earlier call has the key.
"""

from typing import Any, Final

import msgspec

from postclock.api.findings import Findings
from postclock.api.header_line import MAX_SUBJECT, line
from postclock.api.json_body import nests_too_deep
from postclock.api.sendara.sender import NOBODY, sender
from postclock.api.sendara.wire import SendBody, SendPayload
from postclock.api.shape import collect_json, decode_partly
from postclock.core.address import Mailbox, problem
from postclock.core.message import Content, Personalization, Recipient, Submission
from postclock.core.when import Window, from_rfc_3339

WINDOW: Final = Window(field="scheduled_at", at_once_ms=60_000, grace_ms=300_000, ahead_ms=90 * 86_400_000)
"""Sendara's documentation, scheduled sends: under a minute ahead is now, a small grace window past is now, at most 90 days ahead."""
MAX_KEY: Final = 255  # it is looked up in an index
MAX_TEMPLATE_ID: Final = 255
MAX_METADATA: Final = 10_000  # octets of JSON; the same as /v3's custom_args

_DATA_DEPTH: Final = 2  # body, template_vars or metadata
_encode: Final = msgspec.json.Encoder().encode


class SendRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call that can be taken, as far as it alone can tell."""

    submission: Submission
    """Its sender is ``NOBODY`` when the call names none and the tenant has no default."""
    personalization: Personalization
    """``send_at_ms`` is the moment as written: the service holds it against ``WINDOW``."""
    idempotency_key: str | None
    validate_recipient: bool


def parse_send(body: bytes, default_from: str) -> SendRequest:
    """Parse, check and translate; ``default_from`` is the tenant's sender, empty when it has none.

    Raises Invalid with every bad field at once, TooLarge over the limit.
    """
    given, findings = decode_partly(body, SendBody, empty_list_is_absent=True)
    if given is None:
        raise findings.invalid()
    email = given.destination.email
    reason = problem(email)
    if reason is not None:
        findings.add_unless_known("destination.email", f"The address {reason}.")
    key = given.idempotency_key
    if key is not None and not 0 < len(key) <= MAX_KEY:
        findings.add_unless_known("idempotency_key", f"The key has 1 to {MAX_KEY} characters.")
    subject, contents = _content(given, findings)
    metadata = given.metadata or {}
    _check_free(metadata, "metadata", findings)
    if metadata and len(_encode(metadata)) > MAX_METADATA:
        findings.add_unless_known("metadata", f"Larger than {MAX_METADATA:,} bytes.")
    variables = given.template_vars or {}
    _check_free(variables, "template_vars", findings)
    from_ = _from(metadata, default_from, findings)
    at = _moment(given.scheduled_at, findings)
    if findings:
        raise findings.invalid()
    return SendRequest(
        submission=Submission(
            from_=from_,
            subject=subject,
            contents=contents,
            template_id=given.template_id,
            uncertain=given.postclock.uncertain if given.postclock is not None else None,
            message_type=given.message_type or "transactional",
            metadata=metadata,
            test_send=given.test_send is True,
            redact=given.store_payload is False,
        ),
        personalization=Personalization(
            recipients=(Recipient("to", email),),
            template_data=variables if given.template_id is not None else {},
            send_at_ms=at,
        ),
        idempotency_key=key,
        validate_recipient=given.validate_recipient is True,
    )


def _content(given: SendBody, findings: Findings) -> tuple[str, tuple[Content, ...]]:
    """(subject, bodies); a template says both, and what stands beside it is not looked at."""
    if given.template_id is not None:
        if not 0 < len(given.template_id) <= MAX_TEMPLATE_ID:
            findings.add_unless_known("template_id", f"The id has 1 to {MAX_TEMPLATE_ID} characters.")
        return "", ()
    payload = given.payload
    if payload is None:
        if not findings.known("template_id"):
            findings.add_unless_known("payload", "The payload is required unless a template_id is given.")
        return "", ()
    if payload.subject:
        line(payload.subject, "payload.subject", MAX_SUBJECT, findings)
    elif not findings.known("template_id"):
        findings.add_unless_known("payload.subject", "The subject is required unless a template_id is given.")
    if not (payload.body_html or payload.body_text or findings.known("template_id") or _is_bad(payload, findings)):
        findings.add_unless_known("payload", "At least one of body_html and body_text is required.")
    bodies = (("text/plain", payload.body_text), ("text/html", payload.body_html))
    return payload.subject or "", tuple([Content(kind, text) for kind, text in bodies if text])


def _is_bad(payload: SendPayload, findings: Findings) -> bool:
    """Whether a body was given that cannot be used: it is told already."""
    return findings.known("payload.body_html") or findings.known("payload.body_text")


def _from(metadata: dict[str, Any], default_from: str, findings: Findings) -> Mailbox:
    given = metadata.get("from_email")
    if given is not None:
        return sender(given, findings)
    return Mailbox(default_from) if default_from else NOBODY


def _moment(given: str | None, findings: Findings) -> int | None:
    if given is None:
        return None
    try:
        return from_rfc_3339(given)
    except ValueError as error:
        findings.add_unless_known("scheduled_at", str(error))
        return None


def _check_free(given: dict[str, Any], field: str, findings: Findings) -> None:
    """The look at the bytes before can be fooled by brackets in strings: the depth is counted here."""
    if given and nests_too_deep(given, _DATA_DEPTH):
        collect_json(given, field, _DATA_DEPTH, findings)
