"""One group's transaction on SQLite: each call of a step is a statement at once, counts are written once at the end.

store.steps.work.Work over one connection. A job that fails takes its own moves back with its savepoint.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final

import apsw

from postclock.core.lifecycle import RecipientState, Shown, State
from postclock.core.plan import Spent
from postclock.core.suppression import SuppressionList
from postclock.store.queries import load
from postclock.store.records import Acceptance, Claimed, IdempotencyKey, Owner
from postclock.store.sqlite.ahead import CHUNKS, Ahead, KeyIdent, Known, repeated
from postclock.store.steps.counting import COLUMNS, Tally
from postclock.store.steps.stored import stored_rows
from postclock.store.steps.work import (
    BatchFlags,
    Charge,
    Due,
    Row,
    StoredMessage,
    StoredRecipient,
    TenantRow,
    flags_from,
    row_from,
)

SQL: Final = load("postclock.store.sqlite.sql", "ledger")
_RECIPIENT_STATES: Final = tuple(RecipientState)

_UPSERT: Final = (
    f"INSERT INTO counts(scope, slot, {', '.join(COLUMNS)}, exposed, last_settled_at) "  # noqa: S608  (names from the table of states)
    f"VALUES (?, 0, {', '.join('?' * (len(COLUMNS) + 1))}, ?) ON CONFLICT(scope, slot) DO UPDATE SET "
    + ", ".join(f"{c} = {c} + excluded.{c}" for c in (*COLUMNS, "exposed"))
    + ", last_settled_at = max(ifnull(last_settled_at, excluded.last_settled_at), ifnull(excluded.last_settled_at, last_settled_at))"
)
_SUMS: Final = f"SELECT {', '.join(f'sum({c})' for c in (*COLUMNS, 'exposed'))} FROM counts WHERE scope = ?"  # noqa: S608


class Transaction:
    """What a job may do. Rows are plain tuples, in the order of the statement's columns."""

    def __init__(self, connection: apsw.Connection, *, guarded: bool, ahead: Sequence[Ahead] = ()) -> None:
        """``guarded``: each job has a savepoint of its own, and what it writes is written at once. ``ahead``: what will be asked."""
        self._connection = connection
        self._guarded = guarded
        self._last: dict[str, list[tuple[Any, ...]]] = {}
        self._job_last: list[tuple[str, list[tuple[Any, ...]]]] = []
        self._keys: dict[KeyIdent, tuple[bytes, bytes]] = {}
        self._job_keys: dict[KeyIdent, tuple[bytes, bytes]] = {}
        self._cursor = connection.cursor()
        self._known = Known(self._cursor, ahead)
        self._batches: dict[int, BatchFlags | None] = {}
        self.tally = Tally()

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
                self._cursor.execute(repeated(sql, chunk), tuple(chain.from_iterable(rows[at : at + chunk])))
                at += chunk

    def last(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Insert rows at the end of the group, together with those of other jobs: nothing in the group reads them."""
        if self._guarded:
            self.bulk(sql, rows)
        else:
            self._job_last.append((sql, rows))

    def ready(self, at: int) -> None:
        """Something is ready at ``at``: the scheduler hears of it after the commit."""
        self.tally.ready(at)

    # What steps read

    def row(self, ident: int) -> Row | None:
        """See Work."""
        found = self.one(SQL["row"], (ident,))
        return None if found is None else row_from(found)

    def message(self, ident: int) -> StoredMessage | None:
        """See Work."""
        found = self.one(SQL["message"], (ident,))
        return None if found is None else StoredMessage._make(found)

    def recipients(self, message: int) -> Sequence[StoredRecipient]:
        """See Work."""
        found = self.rows(SQL["recipients"], (message,))
        return [StoredRecipient(n, address, _RECIPIENT_STATES[state], reply) for n, address, state, reply in found]

    def batch(self, ident: int | None) -> BatchFlags | None:
        """See Work. Read once per group: one writer."""
        if ident is None:
            return None
        try:
            return self._batches[ident]
        except KeyError:
            row = self.one(SQL["batch"], (ident,))
            flags = self._batches[ident] = None if row is None else flags_from(row)
            return flags

    def forget_batch(self, ident: int) -> None:
        """The job changed the flags: read them again."""
        self._batches.pop(ident, None)

    def tenant(self, ident: int) -> TenantRow | None:
        """See Work."""
        found = self.one(SQL["tenant"], (ident,))
        if found is None:
            return None
        status, revision, settings, testers = found
        return TenantRow(status != 0, revision, settings, frozenset(testers.split("\n")) if testers else frozenset())

    def spent(self, tenant: int, month: int) -> Spent:
        """See Work."""
        ((n, cost),) = self.rows(SQL["spent"], (tenant, month))
        return Spent(n=n, cost_micros=cost, by_key=dict(self.rows(SQL["spent_by_keys"], (tenant, month))))

    def counts(self, scope: int) -> list[int]:
        """See Work."""
        row = self.one(_SUMS, (scope,))
        assert row is not None
        return self.tally.added(scope, [int(v or 0) for v in row])

    def lives(self, owner: Owner) -> bool:
        """See Work."""
        return self.one(SQL["owner_lives"], (owner.id, owner.epoch)) is not None

    def is_alive(self, owner: int) -> bool:
        """See Work."""
        return self.one(SQL["owner_is_alive"], (owner,)) is not None

    def suppressed(self, tenant: int, mode: int, address: str) -> Sequence[str]:
        """See Work."""
        known = self._known.lists.get((tenant, mode, address))
        if known is not None:
            return known
        return [name for (name,) in self.rows(SQL["is_suppressed"], (tenant, mode, address))]

    def is_verified(self, tenant: int, domain: str) -> bool:
        """See Work."""
        return self.one(SQL["domain_verified"], (tenant, domain)) is not None

    def key(self, tenant: int, mode: int, key: IdempotencyKey) -> tuple[bytes, bytes] | None:
        """See Work."""
        ident = (tenant, mode, key.dialect, key.key)
        noted = self._keys.get(ident)
        if noted is not None or key.fresh:
            return noted
        if ident in self._known.keys:
            return self._known.keys[ident]
        found = self.one(SQL["find_key"], ident)
        return None if found is None else (found[0], found[1])

    def content(self, submission: int) -> bytes | None:
        """See Work."""
        found = self.one(SQL["submission"], (submission,))
        return None if found is None else found[0]

    def exposed_rows(self, batch: int) -> Sequence[int]:
        """See Work."""
        return [ident for (ident,) in self.rows(SQL["exposed_rows"], (batch,))]

    # What steps write

    def take(self, due: Due, owner: int, state: State) -> None:
        """See Work."""
        self.do(SQL["take"], (owner, int(state), due.id))

    def depart(self, claimed: Claimed, owner: int, stamp: bytes, now: int) -> bool:
        """See Work."""
        values = {"now": now, "stamp": stamp, "id": claimed.id, "owner": owner, "attempt": claimed.attempt}
        return self.do(SQL["depart"], values) == 1

    def wait(
        self,
        row: Row,
        state: State,
        *,
        ready_at: int | None,
        lane: int,
        exposed: bool,
        deferrals: int,
        tried_at: int | None,
        settle_at: int | None,
        reason: str | None,
    ) -> None:
        """See Work."""
        self.do(SQL["wait"], (int(state), ready_at, lane, int(exposed), deferrals, tried_at, settle_at, reason, row.id))

    def take_out(self, ident: int, owner: int, attempt: int) -> Row | None:
        """See Work."""
        found = self.one(SQL["take_out"], (ident, owner, attempt))
        return None if found is None else row_from(found)

    def drop(self, row: Row) -> None:
        """See Work."""
        self.do(SQL["drop_row"], (row.id,))

    def settle(
        self,
        row: Row,
        state: State,
        now: int,
        *,
        exposed: bool,
        data_at: int | None,
        delivered_at: int | None,
        reason: str | None,
    ) -> None:
        """See Work."""
        self.do(
            SQL["settle_message"],
            (
                int(state), int(exposed), row.handed_at, data_at, delivered_at, delivered_at, now, row.attempt, row.stamp, reason, row.message,
            ),
        )  # fmt: skip

    def note_sent(self, row: Row, now: int, data_at: int | None) -> None:
        """See Work."""
        self.do(SQL["note_sent"], (now, data_at, row.message))

    def set_recipient(
        self, message: int, week: int, n: int, state: RecipientState, reply: str | None, now: int
    ) -> None:
        """See Work."""
        self.do(SQL["set_recipient"], (int(state), reply, now, message, n))

    def event(self, message: int, week: int, kind: str, at: int, recipient: str | None, metadata: str | None) -> None:
        """See Work."""
        self.do(SQL["add_event"], (message, week, kind, at, recipient, metadata))

    def suppress(
        self, row: Row, address: str, now: int, *, kind: SuppressionList, reason: str, bounce_type: str, status: str
    ) -> None:
        """See Work."""
        self.do(SQL["suppress"], (row.tenant, row.mode, address, kind, now, reason, bounce_type, status))
        self._known.lists.pop((row.tenant, row.mode, address), None)

    def note_shown(self, message: int, week: int, shown: Shown, *, opens: int = 0, clicks: int = 0) -> None:
        """See Work."""
        self.do(SQL["note_shown"], (int(shown), opens, clicks, message))

    def charge(self, charge: Charge) -> None:
        """See Work."""
        c = charge
        self.do(SQL["charge"], (c.tenant, c.month, c.type, c.n, c.cost, c.free))
        if c.api_key and c.n:
            self.do(SQL["charge_key"], (c.tenant, c.month, c.api_key, c.n, c.cost))

    def insert(self, acceptance: Acceptance) -> None:
        """See Work."""
        for table, rows in stored_rows(acceptance):
            if rows:
                self.last(SQL[table], rows)

    def insert_key(self, tenant: int, mode: int, key: IdempotencyKey, ids: bytes, now: int) -> None:
        """See Work."""
        ident = (tenant, mode, key.dialect, key.key)
        self._job_keys[ident] = (key.fingerprint, ids)
        self.last(SQL["insert_key"], [(*ident, key.fingerprint, ids, now)])

    def reopen(self, message: StoredMessage, *, lane: int, ready_at: int, policy: int) -> None:
        """See Work."""
        m = message
        self.do(
            SQL["reopen"],
            (
                m.id, m.id, m.week, m.tenant, m.mode, lane, m.batch, m.due_at, ready_at, m.attempt, m.exposed, policy, m.departed_at, m.stamp,
            ),
        )  # fmt: skip
        self.do(SQL["reopen_message"], (m.id,))

    def flag_cancelled(self, batch: int, now: int) -> None:
        """See Work."""
        self.do(SQL["cancel_batch"], (now, batch))
        self.forget_batch(batch)

    def mark_swept(self, batch: int) -> None:
        """See Work."""
        self.do(SQL["swept"], (batch,))

    # The writer's side

    def job_done(self) -> None:
        """The job's savepoint was released: its sums join the group's."""
        self.tally.job_done()
        for sql, rows in self._job_last:
            self._last.setdefault(sql, []).extend(rows)
        self._job_last.clear()
        self._keys.update(self._job_keys)
        self._job_keys.clear()

    def job_failed(self) -> None:
        """The job's savepoint was rolled back: so are its sums, and what it said of batches is read again."""
        self.tally.job_failed()
        self._job_last.clear()
        self._job_keys.clear()
        self._batches.clear()

    def flush_last(self) -> None:
        """Insert what jobs left for the end of the group."""
        for sql, rows in self._last.items():
            self.bulk(sql, rows)
        self._last.clear()

    def flush_counts(self) -> None:
        """Write the group's sums, right before the commit."""
        rows = self.tally.rows()
        if rows:
            self.many(_UPSERT, ([scope, *sums, settled] for scope, sums, settled in rows))


Job = Callable[[Transaction], Any]
