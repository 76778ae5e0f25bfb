"""Lives on PostgreSQL: several beside each other, a long silence that all of them hear of, and callers who have gone."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from postclock.store.postgres.line import Kind, _Ticket
from postclock.store.postgres.needs import Needs
from postclock.store.postgres.store import PostgresStore, open_store
from tests.store.conftest import empty
from tests.support.clock import MovedClock

Begin = Callable[[], PostgresStore]
HOUR_SECONDS = 3600


@pytest.fixture
def begin(postgres_database: str, clock: MovedClock) -> Iterator[Begin]:
    """Begins another life in the same store."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(open_store(postgres_database, clock)))
    asyncio.run(empty(postgres_database))


async def test_lives_beside_each_other_have_nodes_of_their_own(begin: Begin) -> None:
    """And each sees all of them."""
    stores = [begin() for _ in range(3)]
    assert len({store.ledger.owner.node for store in stores}) == 3
    assert {life.owner for life in await stores[0].ledger.lives()} == {store.ledger.owner.id for store in stores}


async def test_a_life_whose_beat_has_moved_is_not_ended(begin: Begin) -> None:
    """It was only slow; the one that stands still is ended, and beats no more."""
    watcher, slow = begin(), begin()
    [seen] = [life for life in await watcher.ledger.lives() if life.owner == slow.ledger.owner.id]
    assert await slow.ledger.beat(1)
    assert not await watcher.ledger.end_life(seen, 1)
    [seen] = [life for life in await watcher.ledger.lives() if life.owner == slow.ledger.owner.id]
    assert await watcher.ledger.end_life(seen, 1)
    assert not await slow.ledger.beat(1)


async def test_everybody_who_starts_after_a_long_silence_hears_of_it(begin: Begin, clock: MovedClock) -> None:
    """Or the second to start would send what the first was about to park; until it has been seen to."""
    first = begin()
    heard = clock.now_ms()
    assert await first.ledger.beat(heard)
    clock.move(2 * HOUR_SECONDS)
    assert [begin().last_beat for _ in range(2)] == [heard, heard]
    await first.set_meta("silent_since", "")
    assert begin().last_beat == clock.now_ms()


async def test_after_a_short_stop_there_was_no_silence(begin: Begin, clock: MovedClock) -> None:
    """A restart parks nothing."""
    first = begin()
    assert await first.ledger.beat(clock.now_ms())
    clock.move(HOUR_SECONDS / 2)
    assert begin().last_beat == clock.now_ms() - 1000 * HOUR_SECONDS // 2


async def test_what_nobody_waits_for_any_more_is_not_begun(begin: Begin) -> None:
    """Through a long outage the calls of those who were told 503 would pile up, and come true all at once."""
    line = begin()._lines[2]
    loop = asyncio.get_running_loop()
    tickets = [
        _Ticket(lambda tx: None, Needs(), 1, alone=False, loop=loop, future=loop.create_future()) for _ in range(4)
    ]
    line._queues[Kind.accept].extend(tickets)
    for gone in tickets[:3]:
        gone.future.cancel()
    assert line._gather() == tickets[3:]
