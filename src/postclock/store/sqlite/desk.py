"""The desk of the SQLite store: jobs of the slow tables go into the writer's groups, readings to the readers' threads."""

from collections.abc import Callable
from typing import Final, TypeVar

from postclock.store.sqlite.readers import Readers
from postclock.store.sqlite.writer import Kind, Writer
from postclock.store.tables.desk import DEADLINE_SECONDS, Run, Words, Writing

T = TypeVar("T")

WORDS: Final = Words(
    message="CROSS JOIN messages m ON m.id = q.id",
    queue="LEFT JOIN queue q ON q.id = m.id",
    submission="CROSS JOIN submissions s ON s.id = m.submission",
    recipient="m.id IN (SELECT id FROM messages WHERE rcpt = ? UNION ALL SELECT message FROM recipients WHERE address = ?)",
    find="instr",
    bytewise="BINARY",
    unlocked="",
)
"""SQLite takes CROSS JOIN as it stands, the first table first."""


class SqliteDesk:
    """store.tables.desk.Desk. All jobs share one writer: none runs beside another."""

    words: Final = WORDS

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def read(self, read: Callable[[Run], T], *, seconds: float = DEADLINE_SECONDS) -> T:
        """See Desk."""
        return await self._readers.run(read, seconds=seconds)

    async def write(self, job: Callable[[Writing], T], rows: int = 1, *, bulk: bool = False) -> T:
        """See Desk."""
        return await self._writer.run(Kind.bulk if bulk else Kind.accept, job, rows)
