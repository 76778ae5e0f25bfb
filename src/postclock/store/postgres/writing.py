"""After the jobs: everything a group decided, written in a few statements; counts, usage and keys last and sorted."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from postclock.store.postgres.changes import Changes
from postclock.store.queries import load
from postclock.store.steps.counting import COLUMNS, Tally

SQL: Final = load("postclock.store.postgres.sql", "ledger")
_TABLES: Final = ("insert_submission", "insert_message", "insert_recipient", "insert_queue")
SLICE: Final = 5_000
"""Rows of one INSERT: a call may have a million recipients, and the loop has heartbeats to send in between."""
_SUMMED: Final = (*COLUMNS, "exposed")
_COUNT: Final = (
    f"INSERT INTO counts (scope, slot, {', '.join(_SUMMED)}, last_settled_at) "  # noqa: S608  (names from the table of states)
    f"SELECT x.scope, $1::int, {', '.join(f'x.{c}' for c in _SUMMED)}, x.last_settled_at "
    f"FROM unnest({', '.join(f'${i + 2}::bigint[]' for i in range(len(_SUMMED) + 2))}) AS x(scope, {', '.join(_SUMMED)}, last_settled_at) "
    f"ON CONFLICT (scope, slot) DO UPDATE SET {', '.join(f'{c} = counts.{c} + excluded.{c}' for c in _SUMMED)}, "
    "last_settled_at = greatest(counts.last_settled_at, excluded.last_settled_at)"
)


class KeyTaken(Exception):
    """Another process took an idempotency key between the look-up and the insert: the group looks again."""


async def write(connection: asyncpg.Connection, changes: Changes, tally: Tally, slot: int) -> None:
    """Write a group's changes. Raises KeyTaken and what the database says of bad rows."""

    async def run(name: str, rows: Sequence[Sequence[Any]]) -> str:
        return str(await connection.execute(SQL[name], *zip(*rows, strict=True)))

    if changes.dropped:
        await connection.execute(SQL["drop_row"], changes.dropped)
    waiting = sorted(changes.waiting)
    if waiting:
        rows = [changes.rows[ident] for ident in waiting]
        await run(
            "set_row",
            [
                (r.id, int(r.status), r.owner, r.ready_at, r.lane, r.attempt, int(r.exposed), r.deferrals, r.tried_at, r.settle_at, r.reason)
                for r in rows
                if r is not None
            ],
        )  # fmt: skip
    gone = {ident for ident, row in changes.rows.items() if row is None}
    departed = [(ident, *values) for ident, values in sorted(changes.departed.items()) if ident not in gone]
    if departed:
        await run("depart", departed)
    taken = [(ident, state) for ident, state in changes.taken.items() if ident not in changes.waiting | gone]
    if taken:
        await _take(connection, changes, taken)
    for name in _TABLES:
        inserted = changes.inserted.get(name, [])
        for first in range(0, len(inserted), SLICE):
            await run(name, inserted[first : first + SLICE])
    if changes.settled:
        await run("settle_message", changes.settled)
    if changes.sent:
        await run("note_sent", changes.sent)
    for reopened in changes.reopened:
        await connection.execute(SQL["reopen"], *reopened)
        await connection.execute(SQL["reopen_message"], reopened[0], reopened[2])
    if changes.recipients:
        await run(
            "set_recipient",
            [(message, week, n, *rest) for (message, n), (week, *rest) in changes.recipients.items()],
        )
    if changes.events:
        await run("add_event", _numbered(changes.events))
    if changes.suppressed:
        await run("suppress", changes.suppressed)
    for batch, now in sorted(changes.cancelled_batches.items()):
        await connection.execute(SQL["cancel_batch"], now, batch)
    for batch in changes.swept:
        await connection.execute(SQL["swept"], batch)
    if counted := tally.rows():
        await connection.execute(_COUNT, slot, *_columns([(scope, *sums, at) for scope, sums, at in counted]))
    if changes.charged:
        await run("charge", [(tenant, month, n) for (tenant, month), n in sorted(changes.charged.items())])
    if changes.keys:
        status = await run("insert_key", [(*key, *values) for key, values in sorted(changes.keys.items())])
        if int(status.rpartition(" ")[2]) < len(changes.keys):
            raise KeyTaken


async def _take(connection: asyncpg.Connection, changes: Changes, taken: list[tuple[int, int]]) -> None:
    first = changes.rows[taken[0][0]]
    assert first is not None
    await connection.execute(SQL["take"], first.owner, *_columns(taken))


def _numbered(events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Events with their place among those of the same message in this group."""
    seen: dict[int, int] = {}
    numbered = []
    for event in events:
        seen[event[0]] = n = seen.get(event[0], 0) + 1
        numbered.append((*event, n))
    return numbered


def _columns(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))
