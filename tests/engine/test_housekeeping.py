"""What runs beside the mail: the watch over other processes, rescue, the sweep; and what happens when they fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from postclock.engine.heartbeat import Heartbeat
from postclock.engine.housekeeping import (
    PAUSE_SECONDS,
    RESCUE_SECONDS,
    SLICE,
    SWEEP_SECONDS,
    WATCH_SECONDS,
    Housekeeping,
)
from postclock.engine.watch import DEAD_SECONDS
from postclock.store.interface import Ledger
from postclock.store.records import LIVE, Departed
from postclock.store.sqlite.owners import register
from postclock.store.sqlite.writer import Kind
from tests.engine.living import Living
from tests.engine.parts import SETTINGS, Bench, becomes, is_so, turns
from tests.support import mails
from tests.support.clock import MovedClock


class House:
    """Housekeeping over a bench's store."""

    def __init__(self, shop: Bench) -> None:
        self.uncertain: list[int] = []
        self.keeping = Housekeeping(shop.ledger, shop.clock, shop.settings, uncertain=self.uncertain.append)


class Watching:
    """The watch and the rescue of process 1, over lives that a test writes down."""

    def __init__(self, store: Living) -> None:
        self.store = store
        self.clock = MovedClock()
        self.uncertain: list[int] = []
        self.keeping = Housekeeping(cast(Ledger, store), self.clock, SETTINGS, uncertain=self.uncertain.append)

    async def after(self, seconds: float, *beating: int) -> None:
        """So much later, a look at a time; ``beating`` have raised their beats by every look."""
        for _ in range(round(seconds / WATCH_SECONDS)):
            for owner in beating:
                self.store.beats[owner] += 1
            looks = self.store.calls["lives"]
            self.clock.move(WATCH_SECONDS)
            await becomes(lambda looks=looks: is_so(self.store.calls["lives"] > looks))  # type: ignore[misc]
            await turns(3)


@asynccontextmanager
async def watching(store: Living) -> AsyncIterator[Watching]:
    """Both loops run, and everybody was seen once."""
    parts = Watching(store)
    loops = [asyncio.ensure_future(run()) for run in (parts.keeping.run_watch, parts.keeping.run_rescue)]
    await becomes(lambda: is_so(parts.clock.sleepers == 1))
    yield parts
    for loop in loops:
        loop.cancel()
    await asyncio.wait(loops)


async def asleep(shop: Bench, n: int = 1) -> None:
    """Until so many loops sleep."""

    async def so() -> bool:
        return shop.clock.sleepers >= n

    await becomes(so)


async def test_a_lost_life_claims_and_departs_nothing(shop: Bench) -> None:
    """What it holds already does not go either, even before the beat noticed."""
    async with shop.running():
        await shop.send(due_in=1_500)
        while "prepared" not in shop.points:
            await turns(1)
        shop.store._writer.run_sync(Kind.record, register(shop.now))
        shop.later(2)
        await shop.is_empty()
        await shop.send()
        await turns()
        assert not shop.courier.handed


async def test_rescue_takes_back_what_a_dead_process_held(shop: Bench) -> None:
    """Claimed and not departed: it waits as before."""
    message = await shop.send()
    await shop.claim()
    shop.store._writer.run_sync(Kind.record, register(shop.now))
    house = House(shop)
    shop.ledger.inner.owner = type(shop.store.ledger.owner)(99, 1, 9)
    await house.keeping.rescue_at_start()
    assert await shop.state(message) is State.queued


async def test_rescue_counts_what_departed_without_a_result(shop: Bench) -> None:
    """What the former process could not know is a figure that somebody watches."""
    message = await shop.send()
    (claimed,) = await shop.claim()
    revision = (await shop.store.ledger.context(claimed.tenant)).revision
    (departed,) = await shop.store.ledger.depart([mails.departure(claimed, revision)], shop.now)
    assert isinstance(departed, Departed)
    shop.store._writer.run_sync(Kind.record, register(shop.now))
    house = House(shop)
    shop.ledger.inner.owner = type(shop.store.ledger.owner)(99, 1, 9)
    await house.keeping.rescue_at_start()
    assert house.uncertain == [1]
    assert await shop.state(message) is State.uncertain


async def test_the_sweep_settles_a_cancelled_batch_and_survives_a_fault(shop: Bench) -> None:
    """A fault of ours in one turn is logged, and the next turn does the work."""
    batch = mails.new_id()
    await shop.store.messages.create_batch(batch, shop.tenant, LIVE, shop.now)
    message = await shop.send(due_in=60_000, batch=batch)
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    shop.ledger.trouble["sweep"] = [RuntimeError("a fault of ours"), Busy("not now")]
    house = House(shop)
    sweeping = asyncio.ensure_future(house.keeping.run_sweep())
    while shop.ledger.calls.get("confirm", 0) < 2:
        await asleep(shop)
        shop.clock.move(max(SWEEP_SECONDS, PAUSE_SECONDS))
    assert "cancelled" in await shop.timeline(message)
    sweeping.cancel()


async def test_who_stands_still_is_ended_and_what_it_held_is_taken_back() -> None:
    """Ten seconds and a look after its last beat; all of it, slice by slice, and who beats is left alone."""
    async with watching(Living(beats={1: 0, 2: 0, 3: 0}, held={2: 2 * SLICE + 1, 3: 7})) as parts:
        store = parts.store
        await parts.after(DEAD_SECONDS - WATCH_SECONDS, 3)
        assert store.ended == []
        await parts.after(2 * WATCH_SECONDS, 3)
        assert store.ended == [2]
        await becomes(lambda: is_so(store.held == {2: 0, 3: 7}))
        await becomes(lambda: is_so(parts.uncertain == [3]))  # one a slice
        await parts.after(20, 3)
        assert store.ended == [2]


async def test_a_life_that_beats_after_all_is_not_ended() -> None:
    """The store compares: what was seen is no longer so."""
    store = Living(beats={1: 0, 2: 0}, held={2: 5})
    async with watching(store) as parts:
        store.trouble["end_life"] = [Busy("a lock")]
        await parts.after(DEAD_SECONDS)
        await becomes(lambda: is_so(store.calls.get("end_life", 0) == 1))
        await parts.after(DEAD_SECONDS - WATCH_SECONDS, 2)
        assert store.ended == []
        assert store.held == {2: 5}


async def test_a_death_that_cannot_be_written_now_is_written_later() -> None:
    """Busy at the end of a life, then at the rescue: each is done when the store has time."""
    trouble: dict[str, list[Exception]] = {"end_life": [Busy("a lock")], "rescue": [RuntimeError("a fault of ours")]}
    store = Living(beats={1: 0, 2: 0}, held={2: 5}, trouble=trouble)
    async with watching(store) as parts:
        await parts.after(DEAD_SECONDS + PAUSE_SECONDS + 2 * WATCH_SECONDS)
        assert store.ended == [2]
        await becomes(lambda: is_so(store.held == {2: 0}))


async def test_a_long_rescue_makes_nobody_blind() -> None:
    """Who dies while another's mail is taken back is seen, and ended between two slices."""
    store = Living(beats={1: 0, 2: 0, 3: 0}, held={2: 3 * SLICE, 3: 9})
    go_on = asyncio.Semaphore(0)

    async def slowly() -> None:
        await go_on.acquire()

    store.on_rescue = slowly
    async with watching(store) as parts:
        await parts.after(DEAD_SECONDS, 3)
        assert store.ended == [2]
        await parts.after(DEAD_SECONDS)
        assert store.ended == [2]
        go_on.release()
        await becomes(lambda: is_so(store.ended == [2, 3]))
        for _ in range(9):
            go_on.release()
        await becomes(lambda: is_so(store.held == {2: 0, 3: 0}))


async def test_a_rescue_without_an_occasion_finds_what_another_left_behind() -> None:
    """Another process ended a life and died before it took anything back."""
    store = Living(held={9: 5})
    async with watching(store) as parts:
        await parts.after(RESCUE_SECONDS - WATCH_SECONDS)
        assert store.calls.get("rescue", 0) == 0
        await parts.after(WATCH_SECONDS)
        await becomes(lambda: is_so(store.held == {9: 0}))


async def test_a_database_that_is_away_takes_no_life() -> None:
    """Thirty seconds in which nobody can beat: when it is back, everybody lives."""
    store = Living(beats={1: 0, 2: 0})
    async with watching(store) as parts:
        await parts.after(8)
        store.away = True
        await parts.after(30)
        store.away = False
        await parts.after(1)
        await parts.after(8, 2)
        assert store.ended == []


async def test_three_processes_agree_on_who_is_dead() -> None:
    """Heartbeats and watches of three over one store: one is frozen, the others live on; it wakes and hears of it."""
    clock = MovedClock()
    store = Living(beats={1: 0, 2: 0, 3: 0}, held={3: 5})
    lost: list[int] = []
    tasks: dict[int, list[asyncio.Future[None]]] = {}
    views: dict[int, Living] = {}
    for n in (1, 2, 3):
        view = views[n] = Living(type(store.owner)(n, 1, n), store.beats, store.held, ended=store.ended)
        beat = Heartbeat(cast(Ledger, view), clock, lost=lambda n=n: lost.append(n))  # type: ignore[misc]
        house = Housekeeping(cast(Ledger, view), clock, SETTINGS)
        tasks[n] = [asyncio.ensure_future(run()) for run in (beat.run, house.run_watch, house.run_rescue)]
    await becomes(lambda: is_so(clock.sleepers == 6))
    for task in tasks[3]:
        task.cancel()
    await asyncio.wait(tasks[3])
    for _ in range(13):
        clock.move(1)
        await becomes(lambda: is_so(clock.sleepers == 4))
    assert store.ended == [3]
    assert store.held == {3: 0}
    assert sorted(store.beats) == [1, 2]
    await Heartbeat(cast(Ledger, views[3]), clock, lost=lambda: lost.append(3)).run()
    assert lost == [3]
    for task in (*tasks[1], *tasks[2]):
        task.cancel()


@pytest.mark.parametrize("times", [1, 20])
async def test_the_rescue_of_a_start_waits_for_a_busy_store(times: int) -> None:
    """However long it takes; a fault of ours is raised."""
    store = Living(held={9: 5}, trouble={"rescue": [Busy("not now") for _ in range(times)]})
    parts = Watching(store)
    starting = asyncio.ensure_future(parts.keeping.rescue_at_start())
    for _ in range(times):
        await becomes(lambda: is_so(parts.clock.sleepers == 1))
        parts.clock.move(PAUSE_SECONDS)
        await turns(1)
    await asyncio.wait_for(starting, 20)
    assert store.held == {9: 0}
    store.trouble["rescue"] = [RuntimeError("a fault of ours")]
    with pytest.raises(RuntimeError):
        await parts.keeping.rescue_at_start()
