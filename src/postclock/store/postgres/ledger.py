"""The engine's door to the PostgreSQL store."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import asyncpg

from postclock.runtime.log import get_logger
from postclock.store.postgres import claiming, owners
from postclock.store.postgres.claiming import Floors, affordable
from postclock.store.postgres.connection import LOCK_SECONDS, LOST, WRITING, History, busy_of, connect
from postclock.store.postgres.desk import PostgresDesk
from postclock.store.postgres.line import Kind, Line
from postclock.store.postgres.loading import SQL
from postclock.store.postgres.loop_thread import LoopThread
from postclock.store.postgres.needs import Needs
from postclock.store.postgres.pulse import Pulse
from postclock.store.postgres.readers import Readers
from postclock.store.postgres.retire import retire
from postclock.store.postgres.unit import Unit
from postclock.store.records import Claimed, Departed, Departure, Held, Life, Owner, Rescued, Result
from postclock.store.steps import batches, claim, depart, record, rescue
from postclock.store.steps.rows import SETTLE_LANE
from postclock.store.tables.ledger_reading import LedgerReading

SLICE: Final = 1000  # overdue rows in one job
BAD_ROW: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""The database refuses what is in a row: one bad result must not take five hundred others with it."""
RESCUE_SECONDS: Final = 10.0
OVERDUE_SECONDS: Final = 15.0
"""Overdue rows are looked for through the whole index of what waits, which nothing has read yet after a restore."""
RETIRE_SECONDS: Final = 600.0
"""How long one statement of retention may take: it reads through a whole week, or waits until nobody reads it any more."""
SLOW: Final = {"statement_timeout": str(round(RETIRE_SECONDS * 1000))}
_log = get_logger("store")
LANES: Final = (0, 1, 2, SETTLE_LANE)


class PostgresLedger(LedgerReading):
    """store.interface.Ledger."""

    def __init__(
        self, *, dsn: str, history: History, thread: LoopThread, desk: PostgresDesk, readers: Readers, results: Line, claims: Line, pulse: Pulse,
        owner: Owner, floors: Floors,
    ) -> None:  # fmt: skip
        super().__init__(desk)
        self._dsn = dsn
        self._history = history
        self._thread = thread
        self._readers = readers
        self._results = results
        self._claims = claims
        self._pulse = pulse
        self._floors = floors
        self._turns: dict[int, int] = {}
        self._claim_seq = 0
        self._swept: dict[int, int] = {}
        """How far each cancelled batch has been swept from here."""
        self._listeners: list[Callable[[int], None]] = []
        self.owner = owner

    def on_ready(self, listener: Callable[[int], None]) -> None:
        """See Ledger."""
        self._listeners.append(listener)

    def heard(self, at: int) -> None:
        """Something is ready: here or in another process (called in the store's loop)."""
        self._floors.something_new(LANES)
        for listener in self._listeners:
            listener(at)

    async def next_ready(self, lanes: Sequence[int]) -> int | None:
        """See Ledger."""
        earliest: int | None = None
        for lane in lanes:
            for _, ready in await self._thread.call(self._readers.fetch(SQL["next_tenant"], lane)):
                earliest = ready if earliest is None else min(earliest, ready)
        return earliest

    async def submissions(self, idents: Sequence[int]) -> Mapping[int, bytes]:
        """See Ledger."""
        found = await self._thread.call(self._readers.fetch(SQL["submission"], list(idents)))
        return {ident: content for ident, content in found}  # noqa: C416  (rows, not pairs)

    async def claim(self, limits: Sequence[tuple[int, int]], now: int, horizon: int) -> list[Claimed]:
        """See Ledger."""
        return await self._thread.call(self._claim(limits, now, horizon))

    async def _claim(self, limits: Sequence[tuple[int, int]], now: int, horizon: int) -> list[Claimed]:
        self._claim_seq += 1
        seq = self._claim_seq

        lanes = [lane for lane, _ in limits]
        tries = 0

        async def body(unit: Unit) -> tuple[list[Claimed], int | None]:
            nonlocal tries
            tries += 1
            if tries > 1:
                self._floors.forget(lanes)
            return await claiming.claim(unit, self.owner, limits, now, horizon, self._floors, self._turns, seq)

        nothing: tuple[list[Claimed], int | None] = ([], None)
        try:
            taken, ready_at = await self._claims.solo(body, nothing)
        except BaseException as error:
            self._floors.forget(lanes)
            if isinstance(error, asyncpg.PostgresError):
                raise busy_of(error) from error  # whatever the database has: the engine comes again
            raise
        if ready_at is not None:
            self.heard(ready_at)
        return taken

    async def depart(self, items: Sequence[Departure], now: int) -> list[Departed | Held]:
        """See Ledger."""
        claims = [item.claimed for item in items]
        needs = _needs_of(claims)
        needs.tenants = {c.tenant for c in claims}
        needs.addresses = {(c.tenant, c.mode, r.address) for c in claims for r in c.recipients}
        needs.domains = {(item.claimed.tenant, item.domain) for item in items}
        return await self._results.put(Kind.depart, depart.depart(self.owner, items, now), needs, len(items))

    async def record(self, results: Sequence[Result], now: int) -> list[str]:
        """See Ledger."""
        needs = _needs_of([r.claimed for r in results])
        try:
            return await self._results.put(Kind.record, record.record(self.owner, results, now), needs, len(results))
        except BAD_ROW:
            if len(results) == 1:
                _log.exception("a result cannot be written", message_id=results[0].claimed.message)
                return ["gone"]  # the next life finds it departed without a result: uncertain
        return [word for result in results for word in await self.record([result], now)]

    async def release(self, items: Sequence[tuple[int, int]], now: int) -> int:
        """See Ledger."""
        idents = {ident for ident, _ in items}
        needs = Needs(rows=idents, scoped=set(idents))
        return await self._results.put(Kind.record, rescue.release_claims(self.owner, items, now), needs, len(items))

    async def beat(self, now: int) -> bool:
        """See Ledger. Claims of which nothing is held any more are forgotten with it."""

        async def work(connection: asyncpg.Connection) -> bool:
            lives = await owners.beat(connection, self.owner, now)
            await connection.execute(SQL["drop_claims"], self.owner.id)
            return lives

        return await self._pulse.call(work)

    async def lives(self) -> list[Life]:
        """See Ledger."""
        return await self._pulse.call(owners.lives)

    async def end_life(self, life: Life, now: int) -> bool:
        """See Ledger."""
        return await self._thread.call(self._end_life(life))

    async def _end_life(self, life: Life) -> bool:
        # Not on the pulse's connection: it waits for the dead one's transactions, and our own beat would wait behind it.
        try:
            connection = await connect(self._dsn, self._history, settings=WRITING, command_seconds=LOCK_SECONDS + 2)
            try:
                return await owners.end_life(connection, life)
            finally:
                connection.terminate()
        except (asyncpg.PostgresError, *LOST) as error:
            raise busy_of(error) from error

    async def rescue(self, now: int, limit: int, uncertain_wait: int, settle_after: int) -> Rescued:
        """See Ledger."""
        found = await self._thread.call(self._readers.fetch(SQL["foreign_claims"], limit, seconds=RESCUE_SECONDS))
        if not found:
            await self._pulse.call(lambda c: c.execute(SQL["drop_dead_claims"]))
            return Rescued(0, 0)
        idents = affordable([(r[0], r[3]) for r in found])
        found = found[: len(idents)]
        needs = Needs(rows=set(idents), tenants={r[1] for r in found}, batches=_batches(r[2] for r in found))
        job = rescue.rescue(idents, now, uncertain_wait, settle_after)
        done = await self._claims.put(Kind.bulk, job, needs, len(idents))
        # Another rescuer may have been faster with all of them; there may still be more.
        return done if done.rows else Rescued(len(idents), 0)

    async def confirm(self, now: int, limit: int) -> int:
        """See Ledger."""
        ready = await self._thread.call(self._readers.fetch(SQL["next_tenant"], SETTLE_LANE))
        tenants = [tenant for tenant, at in ready if at <= now]
        if not tenants:
            return 0
        found = await self._thread.call(self._readers.fetch(SQL["confirmed"], SETTLE_LANE, tenants, now, limit))
        found = found[: len(affordable([(r[0], r[3]) for r in found]))]
        needs = Needs(
            rows={r[0] for r in found},
            batches=_batches(r[2] for r in found),
            single={r[0] for r in found if r[1] is not None},
        )
        job = claim.confirm([(r[0], r[1]) for r in found], now)
        return await self._claims.put(Kind.bulk, job, needs, len(found)) if found else 0

    async def sweep(self, now: int, limit: int) -> bool:
        """See Ledger."""
        unswept = await self._thread.call(self._readers.fetch(SQL["unswept"]))
        if not unswept:
            return False
        batch = unswept[0][0]
        after = self._swept.pop(batch, 0)
        found = await self._thread.call(self._readers.fetch(SQL["sweep_rows"], batch, limit, after))
        idents = affordable([(r[0], r[1]) for r in found])
        last = len(idents) == len(found) < limit
        if not last:
            self._swept[batch] = idents[-1]
        elif after:  # what came back behind the last slice
            again = await self._thread.call(self._readers.fetch(SQL["sweep_rows"], batch, limit, 0))
            last = {r[0] for r in again} <= set(idents)
        job = batches.sweep(batch, idents, now, last=last)
        needs = Needs(rows=set(idents))
        # The last one writes the batch's row. Two that had shared it first, and then the rows, would wait for each other.
        (needs.alone if last else needs.batches).add(batch)
        await self._claims.put(Kind.bulk, job, needs, len(idents), alone=last)
        return True

    async def park_overdue(self, before: int, reason: str, now: int) -> int:
        """See Ledger."""
        done = 0
        while True:
            found = await self._thread.call(
                self._readers.fetch(SQL["overdue"], SETTLE_LANE, before, SLICE, seconds=OVERDUE_SECONDS)
            )
            if not found:
                return done
            needs = Needs(rows={r[0] for r in found}, batches=_batches(r[2] for r in found))
            job = claim.park_overdue([r[0] for r in found], reason, now)
            done += await self._claims.put(Kind.bulk, job, needs, len(found))

    async def retire(self, now: int, keep_messages: int, keep_bodies: int, keep_events: int) -> int:
        """See Ledger. One process at a time does it; the others find nothing to do."""
        return await self._thread.call(self._retire(now, keep_messages, keep_bodies, keep_events))

    async def _retire(self, now: int, keep_messages: int, keep_bodies: int, keep_events: int) -> int:
        try:
            connection = await connect(self._dsn, self._history, settings=SLOW, command_seconds=RETIRE_SECONDS)
            try:
                return (await retire(connection, now, keep_messages, keep_bodies, keep_events)).total
            finally:
                await connection.close()
        except (asyncpg.PostgresError, *LOST) as error:
            raise busy_of(error) from error


def _needs_of(claims: Sequence[Claimed]) -> Needs:
    """What every write of a run needs: its row under its batch, and the recipients when there are several."""
    return Needs(
        rows={c.id for c in claims},
        batches=_batches(c.batch for c in claims),
        single={c.message for c in claims if c.n_rcpt == 1},
        recipients={c.message for c in claims if c.n_rcpt > 1},
    )


def _batches(found: Iterable[int | None]) -> set[int]:
    return {batch for batch in found if batch is not None}
