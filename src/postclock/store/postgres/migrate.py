"""Bringing the database's schema up to date: numbered files that only widen, each in one transaction.

One process at a time does it, under an advisory lock; whoever waited finds nothing left to do. A migration never stands long
in front of the traffic: it gives up a lock that it does not get, and comes again.
"""

from typing import Final

import asyncpg

from postclock.store import migrations as numbered
from postclock.store.migrations import Migration, SchemaMismatch
from postclock.store.postgres.locks import MIGRATE
from postclock.store.postgres.patience import LOCK_SECONDS, hasty, patiently

PACKAGE: Final = "postclock.store.postgres.migrations"
_NOTE: Final = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


def migrations(package: str = PACKAGE) -> list[Migration]:
    """Every migration of this application, in order."""
    return numbered.migrations(package)


def newest(package: str = PACKAGE) -> int:
    """The version this application brings."""
    return migrations(package)[-1].number


async def version_of(connection: asyncpg.Connection) -> tuple[int, int]:
    """(version, oldest_app) of the database; zeros when it is empty."""
    if await connection.fetchval("SELECT to_regclass('meta')") is None:
        return 0, 0
    rows = await connection.fetch("SELECT key, value FROM meta WHERE key IN ('version', 'oldest_app')")
    notes = {str(key): int(value) for key, value in rows}
    return notes.get("version", 0), notes.get("oldest_app", 0)


async def check(connection: asyncpg.Connection, package: str = PACKAGE) -> bool:
    """Whether nothing is left to do; raises SchemaMismatch when this application is too old for the database."""
    return numbered.is_done(*await version_of(connection), newest(package))


async def require(connection: asyncpg.Connection) -> None:
    """Raises SchemaMismatch unless this application may work with the schema as it is."""
    if not await check(connection):
        version, _ = await version_of(connection)
        raise SchemaMismatch(
            f"the schema is of version {version}, this application needs {newest()}: run `postclock migrate`"
        )


async def migrate(connection: asyncpg.Connection, package: str = PACKAGE, *, lock_seconds: float = LOCK_SECONDS) -> int:
    """Run what is missing; how many ran. The connection must not be in a transaction.

    Raises SchemaMismatch when this application is too old, asyncpg.LockNotAvailableError when the traffic left no room for a
    migration (those before it stay), asyncpg.PostgresError for anything else that the database says.
    """
    if await check(connection, package):
        return 0
    await connection.execute("SELECT pg_advisory_lock($1)", MIGRATE)
    try:
        await check(connection, package)  # another may have gone further meanwhile
        ran = 0
        for migration in migrations(package):
            ran += await patiently(lambda m=migration: _run(connection, m, lock_seconds))  # type: ignore[misc]
        return ran
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", MIGRATE)


async def _run(connection: asyncpg.Connection, migration: Migration, lock_seconds: float) -> int:
    async with hasty(connection, lock_seconds):
        if (await version_of(connection))[0] >= migration.number:
            return 0
        await connection.execute(migration.sql)
        await connection.executemany(_NOTE, list(migration.notes.items()))
    return 1
