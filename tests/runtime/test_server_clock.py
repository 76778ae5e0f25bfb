"""A clock that shows a server's time: asked now and then, carried on by the own hand, believed when the answer came quickly."""

from postclock.runtime.server_clock import FORGET_SECONDS, ServerClock
from tests.support.clock import MovedClock

SERVER_MS = 1_900_000_000_000


def heard(own: MovedClock, clock: ServerClock, server_ms: float, took: float) -> None:
    """The server said so, in the middle of so many seconds."""
    asked = own.monotonic()
    own.move(took)
    clock.heard(server_ms, asked, own.monotonic())


def test_it_shows_the_servers_time_and_carries_it_on() -> None:
    """Whatever the machine's wall clock says, and however it is set."""
    own = MovedClock()
    clock = ServerClock(own)
    heard(own, clock, SERVER_MS, 0.010)
    assert clock.now_ms() == SERVER_MS + 5
    own.move(60)
    own.jump(-3600)
    assert clock.now_ms() == SERVER_MS + 60_005
    assert clock.monotonic() == own.monotonic()


def test_before_the_first_answer_it_shows_the_machines() -> None:
    """There is nothing better."""
    own = MovedClock()
    assert ServerClock(own).now_ms() == own.now_ms()


def test_a_slow_answer_says_less_than_what_is_known() -> None:
    """The server's word may be from anywhere within it."""
    own = MovedClock()
    clock = ServerClock(own)
    heard(own, clock, SERVER_MS, 0.002)
    right = clock.now_ms()
    heard(own, clock, SERVER_MS + 900, 2.0)
    assert clock.now_ms() == right + 2000


def test_after_a_while_any_answer_counts() -> None:
    """Hands drift apart."""
    own = MovedClock()
    clock = ServerClock(own)
    heard(own, clock, SERVER_MS, 0.002)
    own.move(FORGET_SECONDS)
    heard(own, clock, SERVER_MS, 0.2)
    assert clock.now_ms() == SERVER_MS + 100


def test_a_server_that_is_set_is_followed() -> None:
    """So that the watch for jumps of the clock sees it."""
    own = MovedClock()
    clock = ServerClock(own)
    heard(own, clock, SERVER_MS, 0.002)
    heard(own, clock, SERVER_MS + 3_600_000, 0.002)
    assert clock.now_ms() == SERVER_MS + 3_600_001
