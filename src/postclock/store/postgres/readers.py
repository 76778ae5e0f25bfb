"""Readers: a few connections for reading, each read in one snapshot of at most a second or two.

A long snapshot keeps old rows from being cleared away, so every read has a deadline.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from postclock.core.errors import Busy
from postclock.store.postgres.connection import CONNECT_SECONDS, LOST, History, busy_of, connect

T = TypeVar("T")

SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {milliseconds}"


class Readers:
    """The connections; all methods run in the store's loop."""

    def __init__(self, dsn: str, history: History, *, connections: int, settings: dict[str, str]) -> None:
        self._dsn = dsn
        self._history = history
        self._connections = connections
        self._settings = settings
        self._pool: asyncpg.Pool | None = None
        self._turns = history.turns

    async def _opened(self) -> asyncpg.Pool:
        if self._pool is None:

            async def open_one(*_args: Any, **_options: Any) -> asyncpg.Connection:
                return await connect(self._dsn, self._history, settings=self._settings)

            async def leave(_connection: Any) -> None:
                return None

            pool = asyncpg.create_pool(
                min_size=0,
                max_size=self._connections,
                max_inactive_connection_lifetime=60.0,
                connect=open_one,
                reset=leave,
            )
            self._pool = await pool
        assert self._pool is not None
        if self._turns != self._history.turns:
            self._turns = self._history.turns
            await self._pool.expire_connections()
        return self._pool

    async def run(self, read: Callable[[asyncpg.Connection], Awaitable[T]], seconds: float) -> T:
        """``read`` in one snapshot. Raises Busy past the deadline and when the database does not answer."""

        async def in_snapshot(connection: asyncpg.Connection) -> T:
            await connection.execute(SNAPSHOT.format(milliseconds=max(1, round(seconds * 1000))))
            try:
                result = await read(connection)
            except LOST:
                raise
            except Exception:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("ROLLBACK")
            return result

        return await self._bounded(in_snapshot, seconds)

    async def fetch(self, sql: str, *args: Any, seconds: float = 2.0) -> Sequence[Any]:
        """One statement, which is a snapshot of its own. Raises Busy as ``run``."""

        async def one(connection: asyncpg.Connection) -> Sequence[Any]:
            return list(await connection.fetch(sql, *args, timeout=seconds))

        return await self._bounded(one, seconds)

    async def _bounded(self, read: Callable[[asyncpg.Connection], Awaitable[T]], seconds: float) -> T:
        try:
            async with asyncio.timeout(seconds + CONNECT_SECONDS):
                for left in reversed(range(self._connections + 1)):  # each of the pool's may have been cut meanwhile
                    try:
                        return await self._once(read)
                    except TimeoutError:
                        raise
                    except LOST:
                        if not left:
                            raise
        except asyncpg.QueryCanceledError as error:
            raise Busy("the query took longer than it may", retry_after=1) from error
        except (asyncpg.PostgresError, *LOST) as error:
            raise busy_of(error) from error
        raise AssertionError

    async def _once(self, read: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        pool = await self._opened()
        async with pool.acquire() as connection:
            try:
                return await read(connection)
            except BaseException as error:
                if isinstance(error, (asyncio.CancelledError, *LOST)):
                    connection.terminate()  # a network that is silent would not answer a cancel either
                raise

    async def close(self) -> None:
        """Close them."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None
