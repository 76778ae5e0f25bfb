"""When a deferred mail is tried again, and when it is given up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.core.backoff import SPREAD, is_given_up, next_attempt

MINUTE = 60_000


@pytest.mark.parametrize(
    ("deferrals", "minutes"), [(0, 1), (1, 5), (2, 15), (3, 30), (4, 60), (5, 120), (6, 120), (50, 120)]
)
def test_the_waits_are_those_that_are_documented(deferrals: int, minutes: int) -> None:
    """1, 5, 15, 30 minutes, 1 hour, then each 2 hours; the extremes are a fifth less and more."""
    assert next_attempt(0, deferrals, 0.5) == minutes * MINUTE
    assert next_attempt(0, deferrals, 0.0) == minutes * MINUTE * 8 // 10
    assert next_attempt(7, deferrals, 1.0) == 7 + minutes * MINUTE * 12 // 10


@given(st.integers(0, 2**41), st.integers(0, 100), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_the_spread_stays_within_a_fifth(now: int, deferrals: int, jitter: float) -> None:
    """Whatever chance says."""
    wait = next_attempt(now, deferrals, jitter) - now
    middle = next_attempt(now, deferrals, 0.5) - now
    assert abs(wait - middle) <= middle * SPREAD + 1


def test_given_up_is_counted_from_the_first_attempt() -> None:
    """At the limit it is tried once more, beyond it no longer."""
    assert not is_given_up(1_000, 1_000 + 72 * 60 * MINUTE, 72 * 60 * MINUTE)
    assert is_given_up(1_000, 1_001 + 72 * 60 * MINUTE, 72 * 60 * MINUTE)
