"""The database goes away for a while, with mail everywhere on its way: nothing is lost, sent twice, or sent without its departure."""

import asyncio

from postclock.core.address import Mailbox
from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from tests.engine.parts import Bench, becomes, is_so, people, turns

OUTAGE = 40
"""Seconds."""


async def outage_passes(shop: Bench) -> None:
    """Second by second; whatever wants to try does."""
    for _ in range(OUTAGE):
        shop.later(1)
        await turns(2)


async def handed(shop: Bench, n: int) -> None:
    """Once so many were handed over, however much later."""

    async def so() -> bool:
        shop.later(1)
        return len(shop.courier.handed) >= n

    await becomes(so)


async def back(shop: Bench, *messages: int) -> None:
    """The database is back: all of it is delivered, and no room is lost."""
    shop.ledger.away = False

    async def so() -> bool:
        shop.later(1)
        return all([await shop.state(m) is State.delivered for m in messages])

    await becomes(so)
    await shop.is_empty()


async def test_a_result_is_kept_until_it_can_be_written(shop: Bench) -> None:
    """The reply came while the database was away: it is written when it is back, and the mail went once."""
    shop.courier.before_answer.clear()
    async with shop.running():
        message = await shop.send()
        await shop.courier.came(1)
        shop.ledger.away = True
        shop.courier.before_answer.set()
        await outage_passes(shop)
        assert shop.ledger.calls["record"] > 10
        assert await shop.state(message) is State.sending
        assert shop.flow.inside == 1
        await back(shop, message)
    assert len(shop.courier.handed) == 1
    assert (await shop.timeline(message)).count("delivered") == 1


async def test_what_cannot_depart_is_not_sent(shop: Bench) -> None:
    """Prepared for its second, and then nothing can be written: it goes once the database is back, once."""
    async with shop.running():
        message = await shop.send(due_in=1_500)
        await becomes(lambda: is_so("prepared" in shop.points))
        shop.ledger.away = True
        await outage_passes(shop)
        assert shop.ledger.calls["depart"] >= 1
        assert not shop.courier.handed
        await back(shop, message)
    assert len(shop.courier.handed) == 1


async def test_no_claim_is_tried_in_circles(shop: Bench) -> None:
    """One try a second or so, and the mail goes soon after the database is back."""
    async with shop.running():
        shop.ledger.away = True
        message = await shop.send()
        await outage_passes(shop)
        assert 1 <= shop.ledger.calls["claim"] <= 2 * OUTAGE
        await back(shop, message)


async def test_mail_at_every_stage_of_its_way_arrives_once(shop: Bench) -> None:
    """Three hundred claimed, prepared, talking and answered when it goes away, and again as soon as it is back."""
    ids = await shop.accept(*people(300), lane=2)
    shop.courier.before_answer.clear()
    async with shop.running():
        for n in (4, 12):
            await handed(shop, n)
            shop.ledger.away = True
            shop.courier.before_answer.set()
            await outage_passes(shop)
            assert shop.flow.inside <= shop.settings.room
            shop.courier.before_answer.clear()
            shop.ledger.away = False
        shop.courier.before_answer.set()
        await back(shop, *ids)
    came = shop.courier.addresses()
    assert len(came) == len(set(came)) == 300


async def test_a_stop_while_it_is_away_ends(shop: Bench) -> None:
    """A mail that talks, one that waits for its second, one that cannot be made: each is told a few times, then left."""
    shop.courier.before_answer.clear()
    stopped = asyncio.Event()

    async def time_passes() -> None:
        while not stopped.is_set():
            shop.later(1)
            await turns(1)

    async with shop.running():
        talks = await shop.send()
        waits = await shop.send("bob@example.net", due_in=1_500)
        await shop.courier.came(1)
        await becomes(lambda: is_so(shop.points.count("prepared") == 2))
        shop.ledger.trouble |= {name: [Busy("away") for _ in range(10_000)] for name in ("depart", "record", "release")}
        refused = await shop.send("cyd@example.net", from_=Mailbox("hello@nobodys.example"))
        await becomes(lambda: is_so(shop.ledger.calls.get("record", 0) == 1))
        passing = asyncio.ensure_future(time_passes())
    stopped.set()
    await passing
    assert [await shop.state(m) for m in (talks, waits, refused)] == [State.sending, State.queued, State.processing]
    assert len(shop.courier.handed) == 1
