"""Bringing the file's schema up to date: numbered files that only widen, each in one transaction."""

from typing import Final

import apsw

from postclock.store import migrations as numbered
from postclock.store.migrations import Migration, SchemaMismatch

__all__ = ["PACKAGE", "SchemaMismatch", "check", "migrate", "migrations", "newest", "version_of"]

PACKAGE: Final = "postclock.store.sqlite.migrations"


def migrations() -> list[Migration]:
    """Every migration of this application, in order."""
    return numbered.migrations(PACKAGE)


def newest() -> int:
    """The version this application brings."""
    return migrations()[-1].number


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
    return numbered.is_done(*version_of(connection), newest())


def migrate(connection: apsw.Connection) -> int:
    """Run what is missing; how many ran. Raises SchemaMismatch when this application is too old for the file."""
    if check(connection):
        return 0  # a command must not wait for the service's writer only to learn that nothing is left to do
    ran = 0
    for migration in migrations():
        connection.execute("BEGIN IMMEDIATE")
        try:
            if version_of(connection)[0] < migration.number:
                connection.execute(migration.sql)
                for key, value in migration.notes.items():
                    connection.execute(
                        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                        (key, value),
                    )
                ran += 1
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return ran
