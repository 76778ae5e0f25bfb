"""Whole weeks that are no longer kept: their partitions are detached beside the traffic, and dropped.

Each step may be the last one before the process dies: the next round finds a partition that is detached by half, or hangs loose,
and goes on from there. A week's messages go last, for by them it is decided.
"""

from typing import Final

import asyncpg

from postclock.core.lifecycle import State
from postclock.store.postgres.patience import hasty, patiently
from postclock.store.postgres.weeks import MOST_WEEKS, STORAGE, attach, attached, partition
from postclock.store.queries import load
from postclock.store.retention import Cutoffs, Retired, is_over
from postclock.store.steps.counting import COLUMNS, tenant_scope

SQL: Final = load("postclock.store.postgres.sql", "retire")
SLOT: Final = -1
"""The slot of counts that only a retirement writes."""
DETACH_SECONDS: Final = 120.0
"""Detaching waits for every transaction that knows the partition, as long as one of a frozen process: the next round goes on."""
TRUNCATE_SECONDS: Final = 0.2
"""Readers of events wait behind whoever waits for a partition."""
_FIRST: Final = ("events", "recipients")


def mark_of(week: int) -> str:
    """The note that says up to which id a week's messages have no bodies."""
    return f"bare_{week}"


async def drop_weeks(connection: asyncpg.Connection, cutoffs: Cutoffs, done: Retired) -> None:
    """Drop the weeks of which nothing is kept. The connection must not be in a transaction.

    Raises TimeoutError when a transaction that lasts too long stood in the way.
    """
    await _finish(connection, cutoffs, done)
    there = await attached(connection)
    before = set(there["messages"])
    for week in sorted(before):
        if not is_over(week, cutoffs.messages):
            break
        if await _is_kept(connection, week, cutoffs):
            continue
        for table in _FIRST:
            if week in there[table]:
                await _detach(connection, table, week)
                await _drop(connection, table, week)
        await _detach(connection, "messages", week)
        await _drop_messages(connection, week, done)
        there["messages"].discard(week)
    for table in _FIRST:  # a former round had detached the messages, and got no further
        for week in sorted(there[table] - before):
            if is_over(week, cutoffs.messages):
                await _detach(connection, table, week)
                await _drop(connection, table, week)
    # A submission has the week of the last of its messages; an earlier one may be waiting still.
    first = min(there["messages"], default=MOST_WEEKS)
    for week in sorted(there["submissions"]):
        if week < first and is_over(week, cutoffs.messages):
            await _detach(connection, "submissions", week)
            await _drop(connection, "submissions", week)


async def drop_events(connection: asyncpg.Connection, cutoffs: Cutoffs) -> int:
    """Empty the events of weeks whose messages are kept longer; how many weeks.

    Emptied, not dropped: a message of such a week may still be retried, and its events need a place.
    """
    emptied = 0
    there = await attached(connection)
    for week in sorted(there["events"] & there["messages"]):
        if not is_over(week, cutoffs.events):
            break
        events = partition("events", week)
        if not await connection.fetchval("SELECT pg_relation_size($1::regclass)", events):
            continue
        if not await connection.fetchval(of_week("has_late", week), cutoffs.events):
            async with hasty(connection, TRUNCATE_SECONDS):
                await connection.execute(f"TRUNCATE {events}")
            emptied += 1
    return emptied


def of_week(name: str, week: int) -> str:
    """A statement over a week's own partition."""
    return SQL[name].replace("{messages}", partition("messages", week))


async def _is_kept(connection: asyncpg.Connection, week: int, cutoffs: Cutoffs) -> bool:
    return bool(await connection.fetchval(of_week("is_kept", week), cutoffs.messages))


async def _finish(connection: asyncpg.Connection, cutoffs: Cutoffs, done: Retired) -> None:
    """Go on with what a former round left."""
    for parent, name in await connection.fetch(SQL["pending"], list(STORAGE)):
        await connection.execute(f"ALTER TABLE {parent} DETACH PARTITION {name} FINALIZE", timeout=DETACH_SECONDS)
    for (name,) in await connection.fetch(SQL["loose"], f"^({'|'.join(STORAGE)})_w[0-9]+$"):
        table, _, number = name.rpartition("_w")
        week = int(number)
        if not is_over(week, cutoffs.messages):
            await _attach_again(
                connection, table, week
            )  # the settings keep it longer now, or somebody took it off by hand
        elif table != "messages":
            await _drop(connection, table, week)
        elif await _is_kept(connection, week, cutoffs):
            await _attach_again(connection, table, week)
        else:
            await _drop_messages(connection, week, done)


async def _attach_again(connection: asyncpg.Connection, table: str, week: int) -> None:
    async def step() -> None:
        async with hasty(connection):
            await attach(connection, table, week)

    await patiently(step)


async def _detach(connection: asyncpg.Connection, table: str, week: int) -> None:
    """Writers and readers go on meanwhile; it cannot run in a transaction."""
    await connection.execute(
        f"ALTER TABLE {table} DETACH PARTITION {partition(table, week)} CONCURRENTLY", timeout=DETACH_SECONDS
    )


async def _drop(connection: asyncpg.Connection, table: str, week: int) -> None:
    await connection.execute(f"DROP TABLE {partition(table, week)}", timeout=DETACH_SECONDS)


async def _drop_messages(connection: asyncpg.Connection, week: int, done: Retired) -> None:
    """With the messages go their numbers in their tenants' counts; a batch's counts stay, as its result."""
    async with connection.transaction():
        n = 0
        moves = []
        for tenant, mode, status, count in await connection.fetch(of_week("settled", week)):
            moves.append((tenant_scope(tenant, mode), State(status).name, count))
            n += count
        for scope, column, count in sorted(moves):
            assert column in COLUMNS
            await connection.execute(
                f"INSERT INTO counts (scope, slot, {column}) VALUES ($1, $2, -$3::bigint) "  # noqa: S608
                f"ON CONFLICT (scope, slot) DO UPDATE SET {column} = counts.{column} + excluded.{column}",
                scope, SLOT, count,
            )  # fmt: skip
        await connection.execute(SQL["drop_mark"], mark_of(week))
        await connection.execute(f"DROP TABLE {partition('messages', week)}")
    done.messages += n
    done.weeks += 1
