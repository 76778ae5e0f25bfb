"""The SQLite store, composed: one file in the data folder, one writer, a few readers, one owner."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from postclock.core.clock import Clock
from postclock.core.errors import PostclockError
from postclock.store.records import Owner
from postclock.store.sqlite import migrate, owners
from postclock.store.sqlite.connection import open_file
from postclock.store.sqlite.desk import SqliteDesk
from postclock.store.sqlite.ledger import SqliteLedger
from postclock.store.sqlite.lock import FolderLock, join_folder, take_folder
from postclock.store.sqlite.messages import SqliteMessages
from postclock.store.sqlite.readers import Readers
from postclock.store.sqlite.writer import Kind, Writer
from postclock.store.tables.accounts import StoredAccounts
from postclock.store.tables.domains import StoredDomains
from postclock.store.tables.metering import StoredMetering
from postclock.store.tables.notes import StoreNotes, note
from postclock.store.tables.outbox import StoredOutbox
from postclock.store.tables.suppressions import StoredSuppressions
from postclock.store.tables.templates import StoredTemplates

FILE: Final = "postclock.db"
NOBODY: Final = Owner(0, 0, 1023)
"""The owner of a command that works beside the service: it claims nothing."""


class CannotOpen(PostclockError):
    """The file is no store, or is damaged; the message says what SQLite says."""


class SqliteStore(StoreNotes):
    """store.interface.Store over one file."""

    def __init__(self, folder: Path, clock: Clock, owner: Owner, lock: FolderLock, last_beat: int | None) -> None:
        path = folder / FILE
        self._listeners: list[Callable[[int], None]] = []
        self._lock = lock
        self.clock = clock
        """The machine's time: there is one process."""
        self.last_beat = last_beat
        """When a former life was last heard of (UTC milliseconds); None for a new store."""
        self.path = path
        self._writer = Writer(path, self._ready)
        self._readers = Readers(path, clock)
        desk = SqliteDesk(self._writer, self._readers)
        super().__init__(desk)
        self.ledger = SqliteLedger(desk, self._writer, owner, self._listeners)
        self.messages = SqliteMessages(desk, self._writer)
        self.accounts = StoredAccounts(desk)
        self.domains = StoredDomains(desk)
        self.templates = StoredTemplates(desk)
        self.metering = StoredMetering(desk)
        self.suppressions = StoredSuppressions(desk)
        self.outbox = StoredOutbox(desk)

    def _ready(self, at: int) -> None:
        for listener in self._listeners:
            listener(at)

    def note(self, key: str) -> str | None:
        """``meta`` for the assembly, which puts a process together before there is an event loop."""
        return self._readers.run_here(lambda run: note(run, key))

    def close(self) -> None:
        """See Store."""
        self._writer.close()
        self._readers.close()
        self._lock.release()


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
