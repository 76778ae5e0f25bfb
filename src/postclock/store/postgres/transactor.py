"""One connection that writes: a transaction either took place or not, and the caller hears which.

Each transaction ends with a mark, its number in table ``groups``, in the same message as COMMIT. When the answer to COMMIT is
lost, the mark says whether it took place: that costs one small row a group and holds on whichever server is primary then.
Nothing is answered from a commit that waits for its standby: such a one is asked again by a second commit.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from postclock.core.clock import Clock
from postclock.core.errors import Busy, PostclockError
from postclock.runtime.log import get_logger
from postclock.store.postgres.connection import LOST, TROUBLE, History, busy_of, connect

T = TypeVar("T")

AGAIN: Final = 6
"""How often a transaction is run again after a deadlock or a cut connection, before its callers hear of it."""
NAPS: Final = (0.02, 0.1, 0.3, 1.0)
"""Seconds between looks at a database that does not answer; the last one stays."""
_log = get_logger("store")


class Forgotten(PostclockError):
    """The store knows nothing of this owner any more: whether its last transaction took place cannot be said."""


class Stale(Exception):
    """A commit was answered, but no standby has it."""


class Transactor:
    """Transactions on one connection, one after the other. ``writer`` numbers it within its owner."""

    def __init__(
        self, dsn: str, clock: Clock, history: History, owner: int, writer: int, settings: dict[str, str] | None = None
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._history = history
        self.owner = owner
        self._writer = writer
        self._settings = settings
        self._connection: asyncpg.Connection | None = None
        self._seq = 0
        self._session: Any = None
        self._doubt = False
        self._turn = asyncio.Lock()
        self.closing = False

    async def run(self, body: Callable[[asyncpg.Connection, str], Awaitable[T]], begin: str = "BEGIN") -> T:
        """Run ``body`` in a transaction that ``begin`` opens; its result once that is durable.

        ``body`` gets the connection and what the database answered to ``begin``. It may be run more than once, after the former
        run was rolled back. Raises Busy when the database is in trouble (nothing took place), and what ``body`` raises (rolled back).
        """
        async with self._turn:
            return await self._run(body, begin)

    async def _run(self, body: Callable[[asyncpg.Connection, str], Awaitable[T]], begin: str) -> T:
        left = AGAIN
        while True:
            left -= 1
            try:
                connection = await self._opened()
            except (asyncpg.PostgresError, *LOST) as error:
                raise busy_of(error) from error
            try:
                result = await body(connection, str(await connection.execute(begin)))
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
                await self._roll_back(connection)
                if left <= 0:
                    raise busy_of(error) from error
                await self._clock.sleep(NAPS[0])  # or it may be back before the other one got what it waited for
                continue
            except LOST as error:
                self._drop()
                if left <= 0 or self.closing:
                    raise busy_of(error) from error
                await self._clock.sleep(NAPS[0])
                continue
            except BaseException as error:
                await self._roll_back(connection)
                if isinstance(error, TROUBLE):
                    raise busy_of(error) from error
                raise
            if await self._commit(connection):
                return result

    async def _commit(self, connection: asyncpg.Connection) -> bool:
        """Whether the transaction took place, for certain and for good."""
        self._seq += 1
        self._doubt = False
        try:
            status = await connection.execute(f"{self._mark()}; COMMIT")
            if self._doubt:
                raise Stale
        except Exception as error:  # whatever it was, the mark knows
            if isinstance(error, asyncpg.PostgresError) and not isinstance(error, LOST):
                await self._roll_back(connection)
                if isinstance(error, TROUBLE):
                    raise busy_of(error) from error
                raise
            _log.warning("the answer to a commit was lost", error=str(error) or type(error).__name__)
            return await self._took_place(connection)
        if status != "COMMIT":
            raise PostclockError(f"the database answered {status} to a commit")
        return True

    def _mark(self) -> str:
        return f"UPDATE groups SET seq = {self._seq} WHERE owner = {self.owner} AND writer = {self._writer}"  # noqa: S608  (integers of ours)

    async def _took_place(self, former: asyncpg.Connection) -> bool:
        """Ask until the database says whether the last transaction took place; if so, until a commit after it stands."""
        pid, started = self._session
        former.terminate()
        self._connection = None
        self._history.look_elsewhere()
        turn = 0
        while True:
            try:
                connection = await self._opened()
                # The former session may be at its COMMIT still, in front of a lock or a standby: first it has to be gone.
                while await connection.fetchval(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
                    pid,
                    started,
                ):
                    await self._clock.sleep(NAPS[0])
                seen = await connection.fetchval(
                    "SELECT seq FROM groups WHERE owner = $1 AND writer = $2", self.owner, self._writer
                )
                if seen is not None and seen != self._seq:
                    return False
                if seen is None:
                    raise Forgotten("this process was forgotten by the store: start it again")
                self._doubt = False
                await connection.execute(self._mark())
                if not self._doubt:
                    return True
            except (Busy, asyncpg.PostgresError, *LOST) as error:
                if self.closing:
                    raise busy_of(error) from error
                _log.warning("whether a commit took place is not known yet", reason=str(error) or type(error).__name__)
            self._drop()
            await self._clock.sleep(NAPS[min(turn, len(NAPS) - 1)])
            turn += 1

    async def _opened(self) -> asyncpg.Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self._drop()
        connection = await connect(self._dsn, self._history, settings=self._settings)
        connection.add_log_listener(self._noticed)
        self._session = await connection.fetchrow(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        # Set to less by the role or the database, an answer would be given before the mail is on disk.
        if await connection.fetchval("SHOW synchronous_commit") in ("off", "local"):
            await connection.execute("SET synchronous_commit = on")
        self._connection = connection
        return connection

    def _noticed(self, _connection: Any, message: Any) -> None:
        # "The transaction has already committed locally, but might not have been replicated to the standby."
        if (
            getattr(message, "severity_en", message.severity) == "WARNING"
            and "replicat" in f"{message.message} {message.detail}"
        ):
            self._doubt = True

    async def _roll_back(self, connection: asyncpg.Connection) -> None:
        if connection.is_closed():
            self._connection = None
            return
        try:
            async with asyncio.timeout(1.0):
                await connection.execute("ROLLBACK")
        except (asyncpg.PostgresError, *LOST):
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Close the connection."""
        self.closing = True
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                async with asyncio.timeout(2.0):
                    await connection.close()
            except (asyncpg.PostgresError, *LOST):
                connection.terminate()
