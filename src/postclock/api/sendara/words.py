"""The one visible table from the timeline's types to /v1's words for them (Sendara's documentation, events).

The timeline of a message and the webhooks of /v1 both speak through it. Several types share a word; a type without one is not shown.
"""

from typing import Final, Literal, get_args

from postclock.core.ids import public_id
from postclock.core.message import Mode
from postclock.core.webhook import TIMELINE, EventType

EventWord = Literal[
    "queued", "accepted", "sent", "delivered", "opened", "bounced", "complained", "failed", "canceled"
]  # fmt: skip
EVENT_WORDS: Final[tuple[EventWord, ...]] = get_args(EventWord)

SHOWN_AS: Final[dict[EventType, EventWord | None]] = {
    "processed": "queued",
    "deferred": "queued",
    "uncertain": "queued",
    "released": "queued",
    "retried": "queued",
    "parked": "queued",
    "reissued": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "open": "opened",
    "click": "opened",
    "bounce": "bounced",
    "blocked": "bounced",
    "spam_report": "complained",
    "failed": "failed",
    "dropped": "failed",
    "cancelled": "canceled",
    # It came after a later attempt had departed and changes no status.
    "late_result": None,
    # /v1 has no word for the lists of a recipient.
    "unsubscribe": None,
    "group_unsubscribe": None,
    "group_resubscribe": None,
}
"""The word of live mail for each type."""

SHOWN_OF_TEST: Final[dict[EventType, EventWord]] = {"processed": "accepted"}
"""Where test mail has another word."""


def event_word(kind: EventType, mode: Mode) -> EventWord | None:
    """/v1's word for an event of a message in this mode; None when it is not shown."""
    if mode == "test" and kind in SHOWN_OF_TEST:
        return SHOWN_OF_TEST[kind]
    return SHOWN_AS[kind]


def types_of_word(word: EventWord, mode: Mode) -> frozenset[EventType]:
    """What a subscription to a word is told of. Live mail is never ``accepted``: there the word stands for being queued first."""
    if word == "accepted":
        return frozenset(SHOWN_OF_TEST)
    return frozenset(kind for kind in TIMELINE if event_word(kind, mode) == word)


def types_of_all() -> frozenset[EventType]:
    """Every type that /v1 has a word for."""
    return frozenset(kind for kind in TIMELINE if SHOWN_AS[kind] is not None)


def bounce_word(bounce_type: str) -> Literal["Permanent", "Transient"]:
    """What ``payload.bounce_type`` of a bounced event says: only a hard bounce is permanent, and suppresses its recipient."""
    return "Permanent" if bounce_type == "hard" else "Transient"


def account_id(tenant: int) -> str:
    """How /v1 names a tenant."""
    return public_id("acct_", tenant)
