"""A look at the SQLite file that changes nothing: schema, integrity, notes."""

from pathlib import Path
from typing import Final

import apsw

from postclock.store.inspection import Inspection
from postclock.store.sqlite import migrate
from postclock.store.sqlite.connection import open_file

MOST_FAULTS: Final = 20
CHECK_STEPS: Final = 2_000_000_000
"""Virtual machine steps that the integrity check may take: some minutes, a file of many GiB."""


def inspect(path: Path, *, thorough: bool) -> Inspection:
    """What is there; ``thorough`` runs SQLite's quick check, which reads the whole file."""
    newest = migrate.newest()
    if not path.exists():
        return Inspection(there=False, newest=newest)
    try:
        connection = open_file(path, read_only=True)
    except apsw.Error as error:
        return Inspection(there=True, newest=newest, trouble=str(error))
    try:
        version, oldest_app = migrate.version_of(connection)
        return Inspection(
            there=True,
            newest=newest,
            version=version,
            oldest_app=oldest_app,
            faults=_faults(connection) if thorough else (),
            key_check=_text(connection, "SELECT value FROM meta WHERE key = 'key_check'") if version else None,
            last_beat_at=_number(connection, "SELECT max(beat_at) FROM owners") if version else None,
        )
    except apsw.Error as error:
        return Inspection(there=True, newest=newest, trouble=str(error))
    finally:
        connection.close()


def _faults(connection: apsw.Connection) -> tuple[str, ...]:
    connection.set_progress_handler(lambda: True, CHECK_STEPS)
    try:
        lines = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({MOST_FAULTS})")]
    except apsw.InterruptError:
        lines = ["the integrity check took too long and was given up"]
    finally:
        connection.set_progress_handler(None)
    return () if lines == ["ok"] else tuple(lines)


def _text(connection: apsw.Connection, sql: str) -> str | None:
    row = connection.execute(sql).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def _number(connection: apsw.Connection, sql: str) -> int | None:
    text = _text(connection, sql)
    return None if text is None else int(text)
