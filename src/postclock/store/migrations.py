"""Numbered SQL files that bring a schema up to date, as both backends have them: they only widen.

``version`` is the newest migration that ran; ``oldest_app`` is the oldest application schema that still fits, so that
releases can roll one process at a time.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from postclock.core.errors import PostclockError

_NUMBER: Final = re.compile(r"^(\d{4})_\w+\.sql$")
_OLDEST: Final = re.compile(r"^-- oldest_app: (\d+)$", re.MULTILINE)


class SchemaMismatch(PostclockError):
    """The store's schema and this application do not fit."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    sql: str

    @property
    def notes(self) -> dict[str, str]:
        """What ``meta`` says once it ran: the version, and the oldest application that still fits when the file names one."""
        oldest = _OLDEST.search(self.sql)
        return {"version": str(self.number)} | ({"oldest_app": oldest[1]} if oldest else {})


def migrations(package: str) -> list[Migration]:
    """Every migration of a package, in order."""
    found = [
        Migration(int(m[1]), f.read_text("utf-8")) for f in files(package).iterdir() if (m := _NUMBER.match(f.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


def is_done(version: int, oldest_app: int, newest: int) -> bool:
    """Whether nothing is left to do; raises SchemaMismatch when an application that brings ``newest`` is too old."""
    if newest < oldest_app:
        raise SchemaMismatch(
            f"the store needs an application of schema {oldest_app} or newer; this one brings {newest}"
        )
    return version >= newest
