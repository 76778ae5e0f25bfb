"""What the services hand to the dialects, in one place: a dialect sees services only, never the store."""

from postclock.store.records import (
    BatchCancelled,
    BatchStatus,
    CancelAnswer,
    MessageDetail,
    MessageFilter,
    mode_number,
)

__all__ = ["BatchCancelled", "BatchStatus", "CancelAnswer", "MessageDetail", "MessageFilter", "mode_number"]
