"""Claims on PostgreSQL: they begin where the last one ended, miss nothing for long, and wait for no flag."""

from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import pytest

from postclock.core.lifecycle import RecipientState
from postclock.store.interface import Store
from postclock.store.postgres import store as postgres
from postclock.store.postgres.claiming import LOOK_SECONDS, PATIENCE, Floors
from tests.store.conftest import Lives, empty
from tests.store.parts import ADA, BOB, CYD, Shop
from tests.support.clock import MovedClock

LANE = 0


@pytest.fixture
async def shop(postgres_database: str, clock: MovedClock) -> AsyncIterator[Shop]:
    """A tenant whose store is on PostgreSQL."""
    lives = Lives(lambda: cast(Store, postgres.open_store(postgres_database, clock)))
    yield await Shop.open(lives, clock)
    lives.end()
    await empty(postgres_database)


@pytest.fixture
async def other(postgres_database: str) -> AsyncIterator[asyncpg.Connection]:
    """Another session."""
    connection = await asyncpg.connect(postgres_database)
    yield connection
    await connection.close()


class Slow:
    """A connection on which every look takes so long."""

    def __init__(self, connection: asyncpg.Connection, clock: MovedClock, seconds: float) -> None:
        self.connection, self.clock, self.seconds = connection, clock, seconds

    async def fetch(self, *args: Any) -> Any:
        self.clock.move(self.seconds)
        return await self.connection.fetch(*args)


async def test_a_claim_begins_where_the_last_one_ended(shop: Shop, other: asyncpg.Connection) -> None:
    """Until word comes that something is ready, or a second has gone by."""
    hand = MovedClock()
    floors = Floors(hand)
    await shop.send(due_in=1_000)
    assert await floors.of(other, LANE, shop.now + 1_000) == {shop.tenant: shop.now + 1_000}
    await shop.send()
    assert await floors.of(other, LANE, shop.now + 1_000) == {shop.tenant: shop.now + 1_000}
    floors.something_new([LANE])
    assert await floors.of(other, LANE, shop.now + 1_000) == {shop.tenant: shop.now}
    floors.taken(LANE, shop.tenant, shop.now + 500)
    assert await floors.of(other, LANE, shop.now + 1_000) == {shop.tenant: shop.now + 500}
    hand.move(LOOK_SECONDS)
    assert await floors.of(other, LANE, shop.now + 1_000) == {shop.tenant: shop.now}


async def test_a_look_that_takes_long_is_not_repeated_at_every_word(shop: Shop, other: asyncpg.Connection) -> None:
    """While a backup keeps dead entries in the index, those that are known go on as before."""
    hand = MovedClock()
    floors = Floors(hand)
    slow = cast(asyncpg.Connection, Slow(other, hand, 0.02))
    await shop.send(due_in=1_000)
    await floors.of(slow, LANE, shop.now + 1_000)
    await shop.send()
    floors.something_new([LANE])
    assert await floors.of(slow, LANE, shop.now + 1_000) == {shop.tenant: shop.now + 1_000}
    hand.move(0.02 * PATIENCE)
    assert await floors.of(slow, LANE, shop.now + 1_000) == {shop.tenant: shop.now}


async def test_a_claim_that_did_not_take_place_is_forgotten(shop: Shop, other: asyncpg.Connection) -> None:
    """However long the look before it took: the next one begins at the beginning."""
    hand = MovedClock()
    floors = Floors(hand)
    slow = cast(asyncpg.Connection, Slow(other, hand, 0.02))
    await shop.send()
    await floors.of(slow, LANE, shop.now)
    floors.taken(LANE, shop.tenant, None)
    assert await floors.of(slow, LANE, shop.now) == {}
    floors.forget([LANE])
    assert await floors.of(slow, LANE, shop.now) == {shop.tenant: shop.now}


async def test_what_another_process_is_at_is_stepped_over(shop: Shop, other: asyncpg.Connection) -> None:
    """Nobody waits for its lock; what it lets go of is found again."""
    held, free = await shop.send(ADA), await shop.send(BOB)
    async with other.transaction():
        await other.execute("SELECT 1 FROM queue WHERE id = $1 FOR UPDATE", held)
        assert [c.id for c in await shop.claim()] == [free]
    shop.store.ledger.heard(0)  # type: ignore[attr-defined]  # as when word comes from the other process
    assert [c.id for c in await shop.claim()] == [held]


async def test_a_batch_that_is_being_changed_is_left_for_the_next_claim(shop: Shop, other: asyncpg.Connection) -> None:
    """A claim has its rows already: to wait for a flag then could wait for itself."""
    batch = await shop.batch()
    in_batch, alone = await shop.send(ADA, batch=batch), await shop.send(BOB)
    async with other.transaction():
        await other.execute("SELECT 1 FROM batches WHERE id = $1 FOR UPDATE", batch)
        assert [c.id for c in await shop.claim()] == [alone]
        await other.execute("UPDATE batches SET paused_at = 1 WHERE id = $1", batch)
    shop.store.ledger.heard(0)  # type: ignore[attr-defined]
    assert await shop.claim() == []
    assert await shop.note(in_batch, "parked") == {"reason": "batch paused"}


async def test_who_holds_what_is_forgotten_when_nothing_is_held(shop: Shop, other: asyncpg.Connection) -> None:
    """With the next heartbeat."""
    await shop.call((ADA,), (BOB,), (CYD,))
    claims = await shop.claim(2)
    assert await other.fetchval("SELECT count(*) FROM claims") == 1
    await shop.store.ledger.beat(shop.now)
    assert await other.fetchval("SELECT count(*) FROM claims") == 1
    answers = await shop.depart(*claims)
    for claimed, departed in zip(claims, answers, strict=True):
        await shop.record(claimed, departed, RecipientState.delivered)  # type: ignore[arg-type]
    await shop.store.ledger.beat(shop.now)
    assert await other.fetchval("SELECT count(*) FROM claims") == 0


async def test_the_time_is_the_servers(shop: Shop, other: asyncpg.Connection) -> None:
    """Every process on every machine judges by the same clock."""
    before = await other.fetchval("SELECT extract(epoch FROM clock_timestamp()) * 1000")
    shown = shop.store.clock.now_ms()  # type: ignore[attr-defined]
    after = await other.fetchval("SELECT extract(epoch FROM clock_timestamp()) * 1000")
    assert float(before) - 250 <= shown <= float(after) + 250
