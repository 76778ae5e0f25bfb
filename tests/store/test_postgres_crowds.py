"""Messages with very many recipients on PostgreSQL: bounded transactions, nothing left out; and one bad result among others."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, cast

import asyncpg
import pytest
from msgspec.structs import replace

from postclock.core.lifecycle import RecipientState, State
from postclock.store.interface import Store
from postclock.store.postgres import claiming
from postclock.store.postgres import store as postgres
from postclock.store.records import LIVE, Departed
from tests.store.conftest import Lives, empty
from tests.store.parts import ADA, BOB, CYD, SETTLE_MS, UNCERTAIN_MS, Shop
from tests.support import mails
from tests.support.clock import MovedClock

PATIENCE: Final = 20.0
WAITING: Final = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
CROWD = [f"user{n}@example.net" for n in range(40)]


@pytest.fixture
async def shop(postgres_database: str, clock: MovedClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """A tenant on PostgreSQL, where a transaction takes a hundred recipients."""
    monkeypatch.setattr(claiming, "RECIPIENTS", 100)
    monkeypatch.setattr(claiming, "LONG_SECONDS", 3_600.0)  # every claim looks, however busy the machine is
    lives = Lives(lambda: cast(Store, postgres.open_store(postgres_database, clock)))
    yield await Shop.open(lives, clock)
    lives.end()
    await empty(postgres_database)


async def test_a_claim_takes_as_many_as_fit_and_the_next_one_the_others(shop: Shop) -> None:
    """One that is too large by itself always fits."""
    idents = [await shop.send(*CROWD) for _ in range(5)]
    large = await shop.send(*[f"other{n}@example.net" for n in range(150)])
    taken = [[c.id for c in await shop.claim(10)] for _ in range(4)]
    assert taken == [idents[:2], idents[2:4], idents[4:], [large]]


async def test_a_rescue_a_sweep_and_a_confirmation_go_on_until_nothing_is_left(shop: Shop) -> None:
    """Slice by slice, by recipients and not by messages."""
    batch = await shop.batch()
    for _ in range(5):
        await shop.send(*CROWD, batch=batch)
    for _ in range(3):
        await shop.claim(10)
    store = shop.lives.next()
    rescued = [(await store.ledger.rescue(shop.now, 10, UNCERTAIN_MS, SETTLE_MS)).rows for _ in range(4)]
    assert rescued == [2, 2, 1, 0]
    await store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    await shop.sweep()
    assert await shop.counts(batch) == {State.cancelled: 5}
    sent = [await shop.send(*CROWD) for _ in range(3)]
    while claims := await shop.claim(10):
        for claimed, departed in zip(claims, await shop.depart(*claims), strict=True):
            assert isinstance(departed, Departed)
            await shop.record(claimed, departed, RecipientState.accepted)
    shop.later(SETTLE_MS)
    confirmed = [await store.ledger.confirm(shop.now, 10) for _ in range(3)]
    assert confirmed == [2, 1, 0]
    assert [await shop.state(ident) for ident in sent] == [State.delivered] * 3


async def test_a_result_that_cannot_be_written_is_alone_with_that(shop: Shop) -> None:
    """The others of its group are recorded; it is found again, as uncertain, by the next life."""
    idents = [await shop.send(address) for address in (ADA, BOB, CYD)]
    claims = await shop.claim()
    answers = await shop.depart(*claims)
    results = [
        mails.result(c, a.at, [RecipientState.delivered], retry_at=shop.now, settle_at=shop.now)
        for c, a in zip(claims, answers, strict=True)
        if isinstance(a, Departed)
    ]
    bad = replace(results[1], results=(replace(results[1].results[0], event="\0"),))
    words = await shop.store.ledger.record([results[0], bad, results[2]], shop.now)
    assert words == ["recorded", "gone", "recorded"]
    assert [await shop.state(ident) for ident in idents] == [State.delivered, State.sending, State.delivered]
    assert await shop.rescue() == 1
    assert await shop.state(idents[1]) == State.uncertain


async def test_the_last_sweep_takes_the_batch_before_its_rows(postgres_database: str, shop: Shop) -> None:
    """Or two processes that sweep the same batch would hold what the other waits for, and each time lose a second by it."""
    batch = await shop.batch()
    ident = await shop.send(batch=batch)
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    other, watcher = [await asyncpg.connect(postgres_database) for _ in range(2)]
    try:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group, other.transaction():
            await other.execute("SELECT 1 FROM batches WHERE id = $1 FOR SHARE", batch)
            group.create_task(shop.store.ledger.sweep(shop.now, 100))
            while not await watcher.fetchval(WAITING):
                await asyncio.sleep(0.01)
            assert await other.fetchval("SELECT id FROM queue WHERE id = $1 FOR UPDATE NOWAIT", ident) == ident
    finally:
        await other.close()
        await watcher.close()
    assert await shop.counts(batch) == {State.cancelled: 1}
    assert not await shop.store.ledger.sweep(shop.now, 100)
