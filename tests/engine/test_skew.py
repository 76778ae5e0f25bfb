"""A clock that jumps: an hour early cannot be forgiven, a minute late can."""

import asyncio

import pytest

from postclock.engine.flow import Flow
from postclock.engine.skew import STANDS_SECONDS, SkewWatch
from postclock.runtime.metrics import Metrics
from tests.support.clock import MovedClock


class Watched:
    """A watch over a clock that the test sets."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.flow = Flow(self.clock, 100, 1_000)
        self.metrics = Metrics()
        self.watch = SkewWatch(self.clock, self.flow, self.metrics)
        self.backs = 0
        self.watch.on_back = self._back

    def _back(self) -> None:
        self.backs += 1

    def step(self, seconds: float, after: float = 0.5) -> bool:
        """The clock runs on, and is set by so much; whether scheduled mail is held then."""
        self.clock.move(after)
        self.clock.jump(seconds)
        self.watch.look()
        assert (
            self.flow.held == self.watch.holds == bool(self.metrics.registry.get_sample_value("postclock_clock_hold"))
        )
        return self.watch.holds


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_jump_of_more_than_a_minute_holds_until_it_has_stood_for_one(watched: Watched) -> None:
    """Held at once, still held just before the minute is over, then believed."""
    assert watched.step(61)
    assert watched.step(0, after=STANDS_SECONDS - 1)
    assert not watched.step(0, after=1.5)
    assert not watched.step(0)


def test_small_steps_are_followed(watched: Watched) -> None:
    """A minute and less, again and again: nothing is held."""
    assert not any(watched.step(59) for _ in range(10))


def test_a_clock_that_runs_even_for_a_week_is_no_jump(watched: Watched) -> None:
    """Both hands moved the same way."""
    assert not watched.step(0, after=7 * 86_400)


def test_a_jump_that_is_taken_back_ends_the_hold_at_once(watched: Watched) -> None:
    """Somebody corrected it."""
    assert watched.step(7_200)
    assert not watched.step(-7_200)
    assert not watched.step(30)


def test_a_second_jump_has_to_stand_for_a_minute_of_its_own(watched: Watched) -> None:
    """The minute begins with the last of them."""
    assert watched.step(7_200)
    assert watched.step(7_200, after=59)
    assert watched.step(0, after=30)
    assert watched.step(-3_600, after=10)
    assert watched.step(0, after=59)
    assert not watched.step(0, after=1.5)


def test_a_step_back_holds_nothing_and_is_told(watched: Watched) -> None:
    """What was reserved may now be far off; somebody has to look."""
    assert not watched.step(-3_600)
    assert watched.backs == 1
    assert not watched.step(-0.5)
    assert watched.backs == 1
    assert watched.step(3_600)  # set forward again: watched again


async def test_the_loop_looks_again_and_again(watched: Watched) -> None:
    """A jump is seen without anything departing."""
    running = asyncio.ensure_future(watched.watch.run())
    while not watched.clock.sleepers:
        await asyncio.to_thread(lambda: None)
    watched.clock.jump(3_600)
    watched.clock.move(0.5)
    while not watched.watch.holds:
        await asyncio.to_thread(lambda: None)
    watched.watch.stopping = True
    while not running.done():
        watched.clock.move(0.5)
        await asyncio.to_thread(lambda: None)
