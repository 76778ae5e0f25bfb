"""What the services hand to the dialects, in one place: a dialect sees services only, never the store."""

from postclock.store.outbox import DeliveryRow, DeliveryState, Post, Subscription, Told
from postclock.store.records import BatchCancelled, BatchStatus, CancelAnswer, mode_number
from postclock.store.views import EventRow, MessageDetail, MessageFilter, StatusFilter

__all__ = [
    "BatchCancelled",
    "BatchStatus",
    "CancelAnswer",
    "DeliveryRow",
    "DeliveryState",
    "EventRow",
    "MessageDetail",
    "MessageFilter",
    "Post",
    "StatusFilter",
    "Subscription",
    "Told",
    "mode_number",
]
