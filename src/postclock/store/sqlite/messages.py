"""The callers' door to the SQLite store: accept, cancel, read, batches."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from postclock.core.errors import KeyReused
from postclock.core.lifecycle import State
from postclock.store.records import (
    BULK_FROM,
    Acceptance,
    Accepted,
    BatchCancelled,
    BatchStatus,
    CancelAnswer,
    IdempotencyKey,
    MessageDetail,
    MessageFilter,
    Page,
    ParkedRow,
)
from postclock.store.sqlite import batches, browse, people
from postclock.store.sqlite.accept import accept
from postclock.store.sqlite.readers import Readers, Run
from postclock.store.sqlite.rows import SQL
from postclock.store.sqlite.transaction import Transaction
from postclock.store.sqlite.writer import Kind, Writer

MARK_LIFE_MS: Final = 600_000
"""A page mark is good for ten minutes."""
SLICE: Final = 500  # parked rows in one job
_decode_ids = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode


class SqliteMessages:
    """store.interface.Messages."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def accept(self, acceptance: Acceptance) -> Accepted:
        """See Messages."""
        n = len(acceptance.messages)
        return await self._writer.run(Kind.bulk if n > BULK_FROM else Kind.accept, accept(acceptance), n)

    async def replay(self, tenant: int, mode: int, key: IdempotencyKey) -> Accepted | None:
        """See Messages."""

        def read(run: Run) -> Accepted | None:
            found = run(SQL["find_key"], (tenant, mode, key.dialect, key.key))
            if not found:
                return None
            if found[0][0] != key.fingerprint:
                raise KeyReused("This idempotency key was used with another body")
            return Accepted(_decode_ids(found[0][1]), replayed=True)

        return await self._readers.run(read)

    async def put_blobs(self, tenant: int, blobs: Mapping[str, bytes], now: int) -> None:
        """See Messages. Each in a group of its own kind, after everything urgent."""
        for sha256, content in blobs.items():
            digest = bytes.fromhex(sha256)

            def job(tx: Transaction, digest: bytes = digest, content: bytes = content) -> None:
                tx.do(
                    "INSERT INTO blobs (tenant, sha256, content, used_at) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (tenant, sha256) DO UPDATE SET used_at = excluded.used_at",
                    (tenant, digest, content, now),
                )

            await self._writer.run(Kind.bulk, job, 1 + len(content) // 1000)

    async def cancel(self, tenant: int, mode: int, message: int, now: int, week: int | None = None) -> CancelAnswer:
        """See Messages."""
        return await self._writer.run(Kind.cancel, people.cancel(tenant, mode, message, now, week))

    async def fail(self, tenant: int, mode: int, message: int, now: int, reason: str, week: int | None = None) -> State:
        """See Messages."""
        return await self._writer.run(Kind.cancel, people.fail(tenant, mode, message, now, reason, week))

    async def retry(self, tenant: int, mode: int, message: int, now: int, week: int | None = None) -> State:
        """See Messages."""
        return await self._writer.run(Kind.cancel, people.retry(tenant, mode, message, now, week))

    async def detail(self, tenant: int, mode: int, message: int) -> MessageDetail:
        """See Messages."""
        return await self._readers.run(lambda run: browse.detail(run, tenant, mode, message))

    async def timing(self, message: int) -> tuple[int, int | None] | None:
        """See Messages."""

        def read(run: Run) -> tuple[int, int | None] | None:
            found = run(
                "SELECT m.due_at, ifnull(q.handed_at, m.departed_at) FROM messages m LEFT JOIN queue q ON q.id = m.id WHERE m.id = ?",
                (message,),
            )
            return (found[0][0], found[0][1]) if found else None

        return await self._readers.run(read)

    async def page(self, wanted: MessageFilter, api_key: int, page: int, page_size: int, now: int) -> Page:
        """See Messages. Page p + 1 goes on after the last row of page p as this key and filter last saw it."""
        digest = _digest(wanted, page_size)

        def read(run: Run) -> tuple[Page, bool]:
            after = None
            stale = False
            if page == 1:
                stale = bool(
                    run("SELECT 1 FROM page_marks WHERE api_key = ? AND filter = ? LIMIT 1", (api_key, digest))
                )
            else:
                mark = run(
                    "SELECT last_id FROM page_marks WHERE api_key = ? AND filter = ? AND page = ? AND at > ?",
                    (api_key, digest, page - 1, now - MARK_LIFE_MS),
                )
                after = mark[0][0] if mark else None
            rows, total = browse.page(run, wanted, page_size, after, (page - 1) * page_size)
            return Page(rows, total), stale

        found, stale = await self._readers.run(read)

        def mark(tx: Transaction) -> None:
            if page == 1:
                tx.do("DELETE FROM page_marks WHERE api_key = ? AND filter = ?", (api_key, digest))
                tx.do("DELETE FROM page_marks WHERE at < ?", (now - MARK_LIFE_MS,))
            if found.messages:
                tx.do(
                    "INSERT INTO page_marks (api_key, filter, page, last_id, at) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (api_key, filter, page) DO UPDATE SET last_id = excluded.last_id, at = excluded.at",
                    (api_key, digest, page, found.messages[-1].id, now),
                )

        if stale or page > 1 or len(found.messages) == page_size:
            await self._writer.run(Kind.accept, mark)
        return found

    async def create_batch(self, ident: int, tenant: int, mode: int, now: int) -> None:
        """See Messages."""
        await self._writer.run(Kind.accept, batches.create(ident, tenant, mode, now))

    async def batch(self, ident: int, tenant: int, mode: int) -> BatchStatus:
        """See Messages."""
        return await self._readers.run(lambda run: batches.read_status(run, ident, tenant, mode))

    async def cancel_batch(self, ident: int, tenant: int, mode: int, now: int) -> BatchCancelled:
        """See Messages."""
        return await self._writer.run(Kind.cancel, batches.cancel(ident, tenant, mode, now))

    async def parked(self, tenant: int | None, reason: str | None) -> list[ParkedRow]:
        """See Messages."""

        def read(run: Run) -> list[ParkedRow]:
            rows = run(
                "SELECT id, week, tenant, due_at, status, ifnull(reason, '') FROM queue WHERE ready_at IS NULL AND owner IS NULL "
                "AND (? IS NULL OR tenant = ?) AND (? IS NULL OR reason = ?) ORDER BY due_at, id",
                (tenant, tenant, reason, reason),
            )
            return [
                ParkedRow(id=r[0], week=r[1], tenant=r[2], due_at=r[3], status=State(r[4]), reason=r[5]) for r in rows
            ]

        return await self._readers.run(read)

    async def release_parked(self, idents: Sequence[int], now: int) -> int:
        """See Messages."""
        done = 0
        for i in range(0, len(idents), SLICE):
            part = idents[i : i + SLICE]
            done += await self._writer.run(Kind.bulk, people.release_parked(part, now), len(part))
        return done

    async def drop_parked(self, idents: Sequence[int], now: int, reason: str) -> int:
        """See Messages."""
        done = 0
        for i in range(0, len(idents), SLICE):
            part = idents[i : i + SLICE]
            done += await self._writer.run(Kind.bulk, people.drop_parked(part, now, reason), len(part))
        return done


def _digest(wanted: MessageFilter, page_size: int) -> bytes:
    values = (
        wanted.mode, sorted(wanted.states) if wanted.states is not None else None, wanted.to_email, wanted.from_email, wanted.subject, wanted.batch,
        wanted.template, wanted.category, wanted.start_at, wanted.end_at, page_size,
    )  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(values)).digest()[:16]
