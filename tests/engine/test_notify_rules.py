"""When a webhook is tried again, and when its endpoint is switched off."""

from postclock.engine.notify_rules import after_failure, after_success, next_try
from postclock.store.outbox import Health

NOW = 1_800_000_000_000
HOUR = 3_600_000


def test_six_attempts_ever_further_apart() -> None:
    """After 60, 300, 900, 3600 and 7200 seconds, give or take a fifth; then it is over."""
    middle = [next_try(NOW, n, 0.5) for n in range(1, 6)]
    assert middle == [NOW + s * 1000 for s in (60, 300, 900, 3600, 7200)]
    assert next_try(NOW, 1, 0.0) == NOW + 48_000
    assert next_try(NOW, 1, 1.0) == NOW + 72_000
    assert next_try(NOW, 6, 0.5) is None


def test_ten_failures_in_a_row_over_an_hour_are_enough() -> None:
    """Nine are not, and ten within the hour are not either: the first one after it is."""
    health = Health()
    for n in range(10):
        health = after_failure(health, NOW + n * HOUR // 10, 0.5)
        assert health.disabled_at is None
    assert (health.failures, health.failing_since) == (10, NOW)
    assert after_failure(health, NOW + HOUR - 1, 0.5).disabled_at is None
    assert after_failure(health, NOW + HOUR, 0.5).disabled_at == NOW + HOUR
    slow = Health()
    for n in range(9):
        slow = after_failure(slow, NOW + n * HOUR, 0.5)
    assert slow.disabled_at is None


def test_a_success_ends_the_row() -> None:
    """Nothing keeps the next post; what was is remembered for people."""
    failing = after_failure(Health(last_success_at=1), NOW, 0.5)
    assert (failing.retry_at, failing.last_failure_at, failing.last_success_at) == (NOW + 60_000, NOW, 1)
    assert after_success(failing, NOW + 5) == Health(last_success_at=NOW + 5, last_failure_at=NOW)


def test_a_long_row_is_looked_at_every_two_hours() -> None:
    """The pause does not end with the attempts of one event."""
    health = Health()
    for _ in range(9):
        health = after_failure(health, NOW, 0.5)
    assert health.retry_at == NOW + 7_200_000
