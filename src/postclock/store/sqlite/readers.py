"""Readers: a few threads, each with its own connection and a snapshot of at most a second or two.

A long snapshot keeps the WAL from being reset (a 7 s reader let it grow to 1.1 GB), so every read has a deadline.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.store.sqlite.connection import open_file
from postclock.store.tables.desk import DEADLINE_SECONDS, Run

T = TypeVar("T")

THREADS: Final = 4
CHECK_EVERY: Final = 5_000  # virtual machine steps between looks at the clock: well under a millisecond


class Readers:
    """Reads, each in one snapshot."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="postclock-reader")
        self._open: list[apsw.Connection] = []
        self._lock = threading.Lock()

    async def run(self, read: Callable[[Run], T], *, seconds: float = DEADLINE_SECONDS) -> T:
        """``read`` with a function that runs statements, all in one snapshot. Raises Busy past the deadline."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.run_here, read, seconds)

    def run_here(self, read: Callable[[Run], T], seconds: float = DEADLINE_SECONDS) -> T:
        """The same in the calling thread."""
        try:
            connection = self._connection()
        except apsw.Error as error:
            raise Busy("the store cannot be read", retry_after=1) from error
        until = self._clock.monotonic() + seconds
        connection.set_progress_handler(lambda: self._clock.monotonic() > until, CHECK_EVERY)

        def rows(sql: str, args: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
            return connection.execute(sql, args).fetchall()

        try:
            connection.execute("BEGIN")
            return read(rows)
        except apsw.InterruptError as error:
            raise Busy("the query took longer than it may", retry_after=1) from error
        except (apsw.FullError, apsw.IOError, apsw.BusyError, apsw.LockedError) as error:
            # A full disk: even a reader writes to the index of the WAL.
            raise Busy("the store cannot be read", retry_after=1) from error
        finally:
            connection.set_progress_handler(None)
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _connection(self) -> apsw.Connection:
        found: apsw.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = open_file(self._path, read_only=True)
            with self._lock:
                self._open.append(found)
        return found

    def close(self) -> None:
        """Wait for the reads under way, and close."""
        self._pool.shutdown()
        for connection in self._open:
            connection.close()
