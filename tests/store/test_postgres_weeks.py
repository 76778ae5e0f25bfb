"""The partitions of the weeks: made in time, by many at once, beside writers; dropped whole, whatever interrupts it."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Final

import asyncpg
import pytest

from postclock.core.ids import WEEK_MS
from postclock.store.postgres import migrate
from postclock.store.postgres.locks import RETIRE
from postclock.store.postgres.retire import retire
from postclock.store.postgres.weeks import STORAGE, ensure_weeks, known_weeks, partition
from tests.support.postgres import Cluster

_names = (f"weeks_{n}" for n in count())
DAY: Final = 86_400_000
OLD: Final = 2900
KEEP: Final = 90 * DAY
NOW: Final = (OLD + 1) * WEEK_MS + KEEP
"""The first moment at which the old week may go."""
DELIVERED: Final = 6


@pytest.fixture
async def database(postgres_cluster: Cluster) -> AsyncIterator[str]:
    """The DSN of a database with the schema and no week."""
    name = next(_names)
    dsn = postgres_cluster.create_database(name)
    opened = await asyncpg.connect(dsn)
    await migrate.migrate(opened)
    await opened.close()
    yield dsn
    postgres_cluster.drop_database(name)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it."""
    opened = await asyncpg.connect(database)
    yield opened
    opened.terminate()


@pytest.fixture
async def other(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Another one."""
    opened = await asyncpg.connect(database)
    yield opened
    opened.terminate()


async def put(
    connection: asyncpg.Connection, ident: int, week: int, *, settled_at: int | None, submission: int | None = None
) -> None:
    """A message without a body and all that hangs on it, settled or open."""
    status = None if settled_at is None else DELIVERED
    await connection.execute(
        "INSERT INTO messages (id, week, tenant, mode, submission, n_rcpt, due_at, created_at, status, settled_at) "
        "VALUES ($1, $2, 7, 0, $3, 2, 0, 0, $4, $5)",
        ident, week, submission or ident, status, settled_at,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO recipients (message, n, week, address, state) VALUES ($1, 0, $2, 'a@b.c', 9)", ident, week
    )
    await connection.execute(
        "INSERT INTO events (message, n, week, type, at) VALUES ($1, 1, $2, 'delivered', 0)", ident, week
    )
    await connection.execute(
        "INSERT INTO submissions (id, week, tenant, created_at, from_email, subject, categories, content) "
        "VALUES ($1, $2, 7, $3, '', '', '', '') ON CONFLICT DO NOTHING",
        submission or ident, week, NOW + 10 * KEEP,
    )  # fmt: skip


async def tables(connection: asyncpg.Connection, week: int) -> set[str]:
    """Of which tables there is something of that week, attached or not."""
    found = await connection.fetch(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE $1", f"%\\_w{week}"
    )
    return {name.rpartition("_w")[0] for (name,) in found}


async def total(connection: asyncpg.Connection) -> int:
    """What the tenant's counts say."""
    return int(await connection.fetchval("SELECT coalesce(sum(delivered), 0) FROM counts WHERE scope = -15"))


async def round_at(connection: asyncpg.Connection, now: int = NOW, *, events: int = KEEP):  # type: ignore[no-untyped-def]
    return await retire(connection, now, KEEP, KEEP, events)


# Made


async def test_a_week_is_there_for_every_table(connection: asyncpg.Connection) -> None:
    """With its storage parameters and the parents' indexes; asked again, nothing happens."""
    assert await known_weeks(connection) == set()
    await ensure_weeks(connection, [2976, 2977])
    await ensure_weeks(connection, [2977])
    assert await known_weeks(connection) == {2976, 2977}
    await put(connection, 1, 2977, settled_at=None)
    assert await connection.fetchval("SELECT tableoid::regclass::text FROM messages") == "messages_w2977"
    fill = {
        t: await connection.fetchval("SELECT reloptions[1] FROM pg_class WHERE relname = $1", partition(t, 2976))
        for t in STORAGE
    }
    assert fill == {
        "submissions": "fillfactor=100",
        "messages": "fillfactor=60",
        "recipients": "fillfactor=70",
        "events": "fillfactor=100",
    }
    for table in STORAGE:
        count_of = "SELECT count(*) FROM pg_index WHERE indrelid = $1::regclass AND indisvalid"
        assert await connection.fetchval(count_of, table) == await connection.fetchval(count_of, partition(table, 2976))
    with pytest.raises(asyncpg.CheckViolationError):
        await put(connection, 2, 2990, settled_at=None)


async def test_many_make_the_same_weeks_at_once(database: str) -> None:
    """In any order, some of them the same: all are there, and nobody fails."""
    connections = [await asyncpg.connect(database) for _ in range(6)]
    try:
        await asyncio.gather(*(ensure_weeks(c, range(2976 + n % 3, 2981 - n % 2)) for n, c in enumerate(connections)))
        assert await known_weeks(connections[0]) == set(range(2976, 2981))
    finally:
        for c in connections:
            c.terminate()


async def test_a_week_is_made_beside_a_writer_in_the_midst_of_its_work(
    connection: asyncpg.Connection, other: asyncpg.Connection
) -> None:
    """The writer's transaction holds rows in every table; neither waits for the other."""
    await ensure_weeks(connection, [2976])
    async with other.transaction():
        await put(other, 1, 2976, settled_at=None)
        await connection.execute("SET lock_timeout = '1s'")
        await asyncio.wait_for(ensure_weeks(connection, [2977]), 10)
    await put(other, 2, 2977, settled_at=None)
    assert await connection.fetchval("SELECT count(*) FROM messages") == 2


@pytest.mark.parametrize("week", [-1, 16_384])
async def test_a_week_that_no_id_can_name_is_refused(connection: asyncpg.Connection, week: int) -> None:
    """Nothing is made, of the others neither."""
    with pytest.raises(ValueError, match="weeks"):
        await ensure_weeks(connection, [2976, week])
    assert await known_weeks(connection) == set()


# Dropped


async def test_a_week_goes_when_its_time_is_over(connection: asyncpg.Connection) -> None:
    """Not a millisecond before; its numbers leave the tenant's counts, the next week stays."""
    await ensure_weeks(connection, [OLD, OLD + 1])
    for ident, week in ((1, OLD), (2, OLD), (3, OLD + 1)):
        await put(connection, ident, week, settled_at=OLD * WEEK_MS)
    await connection.execute("INSERT INTO counts (scope, slot, delivered) VALUES (-15, 3, 3)")
    assert (await round_at(connection, NOW - 1)).total == 0
    assert await known_weeks(connection) == {OLD, OLD + 1}
    done = await round_at(connection)
    assert (done.weeks, done.messages) == (1, 2)
    assert await tables(connection, OLD) == set()
    assert await known_weeks(connection) == {OLD + 1}
    assert await total(connection) == 1
    assert (await round_at(connection)).total == 0


@pytest.mark.parametrize("settled_at", [None, NOW - KEEP + 1])
async def test_a_week_stays_while_one_of_its_messages_is_kept(
    connection: asyncpg.Connection, settled_at: int | None
) -> None:
    """It is open still, or was settled late."""
    await ensure_weeks(connection, [OLD])
    await put(connection, 1, OLD, settled_at=OLD * WEEK_MS)
    await put(connection, 2, OLD, settled_at=settled_at)
    assert (await round_at(connection)).weeks == 0
    await connection.execute("UPDATE messages SET status = 6, settled_at = $1 WHERE id = 2", NOW - KEEP)
    assert (await round_at(connection)).weeks == 1


async def test_a_submission_waits_for_messages_of_weeks_before_its_own(connection: asyncpg.Connection) -> None:
    """A call may have made messages in several weeks; the earliest of them may be parked."""
    await ensure_weeks(connection, [OLD - 1, OLD])
    await put(connection, 1, OLD, settled_at=OLD * WEEK_MS, submission=9)
    await connection.execute(
        "INSERT INTO messages (id, week, tenant, mode, submission, n_rcpt, due_at, created_at) VALUES (2, $1, 7, 0, 9, 1, 0, 0)",
        OLD - 1,
    )
    await round_at(connection)
    assert await tables(connection, OLD) == {"submissions"}
    assert await connection.fetchval("SELECT id FROM submissions") == 9
    await connection.execute("UPDATE messages SET status = 6, settled_at = 0 WHERE id = 2")
    await round_at(connection)
    assert await tables(connection, OLD) == await tables(connection, OLD - 1) == set()


@pytest.mark.parametrize("table", sorted(STORAGE))
async def test_a_round_that_was_killed_is_finished_by_the_next(connection: asyncpg.Connection, table: str) -> None:
    """A partition that was detached, and not dropped."""
    await ensure_weeks(connection, [OLD])
    await put(connection, 1, OLD, settled_at=OLD * WEEK_MS)
    await connection.execute("INSERT INTO counts (scope, slot, delivered) VALUES (-15, 3, 1)")
    await connection.execute(f"ALTER TABLE {table} DETACH PARTITION {partition(table, OLD)} CONCURRENTLY")
    done = await round_at(connection)
    assert (done.weeks, done.messages) == (1, 1)
    assert await tables(connection, OLD) == set()
    assert await total(connection) == 0


async def test_a_detaching_that_was_interrupted_is_finished_by_the_next_round(
    connection: asyncpg.Connection, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that lasts long knows the partition; the round leaves it half detached, and writers go on."""
    monkeypatch.setattr("postclock.store.postgres.old_weeks.DETACH_SECONDS", 0.3)
    await ensure_weeks(connection, [OLD, OLD + 1])
    await put(connection, 1, OLD, settled_at=OLD * WEEK_MS)
    async with other.transaction(isolation="repeatable_read"):
        await other.fetch("SELECT * FROM events")
        assert (await round_at(connection)).weeks == 0
        assert await connection.fetchval("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 1
        await put(connection, 2, OLD + 1, settled_at=None)
    assert OLD not in await known_weeks(connection)
    assert (await round_at(connection)).weeks == 1
    assert await tables(connection, OLD) == set()


async def test_what_was_detached_and_is_kept_again_comes_back(connection: asyncpg.Connection) -> None:
    """The operator keeps mail longer now."""
    await ensure_weeks(connection, [OLD])
    await put(connection, 1, OLD, settled_at=OLD * WEEK_MS)
    await connection.execute(f"ALTER TABLE messages DETACH PARTITION {partition('messages', OLD)} CONCURRENTLY")
    await retire(connection, NOW, 2 * KEEP, KEEP, KEEP)
    assert await connection.fetchval("SELECT id FROM messages") == 1
    assert await known_weeks(connection) == {OLD}


async def test_writers_go_on_while_a_week_goes(
    database: str, connection: asyncpg.Connection, other: asyncpg.Connection
) -> None:
    """One is in the midst of a transaction over the same tables when the week is detached: it ends, and then the week does."""
    await ensure_weeks(connection, [OLD, OLD + 1])
    await put(connection, 1, OLD, settled_at=OLD * WEEK_MS)
    transaction = other.transaction()
    await transaction.start()
    await put(other, 2, OLD + 1, settled_at=None)
    going = asyncio.ensure_future(round_at(connection))
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%CONCURRENTLY' AND wait_event_type = 'Lock' AND datname = current_database()"
    watching = await asyncpg.connect(database)  # within a transaction this view stands still
    while not await watching.fetchval(blocked):
        pass
    watching.terminate()
    await put(other, 3, OLD + 1, settled_at=None)
    assert not going.done()
    await transaction.commit()
    assert (await going).weeks == 1
    assert await connection.fetchval("SELECT count(*) FROM messages") == 2


async def test_events_alone_go_from_weeks_that_are_kept(connection: asyncpg.Connection) -> None:
    """Their partition stays: a message of that week may be retried, and tells of it."""
    await ensure_weeks(connection, [OLD])
    await put(connection, 1, OLD, settled_at=OLD * WEEK_MS)
    now = (OLD + 1) * WEEK_MS + 5 * DAY
    assert (await round_at(connection, now - 1, events=5 * DAY)).events == 0
    assert (await round_at(connection, now, events=5 * DAY)).events == 1
    assert await connection.fetchval("SELECT count(*) FROM events") == 0
    assert await known_weeks(connection) == {OLD}
    await connection.execute("INSERT INTO events (message, n, week, type, at) VALUES (1, 1, $1, 'retried', 0)", OLD)
    await connection.execute("UPDATE messages SET status = NULL")
    assert (await round_at(connection, now, events=5 * DAY)).events == 0


async def test_of_many_one_has_a_round_at_a_time(connection: asyncpg.Connection, other: asyncpg.Connection) -> None:
    """The others leave it to that one."""
    await ensure_weeks(connection, [OLD])
    await put(connection, 1, OLD, settled_at=OLD * WEEK_MS)
    await other.execute("SELECT pg_advisory_lock($1)", RETIRE)
    assert (await round_at(connection)).total == 0
    await other.execute("SELECT pg_advisory_unlock($1)", RETIRE)
    assert (await round_at(connection)).weeks == 1
