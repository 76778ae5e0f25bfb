"""Retention on PostgreSQL: bodies go row by row in slices, history goes by whole weeks.

One process of all has a round at a time: the others find the advisory lock taken, and leave it to that one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import asyncpg

from postclock.runtime.log import get_logger
from postclock.store.postgres.connection import changed
from postclock.store.postgres.locks import RETIRE
from postclock.store.postgres.old_weeks import SQL, drop_events, drop_weeks, mark_of, of_week
from postclock.store.postgres.weeks import attached
from postclock.store.retention import (
    PAGE,
    SLICE,
    Cutoffs,
    Read,
    Retired,
    Seen,
    StoredSubmission,
    Walked,
    blobs_before,
    decode_ids,
    emptied,
    walk,
    walk_submissions,
)

SUBMISSIONS: Final = 200
"""Submissions read at once: each may be as large as a mail."""
SUBMISSIONS_MARK: Final = "bare_submissions"
_log = get_logger("store")


async def retire(
    connection: asyncpg.Connection, now: int, keep_messages: int, keep_bodies: int, keep_events: int
) -> Retired:
    """One round; durations in milliseconds. Nothing when another process is at it. The connection must not be in a transaction.

    Raises asyncpg's errors; what went until then stays gone, and the next round goes on from there.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", RETIRE):
        return Retired()
    try:
        return await _round(connection, Cutoffs.at(now, keep_messages, keep_bodies, keep_events))
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", RETIRE)


async def _round(connection: asyncpg.Connection, cutoffs: Cutoffs) -> Retired:
    done = Retired()
    kept = await _bodies(connection, cutoffs.bodies)
    done.bodies = kept.taken
    if kept.sure:
        done.submissions = await _submissions(connection, cutoffs.bodies, kept.needed)
        done.blobs = await _blobs(connection, cutoffs.bodies, kept.oldest)
    done.keys = await _keys(connection, cutoffs)
    try:
        if cutoffs.events > cutoffs.messages:
            done.events = await drop_events(connection, cutoffs)
        await drop_weeks(connection, cutoffs, done)
    except (TimeoutError, asyncpg.LockNotAvailableError) as error:
        # A partition that is detached by half is out of everybody's way; the next round goes on from there.
        _log.warning("weeks that are no longer kept wait for a transaction that lasts long", error=type(error).__name__)
    return done


async def _bodies(connection: asyncpg.Connection, cutoff: int) -> Walked:
    """Also weeks to come: a message that was cancelled long before it was due lies there."""
    walked = Walked()
    for week in sorted((await attached(connection))["messages"]):
        mark = await _mark(connection, mark_of(week))
        new = await walk(_reader(connection, week, cutoff), _taker(connection, week, cutoff), cutoff, mark, walked)
        await _set_mark(connection, mark_of(week), mark, new)
    return walked


def _reader(connection: asyncpg.Connection, week: int, cutoff: int) -> Callable[[int], Awaitable[Read | None]]:
    async def read(after: int) -> Read | None:
        last, oldest_at = await connection.fetchrow(of_week("page", week), after, PAGE)
        if last is None:
            return None
        found = await connection.fetch(of_week("with_body", week), cutoff, after, last)
        return Read(last, oldest_at, [Seen._make(r) for r in found])

    return read


def _taker(connection: asyncpg.Connection, week: int, cutoff: int) -> Callable[[Sequence[int]], Awaitable[int]]:
    async def take(idents: Sequence[int]) -> int:
        return changed(await connection.execute(of_week("drop_bodies", week), list(idents), cutoff))

    return take


async def _submissions(connection: asyncpg.Connection, cutoff: int, needed: set[int]) -> int:
    async def read(after: int) -> Sequence[StoredSubmission]:
        return [StoredSubmission._make(r) for r in await connection.fetch(SQL["submissions"], after, SUBMISSIONS)]

    async def take(free: Sequence[StoredSubmission]) -> int:
        bare = [(content, s.id, s.week) for s in free if (content := emptied(s.content)) is not None]
        await connection.executemany(SQL["empty_submission"], bare)
        return len(bare)

    mark = await _mark(connection, SUBMISSIONS_MARK)
    taken, new = await walk_submissions(read, take, cutoff, mark, needed)
    await _set_mark(connection, SUBMISSIONS_MARK, mark, new)
    return taken


async def _blobs(connection: asyncpg.Connection, cutoff: int, oldest: dict[int, int]) -> int:
    """Attachments that no message with a body has: decided by their last use, tenant by tenant."""
    taken = 0
    after: Sequence[object] = (-1, -1, b"")
    while found := await connection.fetch(SQL["blobs"], blobs_before(-1, cutoff, {}), *after, SLICE):
        for used_at, tenant, sha256 in found:
            if used_at < blobs_before(tenant, cutoff, oldest):
                taken += changed(await connection.execute(SQL["drop_blob"], tenant, sha256, used_at))
        after = tuple(found[-1])
    return taken


async def _keys(connection: asyncpg.Connection, cutoffs: Cutoffs) -> int:
    taken = 0
    after: Sequence[object] = (-1, -1, -1, "", "")
    while found := await connection.fetch(SQL["keys"], cutoffs.keys, *after, SLICE):
        free = []
        for *key, ids in found:
            named = decode_ids(ids)
            weeks = list({week for week, _ in named})
            if not await connection.fetchval(
                SQL["is_unsettled"], [ident for _, ident in named], weeks, cutoffs.keys_settled
            ):
                free.append((*key[1:], key[0]))
        await connection.executemany(SQL["drop_key"], free)
        taken += len(free)
        after = tuple(found[-1])[:5]
    return taken


async def _mark(connection: asyncpg.Connection, key: str) -> int:
    found = await connection.fetchval(SQL["mark"], key)
    return int(found) if found is not None else 0


async def _set_mark(connection: asyncpg.Connection, key: str, old: int, new: int) -> None:
    if new != old:
        await connection.execute(SQL["set_mark"], key, str(new))
