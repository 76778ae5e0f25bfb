"""Bringing the file's schema up to date: numbered files that only widen, each in one transaction.

``version`` is the newest migration that ran; ``oldest_app`` is the oldest application schema that still fits, so that
releases can roll one process at a time.
"""

import re
from importlib.resources import files
from typing import Final

import apsw

from postclock.core.errors import PostclockError

PACKAGE: Final = "postclock.store.sqlite.migrations"
_NUMBER: Final = re.compile(r"^(\d{4})_\w+\.sql$")
_OLDEST: Final = re.compile(r"^-- oldest_app: (\d+)$", re.MULTILINE)


class SchemaMismatch(PostclockError):
    """The file's schema and this application do not fit."""


def migrations() -> list[tuple[int, str]]:
    """(number, SQL) of every migration, in order."""
    found = [(int(m[1]), f.read_text("utf-8")) for f in files(PACKAGE).iterdir() if (m := _NUMBER.match(f.name))]
    return sorted(found)


def newest() -> int:
    """The version this application brings."""
    return migrations()[-1][0]


def version_of(connection: apsw.Connection) -> tuple[int, int]:
    """(version, oldest_app) of the file; zeros when it is empty."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchall()
    if not there:
        return 0, 0
    rows = connection.execute("SELECT key, value FROM meta WHERE key IN ('version', 'oldest_app')").fetchall()
    notes = {str(key): int(str(value)) for key, value in rows}
    return notes.get("version", 0), notes.get("oldest_app", 0)


def check(connection: apsw.Connection) -> bool:
    """Whether nothing is left to do; raises SchemaMismatch when this application is too old for the file."""
    version, oldest_app = version_of(connection)
    if newest() < oldest_app:
        raise SchemaMismatch(
            f"the store needs an application of schema {oldest_app} or newer; this one brings {newest()}"
        )
    return version >= newest()


def migrate(connection: apsw.Connection) -> int:
    """Run what is missing; how many ran. Raises SchemaMismatch when this application is too old for the file."""
    if check(connection):
        return 0  # a command must not wait for the service's writer only to learn that nothing is left to do
    ran = 0
    for number, sql in migrations():
        connection.execute("BEGIN IMMEDIATE")
        try:
            if version_of(connection)[0] < number:
                connection.execute(sql)
                oldest = _OLDEST.search(sql)
                notes = {"version": number} | ({"oldest_app": int(oldest[1])} if oldest else {})
                for key, value in notes.items():
                    connection.execute(
                        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                        (key, str(value)),
                    )
                ran += 1
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return ran
