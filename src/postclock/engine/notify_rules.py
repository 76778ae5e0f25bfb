"""When a webhook is tried again, when it is given up, and when an endpoint that always fails is switched off."""

from dataclasses import replace
from typing import Final

from postclock.store.outbox import Health

STEPS_MS: Final = tuple(seconds * 1000 for seconds in (60, 300, 900, 3_600, 7_200))
"""From one attempt to the next: six attempts in some three hours and a half."""
SPREAD: Final = 0.2
"""So that what failed together does not come back together."""
FAILURES: Final = 10
"""So many failures in a row, over ``LEAST_MS`` at least, switch an endpoint off."""
LEAST_MS: Final = 3_600_000


def next_try(now: int, attempts: int, jitter: float) -> int | None:
    """The time (UTC milliseconds) of the attempt after the ``attempts``-th (from 1); None: that was the last one.

    ``jitter`` from 0 up to 1.
    """
    if attempts > len(STEPS_MS):
        return None
    return now + round(STEPS_MS[attempts - 1] * (1 - SPREAD + 2 * SPREAD * jitter))


def after_success(health: Health, now: int) -> Health:
    """Everything flows again."""
    return Health(last_success_at=now, last_failure_at=health.last_failure_at)


def after_failure(health: Health, now: int, jitter: float) -> Health:
    """One more failure in a row. What was under way at the same time counts as one, or a busy endpoint were dead at the first one."""
    failures = health.failures + 1
    since = now if health.failing_since is None else health.failing_since
    return replace(
        health,
        failures=failures,
        failing_since=since,
        retry_at=next_try(now, min(failures, len(STEPS_MS)), jitter),
        last_failure_at=now,
        disabled_at=now if failures >= FAILURES and now - since >= LEAST_MS else None,
    )
