"""The store that the settings name: opened, brought up to date, looked at, backed up. The only file that names concrete stores.

SQLite lies in the data folder and has one process; a shared store (PostgreSQL) has any number.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from postclock.core.clock import Clock
from postclock.core.errors import Busy, PostclockError
from postclock.runtime.clock import SystemClock
from postclock.settings import Settings
from postclock.store.inspection import Inspection
from postclock.store.migrations import SchemaMismatch
from postclock.store.postgres import store as postgres
from postclock.store.sqlite.backup import back_up
from postclock.store.sqlite.inspect import inspect
from postclock.store.sqlite.store import FILE, SqliteStore, open_alone, open_beside, open_store

Opened = SqliteStore | postgres.PostgresStore
"""A store of either kind, opened."""


class CannotStart(PostclockError):
    """The service cannot start as it is set up; the message says what to change."""


CANNOT_YET: Final = (postgres.CannotOpen, SchemaMismatch, Busy)
"""A shared store is not there yet, or not fit yet: a process waits for it."""


def is_shared(settings: Settings) -> bool:
    """Whether several processes may work on the store at once."""
    return settings.store != "sqlite"


def open_data(
    settings: Settings, clock: Clock | None = None, *, serve: bool = False, alone: bool = False, api: bool = True
) -> Opened:
    """The store of the settings: for the service (``api``: it answers callers), for a command beside it, or ``alone``.

    ``clock`` is the machine's unless given; a shared store has one of its own. Raises CannotStart, CannotOpen, FolderTaken,
    SchemaMismatch.
    """
    if is_shared(settings):
        return _open_shared(settings, serve=serve, alone=alone, api=api)
    opened = open_store if serve else open_alone if alone else open_beside
    return opened(settings.data, clock or SystemClock())


def _open_shared(settings: Settings, *, serve: bool, alone: bool, api: bool) -> Opened:
    if not settings.secret_key:
        raise CannotStart(
            "POSTCLOCK_SECRET_KEY: must be given with PostgreSQL, the same for every process (64 hex characters)"
        )
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if serve:
        return postgres.open_store(settings.store, data=settings.data, api=api)
    store = postgres.open_beside(settings.store, data=settings.data)
    if alone and not store.is_alone():
        store.close()
        raise CannotStart("stop every postclock process first: this must not be done beside one")
    return store


def migrate_data(settings: Settings) -> None:
    """Bring the store's schema up to date. Raises CannotOpen, FolderTaken, SchemaMismatch."""
    if is_shared(settings):
        postgres.migrate_store(settings.store)
    else:
        open_data(settings).close()


def inspect_data(settings: Settings, *, thorough: bool = False) -> Inspection:
    """A look at the store that changes nothing."""
    if is_shared(settings):
        return postgres.inspect_store(settings.store, thorough=thorough)
    return inspect(settings.data / FILE, thorough=thorough)


def back_up_data(settings: Settings, target: Path, on_step: Callable[[int, int], None]) -> int:
    """Copy the store to a file while it is used; how many octets. Raises CannotStart, NoBackup."""
    if is_shared(settings):
        raise CannotStart(
            "a PostgreSQL store is backed up with PostgreSQL's own tools: pg_dump, or a base backup with its WAL"
        )
    return back_up(settings.data / FILE, target, on_step)
