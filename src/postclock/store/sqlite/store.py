"""The SQLite store, composed: one file in the data folder, one writer, a few readers, one owner."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from postclock.core.clock import Clock
from postclock.core.errors import Busy, PostclockError
from postclock.store.records import Overview, Owner
from postclock.store.sqlite import migrate, owners
from postclock.store.sqlite.accounts import SqliteAccounts
from postclock.store.sqlite.connection import open_file
from postclock.store.sqlite.domains import SqliteDomains
from postclock.store.sqlite.ledger import SqliteLedger
from postclock.store.sqlite.lock import FolderLock, join_folder, take_folder
from postclock.store.sqlite.messages import SqliteMessages
from postclock.store.sqlite.readers import Readers, Run
from postclock.store.sqlite.suppressions import SqliteSuppressions
from postclock.store.sqlite.templates import SqliteTemplates
from postclock.store.sqlite.transaction import Transaction
from postclock.store.sqlite.writer import Kind, Writer

FILE: Final = "postclock.db"
NOBODY: Final = Owner(0, 0, 1023)
"""The owner of a command that works beside the service: it claims nothing."""


class CannotOpen(PostclockError):
    """The file is no store, or is damaged; the message says what SQLite says."""


class SqliteStore:
    """store.interface.Store over one file."""

    def __init__(self, folder: Path, clock: Clock, owner: Owner, lock: FolderLock, last_beat: int | None) -> None:
        path = folder / FILE
        self._listeners: list[Callable[[int], None]] = []
        self._lock = lock
        self.last_beat = last_beat
        """When a former life was last heard of (UTC milliseconds); None for a new store."""
        self.path = path
        self._writer = Writer(path, self._ready)
        self._readers = Readers(path, clock)
        self.ledger = SqliteLedger(self._writer, self._readers, owner, self._listeners)
        self.messages = SqliteMessages(self._writer, self._readers)
        self.accounts = SqliteAccounts(self._writer, self._readers)
        self.domains = SqliteDomains(self._writer, self._readers)
        self.templates = SqliteTemplates(self._writer, self._readers)
        self.suppressions = SqliteSuppressions(self._writer, self._readers)

    def _ready(self, at: int) -> None:
        for listener in self._listeners:
            listener(at)

    async def is_ready(self) -> bool:
        """See Store."""
        try:
            return await self._readers.run(lambda run: bool(run("SELECT 1 FROM meta WHERE key = 'version'")))
        except Busy:
            return False

    async def meta(self, key: str) -> str | None:
        """See Store."""

        def read(run: Run) -> str | None:
            found = run("SELECT value FROM meta WHERE key = ?", (key,))
            return str(found[0][0]) if found else None

        return await self._readers.run(read)

    def note(self, key: str) -> str | None:
        """``meta`` for the assembly, which puts a process together before there is an event loop."""
        found = self._readers.run_here(lambda run: run("SELECT value FROM meta WHERE key = ?", (key,)))
        return str(found[0][0]) if found else None

    async def set_meta(self, key: str, value: str) -> None:
        """See Store."""

        def job(tx: Transaction) -> None:
            tx.do(
                "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

        await self._writer.run(Kind.accept, job)

    async def overview(self) -> Overview:
        """See Store."""
        return await self._readers.run(_overview, seconds=10.0)

    def close(self) -> None:
        """See Store."""
        self._writer.close()
        self._readers.close()
        self._lock.release()


def _overview(run: Run) -> Overview:
    def by(sql: str) -> dict[str, int]:
        return {str(k): int(n) for k, n in run(sql)}

    waiting, parked, uncertain, flying = run(
        "SELECT count(*) FILTER (WHERE status IN (0, 1)), count(*) FILTER (WHERE ready_at IS NULL AND owner IS NULL), "
        "count(*) FILTER (WHERE status = 4), count(*) FILTER (WHERE status = 3) FROM queue"
    )[0]
    oldest = run("SELECT min(due_at) FROM queue WHERE ready_at IS NOT NULL AND lane < 3")[0][0]
    return Overview(
        waiting=waiting,
        parked=parked,
        uncertain=uncertain,
        in_flight=flying,
        oldest_due=oldest,
        by_host=by(
            "SELECT CASE route WHEN '' THEN 'relay' ELSE route END, count(*) FROM queue WHERE status IN (0, 1) GROUP BY 1"
        ),
        by_domain=by(
            "SELECT substr(a, instr(a, '@') + 1), count(*) FROM (SELECT ifnull(m.rcpt, (SELECT address FROM recipients r WHERE r.message = m.id LIMIT 1)) AS a "
            "FROM queue q JOIN messages m ON m.id = q.message WHERE q.status IN (0, 1) LIMIT 100000) GROUP BY 1 ORDER BY 2 DESC LIMIT 100"
        ),
        by_tenant=by(
            "SELECT t.name, count(*) FROM queue q JOIN tenants t ON t.id = q.tenant WHERE q.status IN (0, 1) GROUP BY 1"
        ),
        by_reason=by(
            "SELECT reason, count(*) FROM queue WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 100"
        ),
    )


def _prepare(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = open_file(folder / FILE)
    try:
        migrate.migrate(connection)
    finally:
        connection.close()


def open_store(folder: Path, clock: Clock) -> SqliteStore:
    """The store for ``serve``: takes the folder's lock, brings the schema up to date, begins a life as owner.

    Raises FolderTaken when another serve has the folder, SchemaMismatch when this application is too old for the file.
    """
    return _open(folder, clock, take_folder(folder), lives=True)


def open_beside(folder: Path, clock: Clock) -> SqliteStore:
    """The store for a command that works beside the service: no life, no claims. Raises FolderTaken, SchemaMismatch."""
    return _open(folder, clock, join_folder(folder), lives=False)


def open_alone(folder: Path, clock: Clock) -> SqliteStore:
    """The store for a command that bears nobody beside it. Raises FolderTaken, SchemaMismatch."""
    return _open(folder, clock, take_folder(folder, alone=True), lives=False)


def _open(folder: Path, clock: Clock, lock: FolderLock, *, lives: bool) -> SqliteStore:
    try:
        _prepare(folder)
        owner, last_beat = _begin_life(folder, clock) if lives else (NOBODY, None)
        return SqliteStore(folder, clock, owner, lock, last_beat)
    except apsw.Error as error:
        lock.release()
        raise CannotOpen(f"{folder / FILE} cannot be opened: {error}") from error
    except BaseException:
        lock.release()
        raise


def _begin_life(folder: Path, clock: Clock) -> tuple[Owner, int | None]:
    writer = Writer(folder / FILE, lambda _: None)
    try:
        return writer.run_sync(Kind.record, owners.register(clock.now_ms()))
    finally:
        writer.close()
