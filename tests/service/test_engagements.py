"""Opens and clicks wait in memory for a moment, within bounds, and are written in groups."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from postclock.core.errors import Busy
from postclock.mail.tracking import Named
from postclock.runtime.metrics import Metrics
from postclock.service.tracking import GROUP, LINGER, MAX_AGENT, MOST_OF_ONE, MOST_WAITING, PATIENCE, Engagements
from postclock.store.records import Engagement
from tests.support.clock import MovedClock
from tests.support.engaged import TOKENS, Engaged, engagements

URL = "https://shop.example/"


class Ground:
    """The service over a store that can be told to say no."""

    def __init__(self) -> None:
        self.store, self.clock, self.metrics = Engaged(), MovedClock(), Metrics()
        self.service: Engagements = engagements(self.store, self.clock, self.metrics)

    def open(self, message: int, agent: str = "mail program", ip: str = "192.0.2.1") -> None:
        self.service.opened(TOKENS.make("open", Named(message, 2976, 0)), agent=agent, ip=ip)

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"postclock_{name}_total", labels)

    async def asleep(self) -> None:
        """Until the loop of the service waits for the clock."""
        async with asyncio.timeout(10):
            while not self.clock.sleepers:
                await asyncio.to_thread(lambda: None)


@pytest.fixture
def here() -> Ground:
    return Ground()


@pytest.fixture
async def running(here: Ground) -> AsyncIterator[Ground]:
    """With its loop running."""
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(here.service.run())
        yield here
        loop.cancel()


async def test_an_open_and_a_click_are_written_as_they_were(here: Ground) -> None:
    """Who, when, with what; the address of a click alone."""
    here.open(5)
    here.clock.move(1)
    token = TOKENS.make("click", Named(6, 2976, None), URL)
    assert here.service.clicked(token, URL, agent="browser", ip="2001:db8::1")
    assert await here.service.flush()
    now = here.clock.now_ms()
    assert here.store.groups == [
        [
            Engagement(5, 2976, "open", 0, now - 1000, "", "mail program", "192.0.2.1"),
            Engagement(6, 2976, "click", None, now, URL, "browser", "2001:db8::1"),
        ]
    ]
    assert here.figure("engagements", kind="open") == here.figure("engagements", kind="click") == 1


async def test_what_has_no_token_of_ours_leaves_no_trace(here: Ground) -> None:
    """Not in the store, not in memory, not in the figures."""
    here.service.opened("A" * 32, agent="x", ip="y")
    assert not here.service.clicked(TOKENS.make("click", Named(5, 2976, 0), URL), URL + "x", agent="x", ip="y")
    await here.service.flush()
    assert here.store.groups == []
    assert here.figure("engagements", kind="open") == here.figure("engagements_dropped") == 0


async def test_a_group_comes_together_for_a_moment(running: Ground) -> None:
    """What comes within it is written in one go, with nothing before."""
    running.open(5)
    await running.asleep()
    running.open(6)
    assert running.store.groups == []
    running.clock.move(LINGER)
    async with asyncio.timeout(10):
        while not running.store.groups:
            await asyncio.to_thread(lambda: None)
    assert [[e.message for e in group] for group in running.store.groups] == [[5, 6]]


async def test_a_busy_store_is_told_again(running: Ground) -> None:
    """Nothing is lost, and nothing comes twice."""
    running.store.trouble = [Busy("later"), Busy("later")]
    running.open(5)
    async with asyncio.timeout(10):
        while not running.store.groups:
            await running.asleep()
            running.clock.move(PATIENCE)
            await asyncio.to_thread(lambda: None)
    assert [e.message for e in running.store.all] == [5]
    assert running.store.trouble == []


async def test_a_fault_costs_its_group_alone(here: Ground) -> None:
    """It is counted, and the next group is written."""
    here.store.trouble = [ValueError("a fault of ours")]
    for message in range(GROUP + 1):
        here.open(message)
    assert await here.service.flush()
    assert [e.message for e in here.store.all] == [GROUP]
    assert here.figure("engagements_dropped") == GROUP


async def test_memory_is_bounded(here: Ground) -> None:
    """More than so many are dropped and counted; what is kept is written in groups of a bounded size."""
    for message in range(MOST_WAITING + 7):
        here.open(message)
    assert here.figure("engagements_dropped") == 7
    await here.service.flush()
    assert len(here.store.all) == MOST_WAITING
    assert max(len(group) for group in here.store.groups) == GROUP


async def test_one_message_cannot_push_out_the_others(here: Ground) -> None:
    """Whoever loads a pixel in a loop counts so often until that is written, and then again."""
    for _ in range(MOST_OF_ONE + 5):
        here.open(5)
    here.open(6)
    await here.service.flush()
    assert len(here.store.all) == MOST_OF_ONE + 1
    assert here.figure("engagements_dropped") == 5
    here.open(5)
    await here.service.flush()
    assert len(here.store.all) == MOST_OF_ONE + 2


async def test_what_a_program_says_of_itself_is_cut_and_cleaned(here: Ground) -> None:
    """It comes from anybody."""
    here.open(5, agent="x" * 1_000)
    here.open(6, agent="a\x00b\x1b[31mc\r\nd\ud800", ip="1" * 1_000)
    await here.service.flush()
    first, second = here.store.all
    assert first.agent == "x" * MAX_AGENT
    assert second.agent == "ab[31mcd"
    assert len(second.ip) == 45


async def test_a_flood_without_a_pause_leaves_room_for_a_message_that_was_written(here: Ground) -> None:
    """What is written no longer counts against its message, although something always waits."""

    def opens(message: int, times: int) -> None:
        for _ in range(times):
            here.open(message)

    here.store.meanwhile = [lambda: opens(6, 1), lambda: opens(5, MOST_OF_ONE + 1)]
    opens(5, MOST_OF_ONE)
    await here.service.flush()
    assert [len(group) for group in here.store.groups] == [MOST_OF_ONE, 1, MOST_OF_ONE]
    assert here.figure("engagements_dropped") == 1
