"""The database that a run is given: looked at before, told to be full for a while, and left without a trace of that."""

from typing import Final

import asyncpg

from postclock.core.errors import PostclockError

FULL: Final = "53100"
"""PostgreSQL's disk_full (its manual, appendix A)."""
FILLED: Final = ("submissions", "queue")
NAME: Final = "postclock_torture_disk_full"
CONNECT_SECONDS: Final = 20.0
RELIEF_TRIES: Final = 5
"""Dropping the triggers waits for their tables, and may be chosen as a deadlock's victim."""


class NotEmpty(PostclockError):
    """The database holds somebody's mail."""


class CannotReach(PostclockError):
    """The database does not answer, or does not let us in."""


class Database:
    """Its own way to the database of ``url``, beside the service's."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def check_empty(self) -> None:
        """Raises NotEmpty when there are messages in it, CannotReach when it does not answer."""
        try:
            connection = await self._connect()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise CannotReach(f"--store: {error or type(error).__name__}") from error
        try:
            if await connection.fetchval("SELECT to_regclass('messages') IS NOT NULL") and await connection.fetchval(
                "SELECT EXISTS (SELECT FROM messages)"
            ):
                raise NotEmpty("--store: this database holds messages; torture needs one of its own, and empty")
        finally:
            await connection.close(timeout=CONNECT_SECONDS)

    async def fill(self) -> None:
        """From now on every new row is refused as by a full disk."""
        connection = await self._connect()
        try:
            await connection.execute(
                f"CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '{FULL}'; END $$"
            )
            for table in FILLED:
                await connection.execute(
                    f"CREATE OR REPLACE TRIGGER {NAME} BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {NAME}()"
                )
        finally:
            await connection.close(timeout=CONNECT_SECONDS)

    async def relieve(self) -> None:
        """There is room again. May be called without ``fill``; tried again while the database is in trouble."""
        for left in reversed(range(RELIEF_TRIES)):
            try:
                await self._relieve()
            except (asyncpg.PostgresError, OSError):
                if not left:
                    raise
            else:
                return

    async def _relieve(self) -> None:
        connection = await self._connect()
        try:
            await connection.execute(f"DROP FUNCTION IF EXISTS {NAME}() CASCADE")
        finally:
            await connection.close(timeout=CONNECT_SECONDS)

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self._url, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS)
