"""The one way in on SQLite: groups, savepoints, what a caller hears when a group fails, and callers that go away."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from postclock.store.sqlite import connection
from postclock.store.sqlite.connection import check_library
from postclock.store.sqlite.lock import FolderTaken
from postclock.store.sqlite.readers import Readers
from postclock.store.sqlite.store import FILE, SqliteStore, open_beside, open_store
from postclock.store.sqlite.transaction import Transaction
from postclock.store.sqlite.writer import GROUP_ROWS, Kind, Writer
from postclock.store.steps.work import BatchFlags
from tests.support.clock import MovedClock

TENANT = 1


class BadRow(Exception):
    """What one caller's job stumbles over."""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(tmp_path, MovedClock())
    yield store
    store.close()


@pytest.fixture
def writer(opened: SqliteStore) -> Writer:
    return opened._writer


def note(key: str) -> Any:
    """A job that writes one row."""
    return lambda tx: tx.do("INSERT INTO meta (key, value) VALUES (?, 'x')", (key,))


def stumble(key: str) -> Any:
    """A job that fails after it has written a row and moved a count."""

    def job(tx: Transaction) -> None:
        note(key)(tx)
        tx.tally.count(None, TENANT, 0, State.queued)
        raise BadRow

    return job


def counted(tx: Transaction) -> None:
    tx.tally.count(None, TENANT, 0, State.queued)


class Held:
    """While it is held, the writer is inside a job: what is handed in meanwhile makes up the next group."""

    def __init__(self, writer: Writer) -> None:
        self._go = threading.Event()
        self._in = threading.Event()
        self._thread = threading.Thread(target=lambda: writer.run_sync(Kind.record, self._job))

    def _job(self, _: Transaction) -> None:
        self._in.set()
        self._go.wait()

    async def __aenter__(self) -> "Held":
        self._thread.start()
        await asyncio.to_thread(self._in.wait)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.let_go()
        await asyncio.to_thread(self._thread.join)

    def let_go(self) -> None:
        self._go.set()


async def handed_in(writer: Writer, *jobs: tuple[Kind, Any]) -> list[asyncio.Task[Any]]:
    """Tasks whose jobs have reached the writer's queues."""
    tasks = [asyncio.create_task(writer.run(kind, job)) for kind, job in jobs]
    while sum(map(len, writer._queues)) < len(jobs):
        await asyncio.sleep(0)
    return tasks


async def test_one_bad_caller_fails_alone(opened: SqliteStore, writer: Writer) -> None:
    """The others of its group are stored, and it leaves neither its row nor its count."""
    async with Held(writer) as held:
        groups = writer.groups
        jobs = [(Kind.accept, note("a")), (Kind.accept, stumble("b")), (Kind.accept, counted), (Kind.accept, note("c"))]
        tasks = await handed_in(writer, *jobs)
        held.let_go()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(a) for a in answers] == [int, BadRow, type(None), int]
    assert writer.groups == groups + 2
    assert [await opened.meta(k) for k in "abc"] == ["x", None, "x"]
    assert opened._readers.run_here(lambda run: run("SELECT sum(queued) FROM counts")) == [(1,)]


async def test_a_caller_that_went_away_undoes_nothing(opened: SqliteStore, writer: Writer) -> None:
    """What was handed in is written, and nobody else hears an error."""
    async with Held(writer) as held:
        gone, stays = await handed_in(writer, (Kind.accept, note("gone")), (Kind.accept, note("stays")))
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        held.let_go()
        await stays
    assert [await opened.meta(k) for k in ("gone", "stays")] == ["x", "x"]


@pytest.mark.parametrize(("error", "status"), [(apsw.FullError, 507), (apsw.IOError, 503)])
async def test_a_disk_in_trouble_answers_busy_to_the_whole_group(
    opened: SqliteStore, writer: Writer, error: type[Exception], status: int
) -> None:
    """Nothing of the group was stored; each has an error of its own; and the next group works."""

    def full(tx: Transaction) -> None:
        note("full")(tx)
        raise error("no room")

    async with Held(writer) as held:
        tasks = await handed_in(writer, (Kind.accept, note("a")), (Kind.accept, full), (Kind.accept, stumble("b")))
        held.let_go()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, Busy)
        assert (answer.status, answer.retry_after) == (status, 5)
    assert len({id(a) for a in answers}) == 3
    assert [await opened.meta(k) for k in ("a", "b", "full")] == [None] * 3
    await writer.run(Kind.accept, note("a"))
    assert await opened.meta("a") == "x"


async def test_jobs_of_a_group_run_results_first_and_bulk_last(writer: Writer) -> None:
    """Whatever the order in which they came."""
    ran: list[str] = []
    kinds = [Kind.bulk, Kind.accept, Kind.claim, Kind.cancel, Kind.depart, Kind.record]
    async with Held(writer) as held:
        jobs = [(kind, lambda _, name=kind.name: ran.append(name)) for kind in kinds]
        tasks = await handed_in(writer, *jobs)
        held.let_go()
        await asyncio.gather(*tasks)
    assert ran == [kind.name for kind in reversed(kinds)]


async def test_a_flood_of_one_kind_keeps_no_other_waiting(writer: Writer) -> None:
    """Each kind has a job in every group, however large the queue before it."""
    ran: list[str] = []
    async with Held(writer) as held:
        flood = [
            asyncio.create_task(writer.run(Kind.record, lambda _: ran.append("record"), GROUP_ROWS)) for _ in range(5)
        ]
        while sum(map(len, writer._queues)) < len(flood):
            await asyncio.sleep(0)
        other = asyncio.create_task(writer.run(Kind.bulk, lambda _: ran.append("bulk"), GROUP_ROWS))
        while sum(map(len, writer._queues)) < len(flood) + 1:
            await asyncio.sleep(0)
        held.let_go()
        await asyncio.gather(other, *flood)
    assert ran == ["record", "bulk"] + ["record"] * 4


async def test_what_a_failed_job_said_of_a_batch_is_forgotten(writer: Writer) -> None:
    """The next job of the group reads the flags as they are in the file."""

    def create(tx: Transaction) -> None:
        tx.do("INSERT INTO batches (id, tenant, mode, created_at) VALUES (9, 1, 0, 0)")

    def flag_and_stumble(tx: Transaction) -> None:
        tx.do("UPDATE batches SET cancelled_at = 1 WHERE id = 9")
        tx.forget_batch(9)
        flags = tx.batch(9)
        assert flags is not None
        assert flags.cancelled
        raise BadRow

    await writer.run(Kind.accept, create)
    async with Held(writer) as held:
        flagged, read = await handed_in(writer, (Kind.cancel, flag_and_stumble), (Kind.accept, lambda tx: tx.batch(9)))
        held.let_go()
        with pytest.raises(BadRow):
            await flagged
        assert await read == BatchFlags(TENANT, 0, sealed=False, paused=False, cancelled=False)


async def test_a_job_sees_the_counts_of_the_jobs_before_it(writer: Writer) -> None:
    """Of its group, which are not in the file yet, and its own."""

    def look(tx: Transaction) -> int:
        counted(tx)
        return tx.counts(-3)[State.queued]

    async with Held(writer) as held:
        tasks = await handed_in(writer, (Kind.accept, look), (Kind.accept, stumble("x")), (Kind.accept, look))
        held.let_go()
        first, _, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, third) == (1, 2)


async def test_a_listener_that_fails_does_not_end_the_writer(opened: SqliteStore, writer: Writer) -> None:
    """Its safety poll finds the row; everybody else is served on."""

    def fail(_: int) -> None:
        raise BadRow

    opened.ledger.on_ready(fail)
    await writer.run(Kind.accept, lambda tx: tx.ready(5))
    await writer.run(Kind.accept, note("after"))
    assert await opened.meta("after") == "x"


async def test_a_closed_store_says_that_it_is_closing(tmp_path: Path) -> None:
    """What was handed in before is written; what comes after is refused."""
    store = open_store(tmp_path, MovedClock())
    async with Held(store._writer) as held:
        (task,) = await handed_in(store._writer, (Kind.accept, note("last")))
        closing = asyncio.create_task(asyncio.to_thread(store.close))
        while not store._writer._stopping:
            await asyncio.sleep(0)
        with pytest.raises(Busy, match="closing"):
            await store._writer.run(Kind.accept, note("late"))
        held.let_go()
        await task
        await closing
    again = open_store(tmp_path, MovedClock())
    assert [await again.meta(k) for k in ("last", "late")] == ["x", None]
    again.close()


def test_a_folder_serves_one_process_at_a_time(opened: SqliteStore, tmp_path: Path) -> None:
    """A second serve is refused; a command beside it is not, and claims nothing."""
    with pytest.raises(FolderTaken):
        open_store(tmp_path, MovedClock())
    beside = open_beside(tmp_path, MovedClock())
    assert beside.ledger.owner.id == 0
    beside.close()
    assert opened.ledger.owner.id == 1


def test_a_command_opens_the_store_while_the_service_writes(
    opened: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing to migrate it needs no turn of its own, however long the service's writer is busy."""
    monkeypatch.setattr(connection, "BUSY_MS", 0)
    busy = apsw.Connection(str(tmp_path / FILE))
    busy.execute("BEGIN IMMEDIATE")
    open_beside(tmp_path, MovedClock()).close()
    busy.execute("ROLLBACK")
    busy.close()


def test_who_waits_for_a_lock_looks_every_millisecond(
    opened: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the end of its patience: the gaps of a writer that is never idle are short."""
    looks: list[float] = []

    class Pause:
        def wait(self, seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 300:
                busy.execute("ROLLBACK")

    monkeypatch.setattr(connection, "threading", SimpleNamespace(Event=Pause))
    busy, waiting = apsw.Connection(str(tmp_path / FILE)), apsw.Connection(str(tmp_path / FILE))
    busy.execute("BEGIN IMMEDIATE")
    connection.be_patient(waiting, 299)
    with pytest.raises(apsw.BusyError):
        waiting.execute("BEGIN IMMEDIATE")
    assert looks == [0.001] * 299
    connection.be_patient(waiting, 299)
    waiting.execute("BEGIN IMMEDIATE")
    waiting.close()
    busy.close()


def test_a_command_that_ends_keeps_nobody_waiting(opened: SqliteStore, writer: Writer, tmp_path: Path) -> None:
    """While somebody reads (a backup, for minutes) it leaves the WAL to others, and the service writes on."""
    reader = apsw.Connection(str(tmp_path / FILE))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM meta").fetchall()
    writer.run_sync(Kind.record, note("since the snapshot"))
    beside = open_beside(tmp_path, MovedClock())
    beside._writer.run_sync(Kind.record, note("by the command"))
    closing = threading.Thread(target=beside.close)
    closing.start()
    closing.join(5)
    assert not closing.is_alive(), "it waits for the reader, and every writer waits for it"
    writer.run_sync(Kind.record, note("after the command"))
    reader.close()


def test_node_numbers_go_round(tmp_path: Path) -> None:
    """Behind the last comes the first, and behind that the second: no two lives in a row make the same ids."""
    clock = MovedClock()
    store = open_store(tmp_path, clock)
    store._writer.run_sync(Kind.accept, lambda tx: tx.do("UPDATE owners SET node = 1022"))
    nodes = []
    for _ in range(3):
        store.close()
        store = open_store(tmp_path, clock)
        nodes.append(store.ledger.owner.node)
    store.close()
    assert nodes == [0, 1, 2]


def test_a_library_that_may_corrupt_its_log_is_refused() -> None:
    """The oldest one we trust is taken."""
    check_library("3.51.3")
    with pytest.raises(RuntimeError, match=r"3\.51\.2"):
        check_library("3.51.2")


async def test_a_file_that_cannot_be_read_now_says_busy(tmp_path: Path) -> None:
    """A full disk stops readers too; nothing that asks may take that for the end."""
    readers = Readers(tmp_path / "gone" / FILE, MovedClock())
    with pytest.raises(Busy, match="cannot be read"):
        await readers.run(lambda run: run("SELECT 1"))
    readers.close()


async def test_a_read_that_takes_too_long_says_busy(tmp_path: Path) -> None:
    """And the reader's snapshot is let go: the next read works."""

    class Rushing(MovedClock):
        def monotonic(self) -> float:
            self.move(1)
            return super().monotonic()

    store = open_store(tmp_path, Rushing())
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(Busy):
        await store._readers.run(lambda run: run(endless))
    assert await store.meta("version") is not None
    store.close()


async def test_a_read_is_one_snapshot(opened: SqliteStore, writer: Writer) -> None:
    """What is committed while it runs is not in it; the next one sees it."""

    def read(run: Any) -> tuple[int, int]:
        first = len(run("SELECT 1 FROM meta WHERE key = 'between'"))
        writer.run_sync(Kind.accept, note("between"))
        return first, len(run("SELECT 1 FROM meta WHERE key = 'between'"))

    assert await opened._readers.run(read) == (0, 0)
    assert await opened.meta("between") == "x"
