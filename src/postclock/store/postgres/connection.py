"""Connections to the database, each for its purpose, and the history that a process refuses to go back to.

After a failover the former primary may come back. What it knows is an older history: a process that has seen the newer one
(a higher timeline of the same cluster) does not work on it.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from postclock.core.errors import Busy
from postclock.runtime.log import get_logger

CONNECT_SECONDS: Final = 5.0
"""For all servers of a DSN together: a machine that is gone answers nothing, and must not use up the time of the next one."""
STATEMENT_SECONDS: Final = 20
"""A statement of a writer takes milliseconds; one that hangs so long has lost its lock, its disk or its standby."""
LOCK_SECONDS: Final = 8
IDLE_SECONDS: Final = 8
"""The server ends a transaction whose process is frozen or gone, and with it its locks, before others declare it dead."""
ANSWER_SECONDS: Final = 10.0
"""A person's request hears 503 after so long; what it asked for may still come true, and its key tells when it is repeated."""
RETRY_AFTER: Final = 2
"""Seconds after which a caller who was turned away may try again."""
_HISTORY: Final = (
    "SELECT (SELECT system_identifier FROM pg_control_system()), pg_is_in_recovery(), "
    "CASE WHEN pg_is_in_recovery() THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END"
)
_log = get_logger("store")


class History:
    """The newest history this process has seen; kept in ``file`` so that its next life knows it as well."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._system, self._timeline = _read(file)
        self.turns = 0
        """Rises when another server became the primary: connections from before lead to one that no longer is."""
        self.server = 0
        """Which server of the DSN is asked first: the one that was the primary when last looked at."""

    def look_elsewhere(self) -> None:
        """Ask another server first: this one may have been replaced without knowing it."""
        self.server += 1

    async def check(self, connection: asyncpg.Connection) -> None:
        """Refuse a standby, and a server that has not lived through what this process has seen. Raises Busy."""
        try:
            system, in_recovery, segment = await connection.fetchrow(_HISTORY)
        except asyncpg.InsufficientPrivilegeError:
            return  # a hosted service that tells nobody; it sees to its failovers itself
        if in_recovery:
            raise Busy("the database is a standby", retry_after=RETRY_AFTER)
        timeline = int(segment, 16)
        if system == self._system and timeline < self._timeline:
            raise Busy(
                f"the database lives on timeline {timeline}, older than {self._timeline} which was seen before",
                retry_after=RETRY_AFTER,
            )
        if (system, timeline) != (self._system, self._timeline):
            self._system, self._timeline = system, timeline
            self.turns += 1
            if self._file is not None:
                _write(self._file, f"{system} {timeline}\n")


def _read(file: Path | None) -> tuple[int, int]:
    if file is not None:
        with contextlib.suppress(OSError, ValueError):
            system, timeline = file.read_text("ascii").split()
            return int(system), int(timeline)
    return 0, 0


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}")
    try:
        draft.write_text(text, "ascii")
        draft.replace(file)
    except OSError as error:
        _log.warning("cannot keep the history that was seen", file=str(file), error=str(error))


async def connect(
    dsn: str,
    history: History | None,
    *,
    settings: dict[str, str] | None = None,
    command_seconds: float = STATEMENT_SECONDS + 5,
) -> asyncpg.Connection:
    """An open connection to the primary. Raises OSError, asyncpg errors, TimeoutError, Busy (an older history).

    The servers of a DSN are asked one by one: one that refuses, does not answer, is a standby or has an older history is stepped past.
    """
    servers = servers_of(dsn)
    first = 0 if history is None else history.server
    failure: BaseException | None = None
    for at in range(first, first + len(servers)):
        try:
            async with asyncio.timeout(CONNECT_SECONDS / len(servers)):
                connection = await _connect(servers[at % len(servers)], history, settings or {}, command_seconds)
        except Busy as error:
            failure = error
            continue
        except LOST as error:
            failure = failure or error
            continue
        if history is not None:
            history.server = at % len(servers)
        return connection
    assert failure is not None
    raise failure


def servers_of(dsn: str) -> list[str]:
    """A DSN for each server of ``dsn`` (postgresql://one:5432,two:5432/database)."""
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")] if hosts else [dsn]


async def _connect(
    dsn: str, history: History | None, settings: dict[str, str], command_seconds: float
) -> asyncpg.Connection:
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS,
        command_timeout=command_seconds,
        statement_cache_size=512,
        max_cached_statement_lifetime=0,
        target_session_attrs=None if "target_session_attrs" in dsn else "read-write",
        server_settings={
            "application_name": "postclock",
            "statement_timeout": str(STATEMENT_SECONDS * 1000),
            "lock_timeout": str(LOCK_SECONDS * 1000),
            "idle_in_transaction_session_timeout": str(IDLE_SECONDS * 1000),
            "jit": "off",
            # A process that is frozen, or a machine without power, while it is being sent something: no other timeout ends that.
            "tcp_user_timeout": str(IDLE_SECONDS * 1000),
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            **settings,
        },
    )
    if history is not None:
        try:
            await history.check(connection)
        except BaseException:
            connection.terminate()
            raise
    return connection


WRITING: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""For the statements by id: plans are kept from the time when tables were nearly empty, and must hold when they are not."""

READING: Final = {"max_parallel_workers_per_gather": "0"}
"""A reading shows a page: workers cost more than they bring."""

LOST: Final[tuple[type[BaseException], ...]] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""The connection is of no use any more, or cannot be had: another one may be."""

TROUBLE: Final[tuple[type[BaseException], ...]] = (
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
)
"""The connection stands, but the transaction failed for no fault of whoever asked for it."""


def busy_of(error: BaseException) -> Busy:
    """What a caller hears of trouble with the database."""
    if isinstance(error, Busy):
        return error
    if isinstance(error, asyncpg.DiskFullError):
        told = Busy("the database's disk is full", retry_after=5, status=507)
    elif isinstance(error, asyncpg.QueryCanceledError | asyncpg.LockNotAvailableError):
        told = Busy("the database took longer than it may", retry_after=RETRY_AFTER)
    else:
        told = Busy("the database does not answer", retry_after=RETRY_AFTER)
    told.__cause__ = error
    return told


def changed(status: Any) -> int:
    """How many rows a statement changed, from its status ("UPDATE 3")."""
    return int(str(status).rpartition(" ")[2])
