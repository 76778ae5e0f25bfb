"""The callers' reading: one message, the list, a batch, what is parked; and the little that is written on the way there.

A page of the list leaves a mark where it ended, so that the next one goes on from there however much came in between.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from postclock.core.errors import KeyReused
from postclock.core.lifecycle import State
from postclock.store.records import Accepted, BatchStatus, IdempotencyKey
from postclock.store.tables import batches, browse
from postclock.store.tables.browse import SQL
from postclock.store.tables.desk import Desk, Run, Writing
from postclock.store.views import MessageDetail, MessageFilter, MessageRow, Page, ParkedRow

MARK_LIFE_MS: Final = 600_000
"""A page mark is good for ten minutes."""
_decode_ids = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode


class MessageReading:
    """The part of store.interface.Messages that moves no message."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def replay(self, tenant: int, mode: int, key: IdempotencyKey) -> Accepted | None:
        """See Messages."""

        def read(run: Run) -> Accepted | None:
            found = run(SQL["find_key"], (tenant, mode, key.dialect, key.key))
            if not found:
                return None
            if found[0][0] != key.fingerprint:
                raise KeyReused("This idempotency key was used with another body")
            return Accepted(_decode_ids(found[0][1]), replayed=True)

        return await self._desk.read(read)

    async def put_blobs(self, tenant: int, blobs: Mapping[str, bytes], now: int) -> None:
        """See Messages. Each in a group of its own kind, after everything urgent."""
        for sha256, content in blobs.items():
            digest = bytes.fromhex(sha256)

            def job(tx: Writing, digest: bytes = digest, content: bytes = content) -> None:
                tx.do(SQL["put_blob"], (tenant, digest, content, now))

            await self._desk.write(job, 1 + len(content) // 1000, bulk=True)

    async def detail(self, tenant: int, mode: int, message: int) -> MessageDetail:
        """See Messages."""
        return await self._desk.read(lambda run: browse.detail(run, self._desk.words, tenant, mode, message))

    async def timing(self, message: int) -> tuple[int, int | None] | None:
        """See Messages."""

        def read(run: Run) -> tuple[int, int | None] | None:
            found = run(SQL["timing"], (message,))
            return (found[0][0], found[0][1]) if found else None

        return await self._desk.read(read)

    async def page(self, wanted: MessageFilter, api_key: int, page: int, page_size: int, now: int) -> Page:
        """See Messages. Page p + 1 goes on after the last row of page p as this key and filter last saw it."""
        digest = _digest(wanted, page_size)

        def read(run: Run) -> tuple[Page, bool]:
            after = None
            stale = False
            if page == 1:
                stale = bool(run(SQL["is_marked"], (api_key, digest)))
            else:
                mark = run(SQL["mark"], (api_key, digest, page - 1, now - MARK_LIFE_MS))
                after = mark[0][0] if mark else None
            rows, total = browse.page(run, self._desk.words, wanted, page_size, after, (page - 1) * page_size)
            return Page(rows, total), stale

        found, stale = await self._desk.read(read)

        def mark(tx: Writing) -> None:
            if page == 1:
                tx.do(SQL["drop_marks"], (api_key, digest))
                tx.do(SQL["drop_old_marks"], (now - MARK_LIFE_MS,))
            if found.messages:
                tx.do(SQL["set_mark"], (api_key, digest, page, found.messages[-1].id, now))

        if stale or page > 1 or len(found.messages) == page_size:
            await self._desk.write(mark)
        return found

    async def browse(self, wanted: MessageFilter, before: int | None, limit: int) -> tuple[MessageRow, ...]:
        """See Messages."""
        return await self._desk.read(lambda run: browse.browse(run, self._desk.words, wanted, before, limit))

    async def by_key(self, tenant: int, mode: int, dialect: str, key: str) -> tuple[tuple[int, int], ...] | None:
        """See Messages."""

        def read(run: Run) -> tuple[tuple[int, int], ...] | None:
            found = run(SQL["find_key"], (tenant, mode, dialect, key))
            return _decode_ids(found[0][1]) if found else None

        return await self._desk.read(read)

    async def create_batch(self, ident: int, tenant: int, mode: int, now: int) -> None:
        """See Messages."""
        await self._desk.write(batches.create(ident, tenant, mode, now))

    async def batch(self, ident: int, tenant: int, mode: int) -> BatchStatus:
        """See Messages."""
        return await self._desk.read(lambda run: batches.read_status(run, ident, tenant, mode))

    async def parked(self, tenant: int | None, reason: str | None) -> list[ParkedRow]:
        """See Messages."""

        def read(run: Run) -> list[ParkedRow]:
            return [
                ParkedRow(id=r[0], week=r[1], tenant=r[2], due_at=r[3], status=State(r[4]), reason=r[5])
                for r in run(SQL["parked"], (tenant, tenant, reason, reason))
            ]

        return await self._desk.read(read)


def _digest(wanted: MessageFilter, page_size: int) -> bytes:
    values = (
        wanted.mode, sorted(wanted.states) if wanted.states is not None else None, wanted.to_email, wanted.from_email, wanted.subject, wanted.batch,
        wanted.template, wanted.category, wanted.start_at, wanted.end_at, wanted.search, repr(wanted.status), page_size,
    )  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(values)).digest()[:16]
