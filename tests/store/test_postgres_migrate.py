"""The PostgreSQL schema: brought up to date by one process at a time, beside the traffic, and beside processes of the release before."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Final

import apsw
import asyncpg
import pytest

from postclock.store.inspection import Inspection
from postclock.store.migrations import SchemaMismatch
from postclock.store.postgres import migrate
from postclock.store.postgres.inspect import inspect
from postclock.store.postgres.weeks import ensure_weeks
from postclock.store.sqlite import migrate as sqlite_migrate
from tests.support.postgres import Cluster

_names = (f"schema_{n}" for n in count())
WIDER: Final = "-- A release later.\nALTER TABLE tenants ADD COLUMN motto text;\n"
NARROWER: Final = f"-- oldest_app: {migrate.newest() + 1}\nALTER TABLE tenants DROP COLUMN name;\n"
DIFFERENT: Final = {
    "claims": "tables of PostgreSQL alone: SQLite finds what an owner holds by an index of queue",
    "groups": "and has no COMMIT whose answer is lost",
}
ONLY_ON_POSTGRES: Final = {("owners", "api")}


@pytest.fixture
def database(postgres_cluster: Cluster) -> Iterator[str]:
    """The DSN of an empty database."""
    name = next(_names)
    yield postgres_cluster.create_database(name)
    postgres_cluster.drop_database(name)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it."""
    opened = await asyncpg.connect(database)
    yield opened
    opened.terminate()


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Makes a package with the migrations of this release and one more file; its name."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def make(sql: str) -> str:
        name = f"migrations_of_{tmp_path.name}_{len(made)}".replace("-", "_")
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").touch()
        for file in files(migrate.PACKAGE).iterdir():
            if file.name.endswith(".sql"):
                (folder / file.name).write_text(file.read_text("utf-8"))
        (folder / f"{migrate.newest() + 1:04}_more.sql").write_text(sql)
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


async def test_an_empty_database_is_brought_up_to_date_once(connection: asyncpg.Connection) -> None:
    """A second run finds nothing to do."""
    assert await migrate.version_of(connection) == (0, 0)
    assert not await migrate.check(connection)
    assert await migrate.migrate(connection) == len(migrate.migrations())
    assert await migrate.version_of(connection) == (migrate.newest(), 1)
    assert await migrate.check(connection)
    assert await migrate.migrate(connection) == 0


async def test_of_many_that_migrate_at_once_one_does_it(database: str) -> None:
    """The others wait for it and find nothing left."""
    connections = [await asyncpg.connect(database) for _ in range(6)]
    try:
        ran = await asyncio.gather(*(migrate.migrate(c) for c in connections))
        assert sorted(ran) == [0] * 5 + [len(migrate.migrations())]
        free = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        assert await connections[0].fetchval(free) == 0
    finally:
        for c in connections:
            c.terminate()


async def test_a_migration_that_fails_leaves_nothing_and_no_lock(
    connection: asyncpg.Connection, release: Callable[[str], str], database: str
) -> None:
    """Those before it stay; the next attempt goes on from there."""
    broken = release("CREATE TABLE half (n int);\nSELECT 1/0;\n")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate.migrate(connection, broken)
    assert (await migrate.version_of(connection))[0] == migrate.newest()
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    second = await asyncpg.connect(database)
    try:
        assert await migrate.migrate(second, release(WIDER)) == 1
    finally:
        second.terminate()


async def test_a_migration_gives_a_lock_up_that_it_does_not_get(
    connection: asyncpg.Connection, release: Callable[[str], str], database: str
) -> None:
    """Whoever holds the table goes on; the migration comes again, and in the end says why it did not run."""
    await migrate.migrate(connection)
    holder = await asyncpg.connect(database)
    try:
        wider = release(WIDER)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("LOCK TABLE tenants IN SHARE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await migrate.migrate(connection, wider, lock_seconds=0.01)
        assert (await migrate.version_of(connection))[0] == migrate.newest()
        await transaction.rollback()
        assert await migrate.migrate(connection, wider, lock_seconds=0.01) == 1
    finally:
        holder.terminate()


async def test_a_release_later_runs_beside_this_one(
    connection: asyncpg.Connection, release: Callable[[str], str], database: str
) -> None:
    """A widening migration runs while this release has its connection open, and this one goes on: old columns, old statements."""
    await migrate.migrate(connection)
    insert = await connection.prepare(
        "INSERT INTO tenants (name, settings, created_at) VALUES ($1, '', 0) RETURNING id"
    )
    await insert.fetchval("before")
    later = await asyncpg.connect(database)
    try:
        wider = release(WIDER)
        assert await migrate.migrate(later, wider) == 1
        await later.execute(
            "INSERT INTO tenants (name, settings, created_at, motto) VALUES ('later', '', 0, 'on the second')"
        )
    finally:
        later.terminate()
    await insert.fetchval("after")
    names = [r[0] for r in await connection.fetch("SELECT name FROM tenants ORDER BY id")]
    assert names == ["before", "later", "after"]
    assert await migrate.check(connection)
    assert await migrate.migrate(connection) == 0
    seen = await inspect(database, thorough=False)
    assert (seen.version, seen.newest, seen.oldest_app, seen.fits) == (migrate.newest() + 1, migrate.newest(), 1, True)


async def test_a_release_that_narrows_shuts_this_one_out(
    connection: asyncpg.Connection, release: Callable[[str], str], database: str
) -> None:
    """It says so, by a look and by a migration, and changes nothing."""
    await migrate.migrate(connection, release(NARROWER))
    for step in (migrate.check, migrate.migrate):
        told = f"needs an application of schema {migrate.newest() + 1} or newer; this one brings {migrate.newest()}"
        with pytest.raises(SchemaMismatch, match=told):
            await step(connection)
    assert not (await inspect(database, thorough=False)).fits


# A look from outside


async def test_a_look_at_an_empty_database_changes_nothing(database: str, postgres_cluster: Cluster) -> None:
    """There is no store yet."""
    assert await inspect(database, thorough=True) == Inspection(there=False, newest=migrate.newest())
    name = database.rpartition("/")[2]
    assert postgres_cluster.sql("SELECT 1 FROM pg_class WHERE relname = 'meta'", database=name) == []


async def test_a_look_at_a_store_tells_its_notes(connection: asyncpg.Connection, database: str) -> None:
    """Version, secret key's check, and when a service was last heard of."""
    await migrate.migrate(connection)
    await ensure_weeks(connection, [2976])
    await connection.execute("INSERT INTO meta VALUES ('key_check', 'abc')")
    await connection.execute(
        "INSERT INTO owners (epoch, beat, node, started_at, beat_at) VALUES (1, 1, 1, 1, 17), (1, 1, 1, 1, 16)"
    )
    assert await inspect(database, thorough=True) == Inspection(
        there=True, newest=migrate.newest(), version=migrate.newest(), oldest_app=1, key_check="abc", last_beat_at=17
    )


async def test_a_thorough_look_names_what_is_broken(connection: asyncpg.Connection, database: str) -> None:
    """An index that was never finished, a partition that hangs loose."""
    await migrate.migrate(connection)
    await ensure_weeks(connection, [2976])
    await connection.execute("ALTER TABLE recipients DETACH PARTITION recipients_w2976")
    await connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'queue_due'::regclass")
    assert (await inspect(database, thorough=True)).faults == (
        "the index queue_due is not valid",
        "the partition recipients_w2976 is not attached",
        "week 2976 has no partition of recipients",
    )
    assert (await inspect(database, thorough=False)).faults == ()


async def test_a_database_that_does_not_answer_is_told(database: str) -> None:
    """By the reason, not by an exception."""
    for wrong in (f"{database}_gone", re.sub(r":\d+/", ":1/", database)):
        seen = await inspect(wrong, thorough=False)
        assert not seen.there
        assert seen.trouble
        assert not seen.fits


# Both backends


async def test_both_backends_have_the_same_tables_and_columns(connection: asyncpg.Connection) -> None:
    """But for what is named."""
    await migrate.migrate(connection)
    found = await connection.fetch(
        "SELECT table_name, column_name, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = current_schema()"
    )
    postgres = {(t, c): required for t, c, required in found if t not in DIFFERENT}
    assert {t for t, _, _ in found} >= set(DIFFERENT)
    file = apsw.Connection(":memory:")
    sqlite_migrate.migrate(file)
    tables = [
        str(t)
        for (t,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    ]
    sqlite = {
        (t, str(c)): bool(required) or bool(key)
        for t in tables
        for _, c, _, required, _, key in file.execute(f"PRAGMA table_info({t})")
    }
    file.close()
    assert set(postgres) - ONLY_ON_POSTGRES == set(sqlite)
    assert {c: r for c, r in postgres.items() if c not in ONLY_ON_POSTGRES} == sqlite
