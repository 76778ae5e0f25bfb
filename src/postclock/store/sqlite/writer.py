"""The one way in: a writer thread that coalesces concurrent callers into one durable group.

A job is a function of a transaction. Jobs of a group run in a fixed order of kinds (results before departures before cancels
before claims before accepts). One caller's bad row fails that caller alone: a job that fails before it wrote anything just
fails; one that had written makes the group run once more, with a savepoint for each job. An answer is given only after the
COMMIT; a caller who goes away meanwhile changes nothing. The writer itself moves the WAL into the file, when it is idle or the
WAL has grown: p99 10.7 ms against 35.7 ms with SQLite's own inside COMMIT.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from postclock.core.errors import Busy
from postclock.runtime.log import get_logger
from postclock.store.sqlite.ahead import Ahead
from postclock.store.sqlite.connection import BUSY_MS, be_patient, open_file
from postclock.store.sqlite.transaction import Job, Transaction

T = TypeVar("T")

GROUP_ROWS: Final = 2000  # a group's bound: some 20-40 ms of work at the most
CROWD: Final = 3  # calls in the last group: more are on their way
LINGER_SECONDS: Final = 0.004  # so long a crowd is gathered: a commit serves more of them, and costs each less
BUSY_FRAMES: Final = 4_000  # 16 MiB of pages: under load a checkpoint (three fsyncs) serves so many, not one group
IDLE_SECONDS: Final = 0.02  # nothing to write for so long: the WAL moves into the file while nobody waits
RESTART_MS: Final = 50  # how long a reset of the WAL waits for readers, and every caller with it
RESTART_FRAMES: Final = 16_384  # 64 MiB of pages: beyond this the WAL is reset, which waits for readers
_log = get_logger("store")


class Kind(IntEnum):
    """The order of jobs inside a group; each kind gets at least one job into every group."""

    record = 0
    depart = 1
    cancel = 2
    claim = 3
    accept = 4
    bulk = 5


class _Ticket:
    __slots__ = ("ahead", "error", "future", "job", "loop", "result", "rows")

    def __init__(
        self,
        job: Job,
        rows: int,
        loop: asyncio.AbstractEventLoop | None,
        future: "asyncio.Future[Any] | _Waiter",
        ahead: Ahead | None = None,
    ) -> None:
        self.job = job
        self.ahead = ahead
        self.rows = rows
        self.loop = loop
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class _Spoilt(Exception):
    """A job failed after it had written: the group is run again with a savepoint for each job."""


class _Waiter:
    """What a caller without an event loop waits on."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = threading.Event()


def _settle(tickets: "list[_Ticket]") -> None:
    for t in tickets:
        future = t.future
        assert isinstance(future, asyncio.Future)
        if future.cancelled():
            continue
        if t.error is not None:
            future.set_exception(t.error)
        else:
            future.set_result(t.result)


def _told(error: BaseException) -> Busy:
    """What one caller hears of a group that was rolled back; each its own, for tracebacks grow on what is raised."""
    full = isinstance(error, apsw.FullError)
    told = Busy(
        "the store's disk is full" if full else "the store could not commit", retry_after=5, status=507 if full else 503
    )
    told.__cause__ = error
    return told


class Writer:
    """The writer thread. ``on_ready(ms)`` is called in that thread after a commit that added ready rows."""

    def __init__(self, path: Path, on_ready: Callable[[int], None]) -> None:
        self._on_ready = on_ready
        self._queues: tuple[deque[_Ticket], ...] = tuple(deque() for _ in Kind)
        self._wake = threading.Condition()
        self._stopping = False
        self._connection = open_file(path)
        self._callers = 0
        self._closing = threading.Event()
        self._moved = 0  # pages of the WAL that the last checkpoint had seen, and those since
        self._fresh = 0
        self._connection.set_wal_hook(self._wrote)  # takes the place of SQLite's own checkpoints
        self._thread = threading.Thread(target=self._run, name="postclock-writer", daemon=True)
        self.groups = 0
        self._thread.start()

    async def run(self, kind: Kind, job: Callable[[Transaction], T], rows: int = 1, ahead: Ahead | None = None) -> T:
        """Run ``job`` in the next group; its result once the group is durable, or the job's own error. ``ahead``: what it will ask."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(kind, _Ticket(job, rows, loop, future, ahead))
        return await future

    def run_sync(self, kind: Kind, job: Callable[[Transaction], T], rows: int = 1) -> T:
        """The same for a caller without an event loop."""
        waiter = _Waiter()
        ticket = _Ticket(job, rows, None, waiter)
        self._put(kind, ticket)
        waiter.done.wait()
        if ticket.error is not None:
            raise ticket.error
        result: T = ticket.result
        return result

    def _put(self, kind: Kind, ticket: _Ticket) -> None:
        with self._wake:
            if self._stopping:
                raise Busy("the store is closing")
            self._queues[kind].append(ticket)
            self._wake.notify()

    def close(self) -> None:
        """Finish what was handed in, move the WAL into the file and close it."""
        with self._wake:
            self._stopping = True
            self._closing.set()
            self._wake.notify()
        self._thread.join()

    def _gather(self) -> list[_Ticket]:
        with self._wake:
            while not any(self._queues):
                if self._stopping:
                    return []
                if not self._wake.wait(IDLE_SECONDS if self._fresh else None) and self._fresh:
                    self._checkpoint()
        if self._callers >= CROWD:
            self._closing.wait(LINGER_SECONDS)
        with self._wake:
            group: list[_Ticket] = []
            rows = 0
            callers = len(self._queues[Kind.accept]) + len(self._queues[Kind.cancel])
            for queue in self._queues:
                first = True
                while queue and (first or rows + queue[0].rows <= GROUP_ROWS):
                    first = False
                    ticket = queue.popleft()
                    rows += ticket.rows
                    group.append(ticket)
            self._callers = callers
            return group

    def _run(self) -> None:
        while group := self._gather():
            ready_at = self._commit(group)
            self.groups += 1
            self._answer(group)
            if ready_at is not None:
                self._tell_ready(ready_at)
            if self._fresh > BUSY_FRAMES:
                self._checkpoint()
        # It keeps every other writer out while it waits for readers: a command that ends beside the service must not.
        be_patient(self._connection, RESTART_MS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            pass  # somebody reads or writes still: the last one to close moves it
        except apsw.Error as error:
            _log.warning("the WAL was not emptied at close", error=str(error))
        self._connection.close()

    def _commit(self, group: list[_Ticket]) -> int | None:
        try:
            try:
                return self._try(group, guarded=False)
            except _Spoilt:
                self._roll_back()
                return self._try(group, guarded=True)
        except BaseException as error:  # noqa: BLE001  (every caller must hear of it)
            self._roll_back()
            _log.error("a group was rolled back", error=str(error), jobs=len(group))
            for ticket in group:
                ticket.error = _told(error)
            return None

    def _try(self, group: list[_Ticket], *, guarded: bool) -> int | None:
        self._connection.execute("BEGIN IMMEDIATE")
        ahead = [ticket.ahead for ticket in group if ticket.ahead is not None]
        tx = Transaction(self._connection, guarded=guarded, ahead=ahead)
        run = self._one_guarded if guarded else self._one
        for ticket in group:
            ticket.result = ticket.error = None
            run(tx, ticket)
        try:
            tx.flush_last()
        except apsw.ConstraintError as error:  # one caller's bad row: the second run finds out whose
            raise _Spoilt from error
        tx.flush_counts()
        self._connection.execute("COMMIT")
        return tx.tally.ready_at

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:  # the thread must live: the next BEGIN says Busy as long as the file is in trouble
            _log.error("a rollback failed", error=str(error))

    def _tell_ready(self, at: int) -> None:
        try:
            self._on_ready(at)
        except Exception:  # noqa: BLE001  (the listener's fault; its safety poll finds the row, and the writer must live)
            _log.exception("a listener failed")

    def _one(self, tx: Transaction, ticket: _Ticket) -> None:
        """A job without a savepoint: one that fails before it wrote anything fails alone, one that wrote spoils the group."""
        before = self._connection.total_changes()
        try:
            ticket.result = ticket.job(tx)
        except (apsw.FullError, apsw.IOError, apsw.CorruptError):
            raise
        except Exception as error:
            if self._connection.total_changes() != before:
                raise _Spoilt from error
            tx.job_failed()
            ticket.error = error
        else:
            tx.job_done()

    def _one_guarded(self, tx: Transaction, ticket: _Ticket) -> None:
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            ticket.result = ticket.job(tx)
        except (apsw.FullError, apsw.IOError, apsw.CorruptError):
            raise
        except Exception as error:  # noqa: BLE001  (the caller's own error, told to the caller)
            connection.execute("ROLLBACK TO job")
            tx.job_failed()
            ticket.error = error
        else:
            tx.job_done()
        connection.execute("RELEASE job")

    def _wrote(self, _connection: apsw.Connection, _name: str, frames: int) -> int:
        self._moved = 0 if frames < self._moved else self._moved  # fewer than before: the WAL began anew
        self._fresh = frames - self._moved
        return apsw.SQLITE_OK

    def _answer(self, group: list[_Ticket]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Ticket]] = {}
        for ticket in group:
            if ticket.loop is None:
                assert isinstance(ticket.future, _Waiter)
                ticket.future.done.set()
            else:
                by_loop.setdefault(ticket.loop, []).append(ticket)
        for loop, tickets in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle, tickets)
            except RuntimeError:  # that loop is closed: nobody is left to hear it
                continue

    def _checkpoint(self) -> None:
        self._moved, self._fresh = self._moved + self._fresh, 0
        connection = self._connection
        try:
            frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if frames > RESTART_FRAMES:
                be_patient(connection, RESTART_MS)  # a backup may read for minutes: nobody waits for it here
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            return  # a reader holds its snapshot
        except apsw.Error as error:  # the groups are durable without it: the next checkpoint tries again
            _log.error("a checkpoint failed", error=str(error))
        finally:
            be_patient(connection, BUSY_MS)
