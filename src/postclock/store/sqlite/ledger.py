"""The engine's door to the SQLite store."""

from collections.abc import Callable, Sequence
from typing import Final

from postclock.store.records import Claimed, Departed, Departure, Held, Life, Owner, Rescued, Result
from postclock.store.sqlite import claim, owners, retire
from postclock.store.sqlite.desk import SqliteDesk
from postclock.store.sqlite.writer import Kind, Writer
from postclock.store.steps import depart, record, rescue
from postclock.store.tables.ledger_reading import LedgerReading

SLICE: Final = 1000  # overdue rows in one job


class SqliteLedger(LedgerReading):
    """store.interface.Ledger."""

    def __init__(self, desk: SqliteDesk, writer: Writer, owner: Owner, listeners: list[Callable[[int], None]]) -> None:
        super().__init__(desk)
        self._writer = writer
        self.owner = owner
        self._listeners = listeners
        self._turns: dict[int, int] = {}

    def on_ready(self, listener: Callable[[int], None]) -> None:
        """See Ledger."""
        self._listeners.append(listener)

    async def next_ready(self, lanes: Sequence[int]) -> int | None:
        """See Ledger."""
        return await self._desk.read(lambda run: claim.next_ready(run, lanes))

    async def claim(self, limits: Sequence[tuple[int, int]], now: int, horizon: int) -> list[Claimed]:
        """See Ledger."""
        return await self._writer.run(
            Kind.claim, claim.claim(self.owner, limits, now, horizon, self._turns), sum(n for _, n in limits)
        )

    async def depart(self, items: Sequence[Departure], now: int) -> list[Departed | Held]:
        """See Ledger."""
        return await self._writer.run(Kind.depart, depart.depart(self.owner, items, now), len(items))

    async def record(self, results: Sequence[Result], now: int) -> list[str]:
        """See Ledger."""
        return await self._writer.run(Kind.record, record.record(self.owner, results, now), len(results))

    async def release(self, items: Sequence[tuple[int, int]], now: int) -> int:
        """See Ledger."""
        return await self._writer.run(Kind.record, rescue.release_claims(self.owner, items, now), len(items))

    async def beat(self, now: int) -> bool:
        """See Ledger."""
        return await self._writer.run(Kind.record, owners.beat(self.owner, now))

    async def lives(self) -> list[Life]:
        """See Ledger."""
        return await self._desk.read(owners.lives)

    async def end_life(self, life: Life, now: int) -> bool:
        """See Ledger."""
        return await self._writer.run(Kind.record, owners.end_life(life))

    async def rescue(self, now: int, limit: int, uncertain_wait: int, settle_after: int) -> Rescued:
        """See Ledger."""
        return await self._writer.run(
            Kind.record, owners.rescue(self.owner, now, limit, uncertain_wait, settle_after), limit
        )

    async def confirm(self, now: int, limit: int) -> int:
        """See Ledger."""
        return await self._writer.run(Kind.claim, claim.confirm(now, limit), limit)

    async def sweep(self, now: int, limit: int) -> bool:
        """See Ledger."""
        return await self._writer.run(Kind.bulk, claim.sweep(now, limit), limit)

    async def park_overdue(self, before: int, reason: str, now: int) -> int:
        """See Ledger."""

        done = 0
        while n := await self._writer.run(Kind.bulk, claim.park_overdue(before, reason, now, SLICE), SLICE):
            done += n
        return done

    async def retire(self, now: int, keep_messages: int, keep_bodies: int, keep_events: int) -> int:
        """See Ledger."""
        return (await retire.retire(self._desk, now, keep_messages, keep_bodies, keep_events)).total
