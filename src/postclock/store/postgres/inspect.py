"""A look at the PostgreSQL store that changes nothing: schema, indexes, partitions, notes."""

from typing import Final

import asyncpg

from postclock.store.inspection import Inspection
from postclock.store.postgres import migrate
from postclock.store.postgres.weeks import STORAGE, attached

CONNECT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 30.0

_INVALID: Final = """
SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace ORDER BY 1
"""
_LOOSE: Final = """
SELECT c.relname::text FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND NOT i.inhdetachpending
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname ~ $1 AND i.inhrelid IS NULL ORDER BY 1
"""


async def inspect(dsn: str, *, thorough: bool) -> Inspection:
    """What is there; ``thorough`` also names invalid indexes and partitions that hang loose. Never raises for the database's sake."""
    newest = migrate.newest()
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=LOOK_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        return Inspection(there=False, newest=newest, trouble=_told(error))
    try:
        version, oldest_app = await migrate.version_of(connection)
        if not version:
            return Inspection(there=False, newest=newest)
        return Inspection(
            there=True,
            newest=newest,
            version=version,
            oldest_app=oldest_app,
            faults=await _faults(connection) if thorough else (),
            key_check=await connection.fetchval("SELECT value FROM meta WHERE key = 'key_check'"),
            last_beat_at=await connection.fetchval("SELECT max(beat_at) FROM owners"),
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        return Inspection(there=True, newest=newest, trouble=_told(error))
    finally:
        connection.terminate()


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _faults(connection: asyncpg.Connection) -> tuple[str, ...]:
    faults = [f"the index {name} is not valid" for (name,) in await connection.fetch(_INVALID)]
    loose = await connection.fetch(_LOOSE, f"^({'|'.join(STORAGE)})_w[0-9]+$")
    faults += [f"the partition {name} is not attached" for (name,) in loose]
    weeks = await attached(connection)
    for week in sorted(weeks["messages"]):
        faults += [f"week {week} has no partition of {t}" for t in ("recipients", "events") if week not in weeks[t]]
    return tuple(faults)
