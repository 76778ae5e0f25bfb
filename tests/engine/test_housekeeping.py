"""What runs beside the mail: the heartbeat, rescue, the sweep; and what happens when they fail."""

import asyncio

from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from postclock.engine.housekeeping import BEAT_SECONDS, SWEEP_SECONDS, Housekeeping
from postclock.store.records import LIVE, Departed
from postclock.store.sqlite.owners import register
from postclock.store.sqlite.writer import Kind
from tests.engine.parts import Bench, becomes, turns
from tests.support import mails


class House:
    """Housekeeping over a bench's store."""

    def __init__(self, shop: Bench) -> None:
        self.lost = 0
        self.uncertain: list[int] = []
        self.keeping = Housekeeping(
            shop.ledger, shop.clock, shop.settings, lost=self._lost, uncertain=self.uncertain.append
        )

    def _lost(self) -> None:
        self.lost += 1


async def asleep(shop: Bench, n: int = 1) -> None:
    """Until so many loops sleep."""

    async def so() -> bool:
        return shop.clock.sleepers >= n

    await becomes(so)


async def test_a_life_that_another_ended_departs_nothing_more(shop: Bench) -> None:
    """The next beat tells; the loop ends, and the engine is told once."""
    house = House(shop)
    beating = asyncio.ensure_future(house.keeping.run_beat())
    await asleep(shop)
    assert house.lost == 0
    shop.store._writer.run_sync(Kind.record, register(shop.now))
    shop.clock.move(BEAT_SECONDS)
    await beating
    assert house.lost == 1


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


async def test_a_busy_store_is_no_lost_life(shop: Bench) -> None:
    """The beat is said again when the store has time."""
    shop.ledger.trouble["beat"] = [Busy("not now"), RuntimeError("a fault of ours")]
    house = House(shop)
    beating = asyncio.ensure_future(house.keeping.run_beat())
    while shop.ledger.calls.get("beat", 0) < 4:
        await asleep(shop)
        shop.clock.move(BEAT_SECONDS)
    assert house.lost == 0
    beating.cancel()


async def test_rescue_takes_back_what_a_dead_process_held(shop: Bench) -> None:
    """Claimed and not departed: it waits as before."""
    message = await shop.send()
    await shop.claim()
    shop.store._writer.run_sync(Kind.record, register(shop.now))
    house = House(shop)
    shop.ledger.inner.owner = type(shop.store.ledger.owner)(99, 1, 9)
    assert await house.keeping.rescue() == 1
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
    assert await house.keeping.rescue() == 1
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
        shop.clock.move(max(SWEEP_SECONDS, BEAT_SECONDS))
    assert "cancelled" in await shop.timeline(message)
    sweeping.cancel()
