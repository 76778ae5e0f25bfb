"""The process's pulse: heartbeats, a look at other lives, and word of what became ready, on connections of their own.

They must not wait behind mail. Word goes out after the commit it is about (inside it, it cost seven times as much), at most one
in 20 ms; one that is lost costs at most a second, until somebody looks by himself.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from postclock.core.clock import Clock
from postclock.runtime.log import get_logger
from postclock.store.postgres.connection import LOST, WRITING, History, busy_of, connect
from postclock.store.postgres.loop_thread import LoopThread

T = TypeVar("T")

CHANNEL: Final = "postclock_ready"
GATHER_SECONDS: Final = 0.02
NAP_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 5.0
"""A server that is silent for so long is gone: the next beat has to find its successor before others take this process for dead."""
ASK_SECONDS: Final = 30.0
"""How often the listening connection is asked whether it still stands."""
_log = get_logger("store")


class Pulse:
    """Runs in a thread of its own: no amount of mail makes a beat late. ``heard(ms)`` is called there with what others told of."""

    def __init__(
        self, thread: LoopThread, dsn: str, clock: Clock, history: History, heard: Callable[[int], None]
    ) -> None:
        self._thread = thread
        self._dsn = dsn
        self._clock = clock
        self._history = history
        self._heard = heard
        self._connection: asyncpg.Connection | None = None
        self._turns = history.turns
        self._turn = asyncio.Lock()
        self._earliest: int | None = None
        self._news = asyncio.Event()
        self._closing = False
        self._cut = asyncio.Event()
        self._ended = asyncio.Event()

    async def call(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """``run`` for callers in other loops."""
        return await self._thread.call(self.run(work))

    async def run(self, work: Callable[[asyncpg.Connection], Awaitable[T]], seconds: float | None = None) -> T:
        """Run ``work`` on the pulse's own connection, for so long at most (five seconds unless told). Raises Busy."""
        async with self._turn:
            try:
                if self._connection is not None and self._turns != self._history.turns:
                    self._connection.terminate()
                if self._connection is None or self._connection.is_closed():
                    self._turns = self._history.turns
                    self._connection = await connect(self._dsn, self._history, settings=WRITING)
                # Cut rather than cancelled: a network that is silent would not answer a cancel either.
                over = asyncio.get_running_loop().call_later(
                    PATIENCE_SECONDS if seconds is None else seconds, self._connection.terminate
                )
                try:
                    return await work(self._connection)
                finally:
                    over.cancel()
            except (asyncpg.PostgresError, *LOST) as error:
                if self._connection is not None and isinstance(error, LOST):
                    self._connection.terminate()
                    self._connection = None
                raise busy_of(error) from error

    def tell(self, at: int) -> None:
        """Something is ready at ``at``: the others hear of it soon. From any thread."""
        self._thread.loop.call_soon_threadsafe(self._tell, at)

    def _tell(self, at: int) -> None:
        self._earliest = at if self._earliest is None else min(at, self._earliest)
        self._news.set()

    async def run_telling(self) -> None:
        """Send word until closed; a task of its loop."""
        while not self._closing:
            await self._news.wait()
            self._news.clear()
            at, self._earliest = self._earliest, None
            if at is not None:
                with contextlib.suppress(Exception):  # lost word is found by the next look
                    await self.run(lambda c: c.execute("SELECT pg_notify($1, $2)", CHANNEL, str(at)))  # noqa: B023
            await self._clock.sleep(GATHER_SECONDS)

    async def run_listening(self) -> None:
        """Listen until closed, and again on a new connection when one breaks; a task of its loop."""
        while not self._closing:
            connection: asyncpg.Connection | None = None
            try:
                self._cut.clear()
                connection = await connect(self._dsn, self._history)
                connection.add_termination_listener(lambda _: self._cut.set())
                await connection.add_listener(CHANNEL, self._notified)
                self._heard(0)  # what was told while nobody listened
                while not (self._ended.is_set() or self._cut.is_set()):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(ASK_SECONDS):
                            await self._cut.wait()
                    if not self._cut.is_set():
                        await connection.execute("SELECT 1")
            except Exception as error:  # noqa: BLE001  (whatever it was: listen again)
                _log.debug("not listening", error=str(error))
            if connection is not None:
                connection.terminate()
            if not self._closing:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(NAP_SECONDS):
                        await self._ended.wait()

    def _notified(self, _connection: Any, pid: int, _channel: str, payload: str) -> None:
        own = (
            self._connection is not None
            and not self._connection.is_closed()
            and self._connection.get_server_pid() == pid
        )
        if payload.isdigit() and not own:
            self._heard(int(payload))

    async def close(self) -> None:
        """End the loops and the connection."""
        self._closing = True
        self._ended.set()
        self._cut.set()
        self._news.set()
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.terminate()
