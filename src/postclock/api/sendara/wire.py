"""The shapes of ``POST /v1/send`` as they stand in the JSON (Sendara's documentation, sending).

Only shapes: limits and rules are in ``translate``. Unknown fields are ignored; null, and ``[]`` where an object belongs, are as good
as absent (clients send both).
"""

from typing import Any, Literal

import msgspec

from postclock.api.sendara.failures import Told
from postclock.api.sendara.statuses import Status
from postclock.core.message import MessageType


class Destination(msgspec.Struct, gc=False):
    """The one recipient."""

    email: str


class SendPayload(msgspec.Struct, gc=False):
    """What the mail says, unless a template says it: a subject and at least one body."""

    subject: str | None = None
    body_html: str | None = None
    body_text: str | None = None


class Extension(msgspec.Struct, gc=False):
    """``postclock``: what Sendara does not have. ``uncertain``: what to do when a relay's last answer was lost."""

    uncertain: Literal["resend", "hold", "assume_sent"] | None = None


class SendBody(msgspec.Struct, gc=False):
    """One message. ``metadata`` is kept as it is, and its ``from_email`` is the sender; ``scheduled_at`` is an RFC 3339 timestamp."""

    channel: Literal["email"]
    destination: Destination
    payload: SendPayload | None = None
    idempotency_key: str | None = None
    message_type: MessageType | None = None
    metadata: dict[str, Any] | None = None
    template_id: str | None = None
    template_vars: dict[str, Any] | None = None
    scheduled_at: str | None = None
    validate_recipient: bool | None = None
    test_send: bool | None = None
    store_payload: bool | None = None
    postclock: Extension | None = None


class SendAnswer(msgspec.Struct, frozen=True):
    """A message that was accepted; ``status`` is the current one when a key answers again."""

    id: str
    status: Status
    channel: Literal["email"]
    idempotency_key: str
    created_at: str


class ItemAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item of a batch: ``response`` when it was accepted, else ``error``."""

    success: bool
    response: SendAnswer | msgspec.UnsetType = msgspec.UNSET
    error: Told | msgspec.UnsetType = msgspec.UNSET
