"""The weeks of history: each table that is partitioned has a partition of its own for every week.

A week must be there before the first row of it; weeks go again when nothing in them is kept any longer (retire).
"""

from collections.abc import Iterable
from typing import Final

import asyncpg

from postclock.store.postgres.locks import WEEKS
from postclock.store.postgres.patience import hasty, patiently

MOST_WEEKS: Final = 16_384
"""Weeks are counted from 1970; the public id has room for three letters, and this is the year 2284."""

_VACUUM: Final = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1"
# A message is written twice, and a recipient perhaps: room on the page keeps the second write there (HOT).
STORAGE: Final[dict[str, str]] = {
    "submissions": f"fillfactor = 100, {_VACUUM}",
    "messages": f"fillfactor = 60, {_VACUUM}",
    "recipients": f"fillfactor = 70, {_VACUUM}",
    "events": f"fillfactor = 100, {_VACUUM}",
}
"""The partitioned tables, in the order in which they are locked, and the storage parameters of their partitions."""

# A partition that is being detached belongs to its parent in name only.
_ATTACHED: Final = """
SELECT p.relname::text AS parent, c.relname::text AS name FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
WHERE p.relname = ANY($1::text[]) AND p.relkind = 'p' AND NOT i.inhdetachpending AND p.relnamespace = current_schema()::regnamespace
"""


def partition(table: str, week: int) -> str:
    """The name of a week's partition."""
    return f"{table}_w{week}"


async def attached(connection: asyncpg.Connection) -> dict[str, set[int]]:
    """The weeks that each partitioned table has."""
    found: dict[str, set[int]] = {table: set() for table in STORAGE}
    for parent, name in await connection.fetch(_ATTACHED, list(STORAGE)):
        found[parent].add(int(name.rpartition("_w")[2]))
    return found


async def known_weeks(connection: asyncpg.Connection) -> set[int]:
    """The weeks for which every table has its partition: rows of these may be written."""
    return set.intersection(*(await attached(connection)).values())


async def ensure_weeks(connection: asyncpg.Connection, weeks: Iterable[int]) -> None:
    """Make what is missing of these weeks, all or nothing. The connection must not be in a transaction.

    Writers go on meanwhile: attaching locks a parent only against other changes of its schema (SHARE UPDATE EXCLUSIVE).
    Raises ValueError for what is no week, asyncpg.LockNotAvailableError when such a change lasts too long.
    """
    wanted = sorted(set(weeks))
    if any(not 0 <= week < MOST_WEEKS for week in wanted):
        raise ValueError(f"weeks are counted from 1970: {wanted}")
    if set(wanted) <= await known_weeks(connection):
        return
    await patiently(lambda: _make(connection, wanted))


async def _make(connection: asyncpg.Connection, wanted: list[int]) -> None:
    async with hasty(connection):
        await connection.execute("SELECT pg_advisory_xact_lock($1)", WEEKS)
        there = await attached(connection)  # a new snapshot: what another has made meanwhile is seen
        for table, storage in STORAGE.items():
            for week in wanted:
                if week not in there[table]:
                    # IF NOT EXISTS: it may have been detached, and not dropped, by a retirement that was killed.
                    await connection.execute(
                        f"CREATE TABLE IF NOT EXISTS {partition(table, week)} (LIKE {table} INCLUDING ALL) WITH ({storage})"
                    )
                    await attach(connection, table, week)


async def attach(connection: asyncpg.Connection, table: str, week: int) -> None:
    """Put a table of its own under its parent. An empty one is looked through in no time, so no CHECK spares that."""
    await connection.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {partition(table, week)} FOR VALUES IN ({int(week)})"
    )
