"""The desk on PostgreSQL: what the slow tables and the readings work at.

Their functions are synchronous and written once for both backends; here they run in a worker thread and wait there for each
statement, which runs in the store's loop. That costs some 0.1 ms a statement, and nobody's mail waits for it.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count
from typing import Any, Final, TypeVar

import asyncpg

from postclock.core.errors import Busy, Invalid
from postclock.runtime.log import get_logger
from postclock.store.postgres.connection import ANSWER_SECONDS, busy_of, changed
from postclock.store.postgres.locks import DESK
from postclock.store.postgres.loop_thread import LoopThread
from postclock.store.postgres.readers import Readers
from postclock.store.postgres.transactor import Transactor
from postclock.store.tables.desk import DEADLINE_SECONDS, Run, Words, Writing

T = TypeVar("T")

WORKERS: Final = 8
_log = get_logger("store")
BEGIN_ALONE: Final = f"BEGIN; SELECT pg_advisory_xact_lock({DESK})"
"""A job looks first and writes then: no other one of any process does so meanwhile. The lock comes before every other."""
WORDS: Final = Words(
    message="JOIN LATERAL (SELECT * FROM messages WHERE id = q.id AND week = q.week LIMIT 1) m ON true",
    queue="LEFT JOIN LATERAL (SELECT * FROM queue WHERE id = m.id LIMIT 1) q ON true",
    submission="JOIN LATERAL (SELECT * FROM submissions WHERE id = m.submission AND week >= m.week LIMIT 1) s ON true",
    recipient="m.id = ANY (ARRAY(SELECT id FROM messages WHERE rcpt = ? UNION ALL SELECT message FROM recipients WHERE address = ?))",
    find="strpos",
    bytewise='"C"',
    unlocked="FOR UPDATE SKIP LOCKED",
)
"""LATERAL with LIMIT is looked up row by row; with plain joins the planner read whole tables to show one page (140 ms, not 13)."""


@lru_cache(maxsize=512)
def numbered(sql: str) -> str:
    """The statement with ``$1``, ``$2``, … for each ``?``."""
    numbers = count(1)
    return "".join(f"${next(numbers)}" if part == "?" else part for part in _parts(sql))


def _parts(sql: str) -> Iterable[str]:
    head, *rest = sql.split("?")
    yield head
    for part in rest:
        yield "?"
        yield part


class _AtWork:
    """A transaction, or a snapshot, as a synchronous function sees it."""

    def __init__(self, connection: asyncpg.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self.ready_at: int | None = None

    def rows(self, sql: str, args: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        if any(isinstance(value, str) and "\0" in value for value in args):
            return []  # no text here can have that character
        work = self._connection.fetch(numbered(sql), *args)
        return [tuple(r) for r in asyncio.run_coroutine_threadsafe(work, self._loop).result()]

    def one(self, sql: str, args: Sequence[Any] = (), /) -> tuple[Any, ...] | None:
        found = self.rows(sql, args)
        return found[0] if found else None

    def do(self, sql: str, args: Sequence[Any] = (), /) -> int:
        if sql.startswith("UPDATE tenants"):  # whose id comes last: in turn with everybody who shares the row
            self.rows("SELECT pg_advisory_xact_lock(?)", (-args[-1],))
        work = self._connection.execute(numbered(sql), *args)
        return changed(asyncio.run_coroutine_threadsafe(work, self._loop).result())

    def many(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        work = self._connection.executemany(numbered(sql), list(rows))
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def ready(self, at: int, /) -> None:
        self.ready_at = at if self.ready_at is None else min(at, self.ready_at)

    def forget_batch(self, ident: int, /) -> None:
        """Nobody keeps flags here."""


class PostgresDesk:
    """store.tables.desk.Desk over the store's loop."""

    def __init__(
        self, thread: LoopThread, readers: Readers, transactor: Transactor, on_ready: Callable[[int], None]
    ) -> None:
        self._thread = thread
        self._readers = readers
        self._transactor = transactor
        self._on_ready = on_ready
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="postclock-desk")

    @property
    def words(self) -> Words:
        """See Desk."""
        return WORDS

    async def read(self, read: Callable[[Run], T], *, seconds: float = DEADLINE_SECONDS) -> T:
        """See Desk."""
        return await self._thread.call(self.read_here(read, seconds))

    async def read_here(self, read: Callable[[Run], T], seconds: float = DEADLINE_SECONDS) -> T:
        """``read`` for who is in the store's loop already."""

        async def work(connection: asyncpg.Connection) -> T:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._workers, read, _AtWork(connection, loop).rows)

        return await self._readers.run(work, seconds)

    async def write(self, job: Callable[[Writing], T], rows: int = 1, *, bulk: bool = False) -> T:
        """See Desk."""

        async def work(connection: asyncpg.Connection, _: str) -> tuple[T, int | None]:
            loop = asyncio.get_running_loop()
            at_work = _AtWork(connection, loop)
            result = await loop.run_in_executor(self._workers, job, at_work)
            return result, at_work.ready_at

        async def written() -> T:
            result, ready_at = await self._transactor.run(work, "BEGIN" if bulk else BEGIN_ALONE)
            if ready_at is not None:
                self._on_ready(ready_at)
            return result

        try:
            async with asyncio.timeout(None if bulk else ANSWER_SECONDS):
                return await self._thread.call(written())
        except TimeoutError:
            raise Busy("the database has not answered yet", retry_after=5) from None
        except asyncpg.DataError as error:
            raise Invalid("A value has something in it that cannot be stored.") from error
        except asyncpg.PostgresError as error:
            _log.exception("what was to be written was refused by the database")
            raise busy_of(error) from error

    def close(self) -> None:
        """End the worker threads."""
        self._workers.shutdown(wait=False)
