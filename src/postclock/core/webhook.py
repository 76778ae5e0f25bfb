"""Webhooks: what may happen to a message as its timeline names it, and what posts are signed with.

The store writes an event's type as one of these; a webhook asks for some of them. A dialect may have words of its own.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

PromisedType = Literal[
    "processed", "deferred", "delivered", "bounce", "blocked", "dropped", "open", "click", "spam_report", "unsubscribe",
    "group_unsubscribe", "group_resubscribe",
]  # fmt: skip
"""ScaiSend's twelve, whose names are promised to stay (ScaiSend's documentation, events and webhooks)."""

FurtherType = Literal[
    "sent", "uncertain", "late_result", "reissued", "retried", "released", "cancelled", "failed", "parked",
]  # fmt: skip
"""What the timeline knows beside them."""

EventType = PromisedType | FurtherType

PROMISED: Final[tuple[PromisedType, ...]] = get_args(PromisedType)
FURTHER: Final[tuple[FurtherType, ...]] = get_args(FurtherType)
TIMELINE: Final[tuple[EventType, ...]] = (*PROMISED, *FURTHER)
"""Every type, in one order."""

PREVIOUS_SECRET_MS: Final = 86_400_000
"""How long a secret that was rotated away with an overlap goes on signing: a day to bring the new one everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What posts to one webhook are signed with now, opened. What a dialect does not sign with is None."""

    secret: str | None = None
    previous: str | None = None
    """The secret before it, while it still signs."""
    signing_key: bytes | None = None
    """A private key for ECDSA, PKCS 8 in DER."""

    def __repr__(self) -> str:
        return "Secrets(…)"
