"""Changes of the schema beside traffic: a statement that waits for a lock stands in front of everybody who comes after it.

So each waits a moment, gives up, lets the others through, and comes again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import asyncpg

T = TypeVar("T")

LOCK_SECONDS: Final = 5
TRIES: Final = 6


@asynccontextmanager
async def hasty(connection: asyncpg.Connection, seconds: float = LOCK_SECONDS) -> AsyncIterator[None]:
    """A transaction whose statements wait so long for a lock, and no longer."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {round(seconds * 1000)}")
        yield


async def patiently(step: Callable[[], Awaitable[T]], tries: int = TRIES) -> T:
    """``step``, again while a lock was not to be had; the last time it may raise asyncpg.LockNotAvailableError."""
    for _ in range(tries - 1):
        try:
            return await step()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            continue
    return await step()
