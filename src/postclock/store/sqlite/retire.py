"""Retention on SQLite: rows go one by one, in slices behind everything urgent, since there are no partitions to drop.

Readers find what is no longer kept, the writer looks at each row once more and takes it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from postclock.core.lifecycle import State
from postclock.store.queries import load
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
from postclock.store.steps.counting import COLUMNS, tenant_scope
from postclock.store.tables.desk import Desk, Run, Writing

SQL: Final = load("postclock.store.sqlite.sql", "retire")
MESSAGES: Final = 100
"""Messages that go in one job, each with its recipients and events."""
SUBMISSIONS: Final = 200
"""Submissions read at once: each may be as large as a mail."""


class Retirement:
    """One round over a desk."""

    def __init__(self, desk: Desk, cutoffs: Cutoffs) -> None:
        self._desk = desk
        self._cutoffs = cutoffs

    async def run(self) -> Retired:
        """Drop everything that is no longer kept. Raises Busy; what went until then stays gone."""
        c = self._cutoffs
        done = Retired()
        kept = await self._bodies()
        done.bodies = kept.taken
        if kept.sure:
            done.submissions += await self._submissions("bare_submissions", c.bodies, kept.needed, drop=False)
            done.blobs = await self._blobs(kept)
        if c.events > c.messages:
            done.events = await self._events()
        left = await self._messages()
        done.messages = left.taken
        if left.sure:
            done.submissions += await self._submissions(None, c.messages, left.needed, drop=True)
        done.keys = await self._keys()
        return done

    # Walks over messages

    async def _bodies(self) -> Walked:
        cutoff, walked = self._cutoffs.bodies, Walked()

        async def take(idents: Sequence[int]) -> int:
            def job(tx: Writing) -> int:
                return sum(tx.do(SQL["drop_body"], (ident, cutoff)) for ident in idents)

            return await self._desk.write(job, len(idents), bulk=True)

        mark = await self._mark("bare")
        await self._set_mark("bare", mark, await walk(self._reader("with_body", cutoff), take, cutoff, mark, walked))
        return walked

    async def _events(self) -> int:
        """Events alone. A message that is retried later has new ones, which go with it."""
        cutoff, walked = self._cutoffs.events, Walked()

        async def take(idents: Sequence[int]) -> int:
            def job(tx: Writing) -> int:
                found = [ident for ident in idents if tx.rows(SQL["is_settled"], (ident, cutoff))]
                for ident in found:
                    tx.do(SQL["drop_events"], (ident,))
                return len(found)

            return await self._desk.write(job, len(idents) * 5, bulk=True)

        mark = await self._mark("eventless")
        reader = self._reader("with_events", cutoff)
        await self._set_mark("eventless", mark, await walk(reader, take, cutoff, mark, walked, MESSAGES))
        return walked.taken

    async def _messages(self) -> Walked:
        cutoff, walked = self._cutoffs.messages, Walked()

        async def take(idents: Sequence[int]) -> int:
            return await self._desk.write(
                lambda tx: sum(_drop(tx, i, cutoff) for i in idents), len(idents) * 5, bulk=True
            )

        await walk(self._reader("with_any", cutoff), take, cutoff, 0, walked, MESSAGES)
        return walked

    def _reader(self, name: str, cutoff: int) -> Callable[[int], Awaitable[Read | None]]:
        async def read(after: int) -> Read | None:
            def rows(run: Run) -> Read | None:
                last, oldest_at = run(SQL["page"], (after, PAGE))[0]
                if last is None:
                    return None
                found = run(SQL[name], (cutoff, after, last))
                return Read(last, oldest_at, [Seen._make(r) for r in found])

            return await self._desk.read(rows)

        return read

    # What hangs on them

    async def _submissions(self, key: str | None, cutoff: int, needed: set[int], *, drop: bool) -> int:
        async def read(after: int) -> Sequence[StoredSubmission]:
            return await self._desk.read(
                lambda run: [StoredSubmission._make(r) for r in run(SQL["submissions"], (after, SUBMISSIONS))]
            )

        async def take(free: Sequence[StoredSubmission]) -> int:
            if drop:
                return await self._many("drop_submission", [(s.id,) for s in free])
            bare = [(content, s.id) for s in free if (content := emptied(s.content)) is not None]
            return await self._many("empty_submission", bare)

        mark = 0 if key is None else await self._mark(key)
        taken, new = await walk_submissions(read, take, cutoff, mark, needed)
        if key is not None:
            await self._set_mark(key, mark, new)
        return taken

    async def _blobs(self, kept: Walked) -> int:
        """Attachments that no message with a body has: decided by their last use, tenant by tenant."""
        cutoff, taken = self._cutoffs.bodies, 0
        after: tuple[object, ...] = (-1, -1, b"")

        def read(run: Run) -> list[tuple[Any, ...]]:
            return run(SQL["blobs"], (blobs_before(-1, cutoff, {}), *after, SLICE))

        while found := await self._desk.read(read):
            free = [(t, sha256, at) for at, t, sha256 in found if at < blobs_before(t, cutoff, kept.oldest)]
            taken += await self._many("drop_blob", free)
            after = found[-1]
        return taken

    async def _keys(self) -> int:
        c, taken = self._cutoffs, 0
        after: tuple[object, ...] = (-1, -1, -1, "", "")

        def read(run: Run) -> tuple[list[tuple[object, ...]], tuple[object, ...] | None]:
            found = run(SQL["keys"], (c.keys, *after, SLICE))
            free = [
                (*r[1:5], r[0])
                for r in found
                if not any(run(SQL["is_unsettled"], (ident, c.keys_settled)) for _, ident in decode_ids(r[5]))
            ]
            return free, found[-1][:5] if found else None

        while True:
            free, last = await self._desk.read(read)
            taken += await self._many("drop_key", free)
            if last is None:
                return taken
            after = last

    async def _many(self, name: str, rows: Sequence[Sequence[object]]) -> int:
        taken = 0
        for at in range(0, len(rows), SLICE):
            part = rows[at : at + SLICE]
            taken += await self._desk.write(_each(name, part), len(part), bulk=True)
        return taken

    async def _mark(self, key: str) -> int:
        found = await self._desk.read(lambda run: run(SQL["mark"], (key,)))
        return int(found[0][0]) if found else 0

    async def _set_mark(self, key: str, old: int, new: int) -> None:
        if new != old:
            await self._desk.write(lambda tx: tx.do(SQL["set_mark"], (key, str(new))), bulk=True)


def _each(name: str, rows: Sequence[Sequence[object]]) -> Callable[[Writing], int]:
    return lambda tx: sum(tx.do(SQL[name], row) for row in rows)


def _drop(tx: Writing, ident: int, cutoff: int) -> int:
    """Drop a message with everything of it, and take it off its tenant's counts; a batch's counts stay, as its result."""
    found = tx.one(SQL["is_settled"], (ident, cutoff))
    if found is None or not tx.do(SQL["drop_message"], (ident,)):
        return 0
    tenant, mode, status = found
    tx.do(SQL["drop_recipients"], (ident,))
    tx.do(SQL["drop_events"], (ident,))
    column = State(status).name
    assert column in COLUMNS
    tx.do(f"UPDATE counts SET {column} = {column} - 1 WHERE scope = ? AND slot = 0", (tenant_scope(tenant, mode),))  # noqa: S608
    return 1


async def retire(desk: Desk, now: int, keep_messages: int, keep_bodies: int, keep_events: int) -> Retired:
    """One round of retention; durations in milliseconds. Raises Busy; what went until then stays gone."""
    return await Retirement(desk, Cutoffs.at(now, keep_messages, keep_bodies, keep_events)).run()
