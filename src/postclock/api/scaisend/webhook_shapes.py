"""The shapes of webhooks in /v3's JSON: endpoints, their deliveries, and SendGrid's event webhook with its thirteen fields.

Only shapes; rules are the service's. Times are ISO 8601 in UTC with Z (ScaiSend's documentation, webhooks).
"""

from typing import Annotated, Literal

import msgspec

from postclock.core.webhook import EventType

EventName = EventType | Literal["*"]
Names = Annotated[list[str], msgspec.Meta(max_length=100)]
"""Names in one call: far above those there are."""


class NewWebhook(msgspec.Struct, kw_only=True):
    """An endpoint to be made. ``enabled_events`` absent or ``["*"]``: ScaiSend's twelve."""

    url: str
    enabled_events: Names | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: str | None = None


class WebhookChange(msgspec.Struct, kw_only=True):
    """What changes about an endpoint; absent stays. ``enabled`` true starts a disabled one anew."""

    url: str | None = None
    enabled_events: Names | None = None
    enabled: bool | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: str | None = None


class WebhookAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint without its secret. ``failure_count``: failures in a row; ``disabled_at``: when they made it be disabled."""

    id: str
    url: str
    enabled_events: list[EventName]
    enabled: bool
    created_at: str
    last_success_at: str | None
    last_failure_at: str | None
    failure_count: int
    disabled_at: str | None


class WebhookMade(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with its secret, shown this once."""

    id: str
    url: str
    enabled_events: list[EventName]
    signing_secret: str
    enabled: bool
    created_at: str


class WebhookList(msgspec.Struct, frozen=True):
    """One page of endpoints; ``total`` counts all that match."""

    webhooks: list[WebhookAnswer]
    total: int


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint, or arrived. ``created_at`` is when the event was; ``reason``: what went wrong last."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    message_id: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    response_status: int | None
    reason: str
    created_at: str
    settled_at: str | None


class DeliveryList(msgspec.Struct, frozen=True):
    """The newest deliveries of an endpoint."""

    deliveries: list[DeliveryAnswer]


class EventSettings(msgspec.Struct, frozen=True, kw_only=True):
    """SendGrid's event webhook: one URL, and a switch for each type. ``bounce`` is for blocked mail too, as theirs."""

    enabled: bool
    url: str
    group_resubscribe: bool
    delivered: bool
    group_unsubscribe: bool
    spam_report: bool
    bounce: bool
    deferred: bool
    unsubscribe: bool
    processed: bool
    open: bool
    click: bool
    dropped: bool


class EventSettingsChange(msgspec.Struct, kw_only=True):
    """What changes about the event webhook; absent stays."""

    enabled: bool | None = None
    url: str | None = None
    group_resubscribe: bool | None = None
    delivered: bool | None = None
    group_unsubscribe: bool | None = None
    spam_report: bool | None = None
    bounce: bool | None = None
    deferred: bool | None = None
    unsubscribe: bool | None = None
    processed: bool | None = None
    open: bool | None = None
    click: bool | None = None
    dropped: bool | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: str | None = None
    oauth_token_url: str | None = None


class SignedChange(msgspec.Struct, kw_only=True):
    """Whether the event webhook is signed."""

    enabled: bool


class SignedAnswer(msgspec.Struct, frozen=True):
    """The key to check signatures with, base64 of its DER form; empty while it is not signed."""

    public_key: str
