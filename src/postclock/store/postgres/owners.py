"""Owners on PostgreSQL: a process's life in the store, told by its heartbeat and by nothing else.

No clock says that a process is dead: another one sees its beat stand still, and raises its epoch. From then on it may neither
claim nor depart, however long it was frozen and whatever time it thinks it is.
"""

from typing import Final

import asyncpg

from postclock.core.ids import MAX_NODE
from postclock.store.postgres.locks import OWNERS
from postclock.store.records import SILENCE_MS, SILENT_SINCE, Life, Owner

FIRST_EPOCH: Final = 1
"""A life begins with it; the statement ``owner_is_alive`` knows it too."""
WRITERS: Final = 4
"""Connections of a process that leave a mark: results, claims, accepts, the slow tables."""
KEEP_MS: Final = 86_400_000
"""An ended life is remembered for a day, and its node is not leased again meanwhile: a frozen process may still make ids."""
_FREE: Final = (
    "SELECT n FROM generate_series(0, $1::int) AS n WHERE NOT EXISTS (SELECT 1 FROM owners WHERE node = n) "
    "ORDER BY n <= (SELECT coalesce((SELECT node FROM owners ORDER BY id DESC LIMIT 1), -1)), n LIMIT 1"
)
_OLDEST: Final = "SELECT node FROM owners WHERE epoch > 1 ORDER BY beat_at LIMIT 1"


async def register(connection: asyncpg.Connection, now: int, *, api: bool) -> tuple[Owner, int | None]:
    """Begin a life with a node of its own; and when any was last heard of (UTC milliseconds)."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", OWNERS)
        last = await _last_heard(connection, now)
        await _forget(connection, now - KEEP_MS)
        node = await connection.fetchval(_FREE, MAX_NODE - 1)
        if node is None:
            node = await connection.fetchval(_OLDEST)
        ident = await connection.fetchval(
            "INSERT INTO owners (epoch, beat, node, started_at, beat_at, api) VALUES (1, 0, $1, $2, $2, $3) RETURNING id",
            node,
            now,
            int(api),
        )
        await add_marks(connection, ident, now)
    return Owner(ident, FIRST_EPOCH, node), last


async def _last_heard(connection: asyncpg.Connection, now: int) -> int | None:
    """When any process was last heard of. After a long silence every process hears the same, until one says that it has seen to it."""
    last: int | None = await connection.fetchval("SELECT max(beat_at) FROM owners")
    if last is not None and now - last >= SILENCE_MS:
        await connection.execute(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            SILENT_SINCE,
            str(last),
        )
    noted = await connection.fetchval("SELECT value FROM meta WHERE key = $1 AND value <> ''", SILENT_SINCE)
    return last if noted is None else int(noted)


async def add_marks(connection: asyncpg.Connection, owner: int, now: int) -> None:
    """A place for the mark of each of the owner's writers."""
    await connection.execute(
        "INSERT INTO groups (owner, writer, seq, at) SELECT $1, w, 0, $2 FROM generate_series(0, $3::int - 1) AS w",
        owner,
        now,
        WRITERS,
    )


async def drop_marks(connection: asyncpg.Connection, owner: int) -> None:
    """The owner writes nothing any more."""
    await connection.execute("DELETE FROM groups WHERE owner = $1", owner)


async def _forget(connection: asyncpg.Connection, before: int) -> None:
    await connection.execute(
        "DELETE FROM owners o WHERE epoch > 1 AND beat_at < $1 AND NOT EXISTS (SELECT 1 FROM claims c WHERE c.owner = o.id)",
        before,
    )
    await connection.execute(
        "DELETE FROM groups g WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM owners o WHERE o.id = g.owner)", before
    )


async def beat(connection: asyncpg.Connection, owner: Owner, now: int) -> bool:
    """Say "I live"; False when this life was ended by another."""
    status = await connection.execute(
        "UPDATE owners SET beat = beat + 1, beat_at = $1 WHERE id = $2 AND epoch = $3", now, owner.id, owner.epoch
    )
    return bool(status == "UPDATE 1")


async def lives(connection: asyncpg.Connection) -> list[Life]:
    """Every life that goes on."""
    found = await connection.fetch("SELECT id, epoch, beat, api FROM owners WHERE epoch = 1 ORDER BY id")
    return [Life(ident, epoch, beat, api != 0) for ident, epoch, beat, api in found]


async def end_life(connection: asyncpg.Connection, life: Life) -> bool:
    """End a life whose beat is still the one that was seen. Waits for every transaction that counts on it."""
    async with connection.transaction():
        found = await connection.fetchval(
            "SELECT 1 FROM owners WHERE id = $1 AND epoch = $2 AND beat = $3 FOR UPDATE",
            life.owner,
            life.epoch,
            life.beat,
        )
        if found is not None:
            await connection.execute("UPDATE owners SET epoch = epoch + 1 WHERE id = $1", life.owner)
    return found is not None


async def end_own(connection: asyncpg.Connection, owner: Owner) -> None:
    """The process stops: nobody has to watch it for ten seconds."""
    await connection.execute("UPDATE owners SET epoch = epoch + 1 WHERE id = $1 AND epoch = $2", owner.id, owner.epoch)
    await drop_marks(connection, owner.id)
