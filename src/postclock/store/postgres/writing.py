"""After the jobs: everything a group decided, written in a few statements; counts, usage and keys last and sorted."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import asyncpg

from postclock.core.lifecycle import State
from postclock.store.postgres.changes import Changes
from postclock.store.postgres.connection import changed
from postclock.store.queries import load
from postclock.store.steps.counting import COLUMNS, Tally

SQL: Final = load("postclock.store.postgres.sql", "ledger")
_TABLES: Final = ("insert_submission", "insert_message", "insert_recipient", "insert_queue")
MANY: Final = 200
"""So many rows and more are copied: an INSERT from arrays took half as long again."""
SLICE: Final = 5_000
"""Rows copied at once: a call may have a million recipients, and the loop has heartbeats to send in between."""
_COPIED: Final = {
    name: (match[1], [column.strip() for column in match[2].split(",")])
    for name in _TABLES
    if (match := re.match(r"INSERT INTO (\w+) \(([^)]*)\)", SQL[name])) is not None
}
_STATUS: Final = _COPIED["insert_queue"][1].index("status")
_VALUE: Final = re.compile(r"\$(\d+)")
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
    for name in _TABLES:
        rows = changes.inserted.get(name, [])
        if len(rows) > MANY:
            await _copy(connection, name, rows)
    for reopened in changes.reopened:
        await connection.execute(SQL["reopen"], *reopened)
        await connection.execute(SQL["reopen_message"], reopened[0], reopened[2])
    for batch, now in sorted(changes.cancelled_batches.items()):
        await connection.execute(SQL["cancel_batch"], now, batch)
    for batch in changes.swept:
        await connection.execute(SQL["swept"], batch)
    await _run(connection, [*_of_rows(changes), *_of_history(changes), *_of_sums(changes, tally, slot)])
    if changes.shown:
        shown = [(message, *values) for message, values in sorted(changes.shown.items())]
        await connection.execute(SQL["note_shown"], *_columns(shown))
    if changes.keys:
        values = [(*key, *values) for key, values in sorted(changes.keys.items())]
        if changed(await connection.execute(SQL["insert_key"], *_columns(values))) < len(changes.keys):
            raise KeyTaken


async def _copy(connection: asyncpg.Connection, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
    table, columns = _COPIED[name]
    for first in range(0, len(rows), SLICE):
        part = rows[first : first + SLICE]
        if name == "insert_queue":
            part = [(*row[:_STATUS], int(State.queued), *row[_STATUS:]) for row in part]
        await connection.copy_records_to_table(table, records=part, columns=columns)


_Part = tuple[str, Sequence[Any]]
"""A statement and its values."""


async def _run(connection: asyncpg.Connection, parts: Sequence[_Part]) -> None:
    """Run statements that touch different rows as one: a round trip each would cost more than the work."""
    if parts:
        sql = _combined(tuple(sql for sql, _ in parts))
        await connection.execute(sql, *(value for _, values in parts for value in values))


@lru_cache(maxsize=256)
def _combined(statements: tuple[str, ...]) -> str:
    """One statement that does them all in their order; their values follow each other.

    PostgreSQL runs the main statement first, then the WITH clauses that nobody reads from the last to the first: so they are
    written backwards, and the sums, whose rows everybody wants, are locked no sooner than at the end.
    """
    numbered = []
    before = 0
    for sql in statements:
        numbered.append(_VALUE.sub(lambda m, n=before: f"${int(m[1]) + n}", sql))  # type: ignore[misc]
        before += max((int(m) for m in _VALUE.findall(sql)), default=0)
    first, *others = numbered
    clauses = ", ".join(f"p{i} AS ({sql})" for i, sql in enumerate(reversed(others)))
    return (f"WITH {clauses} " if others else "") + first


def _of_rows(changes: Changes) -> Iterator[_Part]:
    if changes.dropped:
        yield SQL["drop_row"], [changes.dropped]
    gone = {ident for ident, row in changes.rows.items() if row is None}
    if waiting := sorted(changes.waiting):
        rows = [row for ident in waiting if (row := changes.rows[ident]) is not None]
        yield (
            SQL["set_row"],
            _columns(
                [
                    (r.id, int(r.status), r.owner, r.ready_at, r.lane, r.attempt, int(r.exposed), r.deferrals, r.tried_at, r.settle_at, r.reason)
                    for r in rows
                ]
            ),
        )  # fmt: skip
    if departed := [(ident, *values) for ident, values in sorted(changes.departed.items()) if ident not in gone]:
        yield SQL["depart"], _columns(departed)
    taken = [(ident, state) for ident, state in changes.taken.items() if ident not in changes.waiting | gone]
    if taken:
        first = changes.rows[taken[0][0]]
        assert first is not None
        yield SQL["take"], [first.owner, *_columns(taken)]
    for name in _TABLES:
        inserted = changes.inserted.get(name, [])
        if 0 < len(inserted) <= MANY:
            yield SQL[name], _columns(inserted)


def _of_history(changes: Changes) -> Iterator[_Part]:
    if changes.settled:
        yield SQL["settle_message"], _columns(changes.settled)
    if changes.sent:
        yield SQL["note_sent"], _columns(changes.sent)
    if changes.recipients:
        people = [(message, week, n, *rest) for (message, n), (week, *rest) in changes.recipients.items()]
        yield SQL["set_recipient"], _columns(people)
    if changes.events:
        yield SQL["add_event"], _columns(_numbered(changes.events))
    if changes.suppressed:
        yield SQL["suppress"], _columns(changes.suppressed)


def _of_sums(changes: Changes, tally: Tally, slot: int) -> Iterator[_Part]:
    if counted := tally.rows():
        yield _COUNT, [slot, *_columns([(scope, *sums, at) for scope, sums, at in counted])]
    if changes.charged:
        yield SQL["charge"], _columns([(*kind, *sums) for kind, sums in sorted(changes.charged.items())])
    if changes.charged_keys:
        yield SQL["charge_key"], _columns([(*key, *sums) for key, sums in sorted(changes.charged_keys.items())])


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
