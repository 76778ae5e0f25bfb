"""The callers' door to the SQLite store: accept and cancel, beside what it reads like any store."""

from collections.abc import Sequence
from typing import Final

from postclock.core.lifecycle import State
from postclock.store.records import BULK_FROM, Acceptance, Accepted, BatchCancelled, CancelAnswer, Engagement
from postclock.store.sqlite.ahead import ahead_of
from postclock.store.sqlite.desk import SqliteDesk
from postclock.store.sqlite.writer import Kind, Writer
from postclock.store.steps import batches, people
from postclock.store.steps.accept import accept
from postclock.store.steps.engage import engage
from postclock.store.tables.reading import MessageReading

SLICE: Final = 500  # parked rows in one job


class SqliteMessages(MessageReading):
    """store.interface.Messages."""

    def __init__(self, desk: SqliteDesk, writer: Writer) -> None:
        super().__init__(desk)
        self._writer = writer

    async def accept(self, acceptance: Acceptance) -> Accepted:
        """See Messages."""
        n = len(acceptance.messages)
        kind = Kind.bulk if n > BULK_FROM else Kind.accept
        return await self._writer.run(kind, accept(acceptance), n, ahead_of(acceptance))

    async def engage(self, items: Sequence[Engagement], now: int) -> int:
        """See Messages."""
        return await self._writer.run(Kind.bulk, engage(items, now), len(items))

    async def cancel(
        self, tenant: int, mode: int, message: int, now: int, week: int | None = None, *, only_scheduled: bool = False
    ) -> CancelAnswer:
        """See Messages."""
        job = people.cancel(tenant, mode, message, now, week, only_scheduled=only_scheduled)
        return await self._writer.run(Kind.cancel, job)

    async def fail(self, tenant: int, mode: int, message: int, now: int, reason: str, week: int | None = None) -> State:
        """See Messages."""
        return await self._writer.run(Kind.cancel, people.fail(tenant, mode, message, now, reason, week))

    async def retry(self, tenant: int, mode: int, message: int, now: int, week: int | None = None) -> State:
        """See Messages."""
        return await self._writer.run(Kind.cancel, people.retry(tenant, mode, message, now, week))

    async def cancel_batch(self, ident: int, tenant: int, mode: int, now: int) -> BatchCancelled:
        """See Messages."""
        return await self._writer.run(Kind.cancel, batches.cancel(ident, tenant, mode, now))

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
