"""Opening the file: the same settings for the writer, the readers and the commands that work beside the service."""

import threading
from pathlib import Path
from typing import Final

import apsw

# Before this release the WAL could be reset under a reader and the file corrupted.
OLDEST_LIBRARY: Final = (3, 51, 3)
BUSY_MS: Final = 10_000  # how long a command waits for the service's writer, and the writer for a command
LOOK_SECONDS: Final = 0.001
"""How often who waits for a lock looks. SQLite's own waiting grows to 100 ms: beside a writer that is never idle, whose gaps
are far shorter, a command then waited for seconds."""
CACHE_KIB: Final = 64 * 1024
READER_CACHE_KIB: Final = 8 * 1024  # readers are several, and the system's own cache stands behind them


def check_library(version: str | None = None) -> None:
    """Raises RuntimeError when the SQLite library is older than the one we trust."""
    found = version or apsw.sqlite_lib_version()
    if tuple(int(p) for p in found.split(".")) < OLDEST_LIBRARY:
        wanted = ".".join(map(str, OLDEST_LIBRARY))
        raise RuntimeError(
            f"SQLite {found} may corrupt its WAL; {wanted} or newer is needed (the apsw wheel brings one)"
        )


def be_patient(connection: apsw.Connection, milliseconds: int) -> None:
    """Wait at least so long for a lock that another holds, looking every millisecond, before BusyError is raised."""
    pause = threading.Event()

    def look_again(looks: int) -> bool:
        if looks * LOOK_SECONDS * 1000 >= milliseconds:
            return False
        pause.wait(LOOK_SECONDS)
        return True

    connection.set_busy_handler(look_again)


def open_file(path: Path, *, read_only: bool = False) -> apsw.Connection:
    """A connection with WAL, synchronous=FULL and foreign keys off (the writer checks what it promises)."""
    check_library()
    connection = apsw.Connection(str(path), statementcachesize=512)
    be_patient(connection, BUSY_MS)
    # Or a statement whose plan may depend on a value is prepared anew for every value: 20 us an event, 60 with its triggers, not 5.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute("PRAGMA journal_mode=WAL").get  # noqa: B018  (steps the pragma)
    connection.execute(
        f"PRAGMA synchronous=FULL; PRAGMA cache_size=-{READER_CACHE_KIB if read_only else CACHE_KIB}; PRAGMA temp_store=MEMORY"
    )
    if read_only:
        connection.execute("PRAGMA query_only=1")
    return connection
