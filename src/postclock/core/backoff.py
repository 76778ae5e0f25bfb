"""When a deferred mail is tried again: after 1, 5, 15, 30 minutes, 1 hour, then each 2 hours, give or take a fifth."""

from typing import Final

STEPS_MS: Final = tuple(m * 60_000 for m in (1, 5, 15, 30, 60, 120))
SPREAD: Final = 0.2
"""So that mail deferred together does not come back together."""


def next_attempt(now_ms: int, deferrals: int, jitter: float) -> int:
    """The time (UTC milliseconds) of the attempt after the ``deferrals``-th deferral (from 0); ``jitter`` from 0 up to 1."""
    wait = STEPS_MS[min(deferrals, len(STEPS_MS) - 1)]
    return now_ms + round(wait * (1 - SPREAD + 2 * SPREAD * jitter))


def is_given_up(tried_at_ms: int, next_ms: int, give_up_after_ms: int) -> bool:
    """Whether the next attempt would come later than ``give_up_after_ms`` after the first one of this round."""
    return next_ms - tried_at_ms > give_up_after_ms
