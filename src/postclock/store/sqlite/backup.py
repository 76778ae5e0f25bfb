"""A consistent copy of the file while the service writes it, queue included (SQLite's online backup API).

The copy is of one snapshot: without one, every commit of the service would make the backup begin again, and a busy service
commits a hundred times a second. While the snapshot is held the WAL cannot be reset, so it grows by what is written meanwhile.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from postclock.core.errors import PostclockError
from postclock.store.sqlite.connection import open_file

PAGES: Final = 2048
"""Pages a step (8 MiB): between steps the caller hears how far it is."""


class NoBackup(PostclockError):
    """Nothing was copied; the message says why."""


def back_up(source: Path, target: Path, on_step: Callable[[int, int], None] = lambda _done, _all: None) -> int:
    """Copy the store to ``target`` (0600, flushed to the disk); how many octets. ``on_step`` gets pages done and pages in all.

    ``target`` appears when the copy is complete. Raises NoBackup when there is something already, or nothing to copy.
    """
    if not source.exists():
        raise NoBackup(f"there is no store yet: {source}")
    if target.exists() or target.is_symlink():
        raise NoBackup(f"{target} exists already: a backup overwrites nothing")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _copy(source, draft, on_step)
        os.link(draft, target)
    except FileExistsError:
        raise NoBackup(f"{target} exists already: a backup overwrites nothing") from None
    except (OSError, apsw.Error) as error:
        raise NoBackup(f"the backup to {target} failed: {error}") from error
    finally:
        for leftover in (draft, *(draft.with_name(draft.name + end) for end in ("-journal", "-wal", "-shm"))):
            leftover.unlink(missing_ok=True)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return target.stat().st_size


def _copy(source: Path, draft: Path, on_step: Callable[[int, int], None]) -> None:
    reading = open_file(source, read_only=True)
    writing = apsw.Connection(str(draft))
    try:
        reading.execute("BEGIN")
        reading.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # the snapshot begins with the first read
        with writing.backup("main", reading, "main") as backup:
            while not backup.done:
                backup.step(PAGES)
                on_step(backup.page_count - backup.remaining, backup.page_count)
    finally:
        writing.close()
        reading.close()
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
