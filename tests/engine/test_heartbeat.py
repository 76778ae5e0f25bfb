"""Every process says that it lives, until the store says otherwise; nothing else ends it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from postclock.core.errors import Busy
from postclock.engine.heartbeat import BEAT_SECONDS, Heartbeat
from postclock.service.share import Share
from postclock.store.interface import Ledger
from postclock.store.records import Life
from tests.engine.living import Living
from tests.engine.parts import becomes, is_so
from tests.support.clock import MovedClock


class Beating:
    """A heartbeat over lives that a test writes down."""

    def __init__(self, store: Living, seen: Callable[[Sequence[Life]], None] | None = None) -> None:
        self.store = store
        self.clock = MovedClock()
        self.lost = 0
        self.loops = 1 if seen is None else 2
        self.heartbeat = Heartbeat(cast(Ledger, store), self.clock, lost=self._lost, seen=seen)

    def _lost(self) -> None:
        self.lost += 1

    async def after(self, seconds: float) -> None:
        """So much later, once everything sleeps again."""
        self.clock.move(seconds)
        await self.asleep()

    async def asleep(self) -> None:
        await becomes(lambda: is_so(self.clock.sleepers == self.loops))


@asynccontextmanager
async def beating(store: Living, seen: Callable[[Sequence[Life]], None] | None = None) -> AsyncIterator[Beating]:
    """It runs, and has beaten once."""
    parts = Beating(store, seen)
    running = asyncio.ensure_future(parts.heartbeat.run())
    await parts.asleep()
    yield parts
    running.cancel()
    await asyncio.wait((running,))


async def test_it_beats_at_once_and_every_two_seconds() -> None:
    """Others see the beat rise."""
    async with beating(Living()) as parts:
        assert parts.store.beats == {1: 1}
        await parts.after(BEAT_SECONDS - 0.1)
        assert parts.store.beats == {1: 1}
        for _ in range(3):
            await parts.after(BEAT_SECONDS)
        assert parts.store.beats == {1: 4}
    assert BEAT_SECONDS == 2


async def test_a_life_that_another_ended_is_told_once() -> None:
    """With the next beat; then there is nothing more to say."""
    store = Living()
    parts = Beating(store, seen=lambda _: None)
    running = asyncio.ensure_future(parts.heartbeat.run())
    await parts.asleep()
    assert parts.lost == 0
    del store.beats[1]
    parts.clock.move(BEAT_SECONDS)
    await asyncio.wait_for(running, 20)
    assert parts.lost == 1
    assert parts.clock.sleepers == 0


async def test_a_busy_store_or_a_fault_is_no_lost_life() -> None:
    """It is said again two seconds later."""
    async with beating(Living(trouble={"beat": [Busy("not now"), RuntimeError("a fault of ours")]})) as parts:
        for n in (2, 3):
            await parts.after(BEAT_SECONDS)
            assert parts.store.calls["beat"] == n
        assert parts.store.beats == {1: 1}
        assert parts.lost == 0


async def test_a_database_that_is_away_for_an_hour_ends_nobody() -> None:
    """It keeps trying, and goes on when the database is back."""
    async with beating(Living()) as parts:
        parts.store.away = True
        for _ in range(1_800):
            await parts.after(BEAT_SECONDS)
        assert parts.lost == 0
        parts.store.away = False
        await parts.after(BEAT_SECONDS)
        assert parts.store.beats == {1: 2}


async def test_a_slow_look_at_the_others_delays_no_beat() -> None:
    """The beat does not wait for it."""
    store = Living()
    answer = asyncio.Event()

    async def slow() -> list[Life]:
        await answer.wait()
        return []

    store.lives = slow  # type: ignore[method-assign]
    parts = Beating(store, seen=lambda _: None)
    parts.loops = 1
    running = asyncio.ensure_future(parts.heartbeat.run())
    await parts.asleep()
    for _ in range(5):
        await parts.after(BEAT_SECONDS)
    assert store.beats == {1: 6}
    running.cancel()


async def test_the_share_follows_the_processes_that_answer_callers() -> None:
    """Engines do not count, this one always does; while the store cannot be read, the last share stays."""
    store = Living(beats={1: 0, 2: 0, 3: 0}, api={2})
    share = Share(own=1)
    assert share() == 1
    async with beating(store, seen=share.seen) as parts:
        assert share() == 1 / 2
        store.api |= {1, 3}
        await parts.after(BEAT_SECONDS)
        assert share() == 1 / 3
        store.away = True
        store.api.clear()
        await parts.after(BEAT_SECONDS)
        assert share() == 1 / 3
        store.away = False
        store.trouble["lives"] = [RuntimeError("a fault of ours")]
        await parts.after(BEAT_SECONDS)
        assert share() == 1 / 3
        await parts.after(BEAT_SECONDS)
        assert share() == 1
