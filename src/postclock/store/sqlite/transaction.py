"""One group's transaction as its jobs see it: rows in, rows out, counts moved, listeners told after the commit.

Counts are summed in Python and written once per group; a job that fails takes its own sums back with its savepoint.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import apsw

from postclock.core.lifecycle import CANCELLABLE, State

COLUMNS: Final = tuple(s.name for s in State)
EXPOSED: Final = len(COLUMNS)
CHUNKS: Final = (100, 10, 1)
_ZERO: Final = (0,) * (len(COLUMNS) + 1)

_UPSERT: Final = (
    f"INSERT INTO counts(scope, slot, {', '.join(COLUMNS)}, exposed, last_settled_at) "  # noqa: S608  (names from the table of states)
    f"VALUES (?, 0, {', '.join('?' * (len(COLUMNS) + 1))}, ?) ON CONFLICT(scope, slot) DO UPDATE SET "
    + ", ".join(f"{c} = {c} + excluded.{c}" for c in (*COLUMNS, "exposed"))
    + ", last_settled_at = max(ifnull(last_settled_at, excluded.last_settled_at), ifnull(excluded.last_settled_at, last_settled_at))"
)
_SUMS: Final = f"SELECT {', '.join(f'sum({c})' for c in (*COLUMNS, 'exposed'))} FROM counts WHERE scope = ?"  # noqa: S608


@lru_cache(maxsize=32)
def _repeated(sql: str, times: int) -> str:
    """The INSERT with its row of values so many times."""
    head, _, values = sql.partition("VALUES")
    return f"{head}VALUES {', '.join([values.strip()] * times)}"


def tenant_scope(tenant: int, mode: int) -> int:
    """The scope under which all of a tenant's mail in one mode is counted."""
    return -(2 * tenant + mode) - 1


@dataclass(slots=True)
class BatchFlags:
    """A batch's flags as the group knows them."""

    tenant: int
    mode: int
    sealed: bool
    paused: bool
    cancelled: bool


class Transaction:
    """What a job may do. Rows are plain tuples, in the order of the statement's columns."""

    def __init__(self, connection: apsw.Connection, *, guarded: bool) -> None:
        """``guarded``: each job has a savepoint of its own, and what it writes is written at once."""
        self._connection = connection
        self._guarded = guarded
        self._last: dict[str, list[tuple[Any, ...]]] = {}
        self._job_last: list[tuple[str, list[tuple[Any, ...]]]] = []
        self._cursor = connection.cursor()
        self._moves: dict[int, list[int]] = {}
        self._settled: dict[int, int] = {}
        self._job_moves: list[tuple[int, int, int]] = []
        self._job_settled: list[tuple[int, int]] = []
        self._batches: dict[int, BatchFlags | None] = {}
        self._job_ready: list[int] = []
        self.ready_at: int | None = None
        """The earliest ready time that this group added; the scheduler is told after the commit."""

    def rows(self, sql: str, args: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        return self._cursor.execute(sql, args).fetchall()

    def one(self, sql: str, args: Sequence[Any] | dict[str, Any] = ()) -> tuple[Any, ...] | None:
        """The first row, or None. The statement is run to its end: one left open would keep the WAL from being moved."""
        found = self._cursor.execute(sql, args).fetchall()
        return found[0] if found else None

    def do(self, sql: str, args: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run a statement; the number of rows it changed."""
        self._cursor.execute(sql, args)
        return self._connection.changes()

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once per row."""
        self._cursor.executemany(sql, rows)

    def bulk(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Insert many rows, up to a hundred a statement: each statement hands the interpreter's lock over and back once."""
        at = 0
        for chunk in CHUNKS:
            while len(rows) - at >= chunk:
                self._cursor.execute(_repeated(sql, chunk), tuple(chain.from_iterable(rows[at : at + chunk])))
                at += chunk

    def last(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Insert rows at the end of the group, together with those of other jobs: nothing in the group reads them."""
        if self._guarded:
            self.bulk(sql, rows)
        else:
            self._job_last.append((sql, rows))

    # Counts

    def count(
        self, scope_batch: int | None, tenant: int, mode: int, state: State, n: int = 1, *, exposed: int = 0
    ) -> None:
        """``n`` more messages in ``state`` (negative: fewer), ``exposed`` of them."""
        moves = self._job_moves
        scope = tenant_scope(tenant, mode)
        moves.append((scope, state, n))
        if scope_batch is not None:
            moves.append((scope_batch, state, n))
        if exposed:
            moves.append((scope, EXPOSED, exposed))
            if scope_batch is not None:
                moves.append((scope_batch, EXPOSED, exposed))

    def move(
        self,
        batch: int | None,
        tenant: int,
        mode: int,
        old: State,
        new: State,
        *,
        was_exposed: bool,
        is_exposed: bool,
        settled_at: int | None = None,
    ) -> None:
        """One message goes from ``old`` to ``new``; ``settled_at`` when it settled by that."""
        before = 1 if was_exposed and old in CANCELLABLE else 0
        after = 1 if is_exposed and new in CANCELLABLE else 0
        for scope in (tenant_scope(tenant, mode), batch):
            if scope is None:
                continue
            if old is not new:
                self._job_moves.append((scope, old, -1))
                self._job_moves.append((scope, new, 1))
            if before != after:
                self._job_moves.append((scope, EXPOSED, after - before))
            if settled_at is not None:
                self._job_settled.append((scope, settled_at))

    def settled(self, batch: int | None, tenant: int, mode: int, at: int) -> None:
        """Something of the scope settled at ``at`` without a move."""
        self._job_settled.append((tenant_scope(tenant, mode), at))
        if batch is not None:
            self._job_settled.append((batch, at))

    def counts(self, scope: int) -> list[int]:
        """The scope's sums as of this very job: the file's and what the group has not written yet; ``EXPOSED`` is the last."""
        row = self.one(_SUMS, (scope,))
        assert row is not None
        sums = [int(v or 0) for v in row]
        for column, n in enumerate(self._moves.get(scope, ())):
            sums[column] += n
        for moved, column, n in self._job_moves:
            if moved == scope:
                sums[column] += n
        return sums

    # Batches

    def batch(self, ident: int | None) -> BatchFlags | None:
        """The flags of a batch, read once per group; None for no batch or an unknown one."""
        if ident is None:
            return None
        try:
            return self._batches[ident]
        except KeyError:
            row = self.one(
                "SELECT tenant, mode, sealed_at, paused_at, cancelled_at FROM batches WHERE id = ?", (ident,)
            )
            flags = None if row is None else BatchFlags(row[0], row[1], *(v is not None for v in row[2:5]))
            self._batches[ident] = flags
            return flags

    def forget_batch(self, ident: int) -> None:
        """The job changed the flags: read them again."""
        self._batches.pop(ident, None)

    def ready(self, at: int) -> None:
        """Something is ready at ``at``: the scheduler hears of it after the commit."""
        self._job_ready.append(at)

    # The writer's side

    def job_done(self) -> None:
        """The job's savepoint was released: its sums join the group's."""
        for scope, column, n in self._job_moves:
            sums = self._moves.get(scope)
            if sums is None:
                sums = self._moves[scope] = list(_ZERO)
            sums[column] += n
        for scope, at in self._job_settled:
            self._settled[scope] = max(at, self._settled.get(scope, 0))
        if self._job_ready:
            earliest = min(self._job_ready)
            self.ready_at = earliest if self.ready_at is None else min(self.ready_at, earliest)
        for sql, rows in self._job_last:
            self._last.setdefault(sql, []).extend(rows)
        self._job_clear()

    def job_failed(self) -> None:
        """The job's savepoint was rolled back: so are its sums, and what it said of batches is read again."""
        self._job_clear()
        self._batches.clear()

    def _job_clear(self) -> None:
        self._job_moves.clear()
        self._job_settled.clear()
        self._job_ready.clear()
        self._job_last.clear()

    def flush_last(self) -> None:
        """Insert what jobs left for the end of the group."""
        for sql, rows in self._last.items():
            self.bulk(sql, rows)
        self._last.clear()

    def flush_counts(self) -> None:
        """Write the group's sums, right before the commit."""
        for scope in self._settled:
            self._moves.setdefault(scope, list(_ZERO))
        if self._moves:
            self.many(
                _UPSERT, ([scope, *sums, self._settled.get(scope)] for scope, sums in sorted(self._moves.items()))
            )
        self._moves.clear()
        self._settled.clear()


Job = Callable[[Transaction], Any]
