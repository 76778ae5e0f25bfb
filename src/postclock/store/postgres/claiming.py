"""Claim on PostgreSQL: lanes and tenants in turn, some rows of every tenant in one statement, what others are at stepped over.

A claim begins where the last one ended. The index still has the entries of what was taken, as long as anybody holds an older
snapshot (a backup does for minutes); to walk through them again each time made a claim take 22 ms instead of 1.6.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from postclock.core.clock import Clock
from postclock.store.postgres.loading import SQL
from postclock.store.postgres.needs import Needs, NotLoaded
from postclock.store.postgres.unit import Unit
from postclock.store.records import Claimed, Owner
from postclock.store.steps.claim import Claiming, in_turn
from postclock.store.steps.work import Due, Row, flags_from, row_from

LOOK_SECONDS: Final = 1.0
"""A lane is looked at from its beginning at least so often: what another process gave back may lie before the floor."""
LONG_SECONDS: Final = 0.005
PATIENCE: Final = 10
"""A look that took longer than that is not repeated before so many times its own length, but for the one above."""


RECIPIENTS: Final = 5_000
"""Recipients that one transaction loads, at the most (one message always fits): a message may have a thousand."""


def affordable(found: Sequence[tuple[int, int]]) -> list[int]:
    """The first of (id, number of recipients) that fit into one transaction."""
    fit: list[int] = []
    left = RECIPIENTS
    for ident, n in found:
        left -= n
        if left < 0 and fit:
            break
        fit.append(ident)
    return fit


class Floors:
    """Which tenants have something ready in each lane, and from where on. Kept from claim to claim; asked from one loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: dict[int, dict[int, int]] = {}
        self._looked: dict[int, float] = {}
        self._took: dict[int, float] = {}
        self._news: set[int] = set()

    def something_new(self, lanes: Sequence[int]) -> None:
        """Something became ready that may lie before the floors."""
        self._news.update(lanes)

    def forget(self, lanes: Sequence[int]) -> None:
        """A claim did not take place: what it stepped past is still there."""
        for lane in lanes:
            self._lanes.pop(lane, None)
            self._looked.pop(lane, None)

    async def of(self, connection: asyncpg.Connection, lane: int, horizon: int) -> dict[int, int]:
        """Tenant to the lowest ready time at which something may be found."""
        now = self._clock.monotonic()
        since = now - self._looked.get(lane, -LOOK_SECONDS)
        wanted = lane in self._news or not self._lanes.get(lane)
        took = self._took.get(lane, 0.0)
        if since >= LOOK_SECONDS or (wanted and (took < LONG_SECONDS or since >= took * PATIENCE)):
            self._news.discard(lane)
            found = await connection.fetch(SQL["next_tenant"], lane)
            self._lanes[lane] = {r[0]: r[1] for r in found}
            self._looked[lane] = now
            self._took[lane] = self._clock.monotonic() - now
        return {tenant: ready for tenant, ready in self._lanes[lane].items() if ready <= horizon}

    def taken(self, lane: int, tenant: int, floor: int | None) -> None:
        """A claim went up to ``floor``; None: to the horizon, nothing is left of the tenant for now."""
        if floor is None:
            self._lanes[lane].pop(tenant, None)
        else:
            self._lanes[lane][tenant] = floor


async def claim(
    unit: Unit,
    owner: Owner,
    limits: Sequence[tuple[int, int]],
    now: int,
    horizon: int,
    floors: Floors,
    turns: dict[int, int],
    seq: int,
) -> tuple[list[Claimed], int | None]:
    """Take up to so many of each lane, in a transaction that the caller commits; and what that made ready, if anything."""
    claiming = Claiming(unit, owner, now, horizon)
    for lane, limit in limits:
        await _lane(unit, claiming, lane, limit, floors, turns)
    if claiming.taken:
        await unit.connection.execute(SQL["note_claim"], owner.id, seq, [c.id for c in claiming.taken])
    return claiming.taken, unit.tally.ready_at


async def _lane(unit: Unit, claiming: Claiming, lane: int, limit: int, floors: Floors, turns: dict[int, int]) -> None:
    known = await floors.of(unit.connection, lane, claiming.horizon)
    # No more of them than may be served: with tens of thousands, locking each one's row would cost more than the claim.
    tenants = in_turn(sorted(known), turns.get(lane, -1))[:limit]
    await unit.load(Needs(tenants=set(tenants)))
    taken = claiming.taken
    end = len(taken) + limit
    while tenants and len(taken) < end:
        left = end - len(taken)
        share = max(1, left // len(tenants))
        asked, tenants = tenants[:left], tenants[left:]
        rows = await _pick(unit, lane, claiming.horizon, [(t, known[t], share) for t in asked])
        stay = {row.id for row in rows if row.batch is not None and row.batch not in unit.loaded.batches}
        dues = await _dues(unit, [row for row in rows if row.id not in stay], stay)
        again = []
        for tenant in asked:
            turns[lane] = tenant
            stored = unit.tenant(tenant)
            mine = [due for due in dues if due.tenant == tenant]
            all_seen = await _offer(unit, claiming, mine, suspended=stored is None or stored.suspended)
            picked = [row for row in rows if row.tenant == tenant]
            # Rows that stay were locked to look at them: whoever changes their batch may wait for them, so this claim must end,
            # and not come upon them again.
            some_stay = any(row.id in stay for row in picked)
            if all_seen and len(picked) == share and not some_stay:
                known[tenant] = picked[-1].ready_at or 0
                again.append(tenant)
            is_left = not all_seen or some_stay or len(picked) == share
            floors.taken(lane, tenant, known[tenant] if is_left else None)
        await unit.write()
        tenants = again + tenants


async def _pick(unit: Unit, lane: int, horizon: int, wanted: list[tuple[int, int, int]]) -> list[Row]:
    """Rows in their tenants' order, locked; those whose batch is being changed right now have no flags, and stay as they are."""
    found = await unit.connection.fetch(SQL["due"], lane, horizon, *zip(*wanted, strict=True))
    rows = [row_from(r) for r in found]
    batches = {row.batch for row in rows if row.batch is not None} - unit.loaded.batches.keys()
    if batches:
        for flags in await unit.connection.fetch(SQL["batch_unless_changing"], sorted(batches)):
            unit.loaded.batches[flags[0]] = flags_from(flags[1:])
    for row in rows:
        unit.loaded.rows[row.id] = row
        unit.loaded.looked.add(row.id)
    return rows


async def _dues(unit: Unit, rows: Sequence[Row], stay: set[int]) -> list[Due]:
    """The rows with their messages; what has too many recipients beside the others joins those that stay."""
    if not rows:
        return []
    found = await unit.connection.fetch(SQL["due_message"], [r.message for r in rows], [r.week for r in rows])
    of = {m[0]: m for m in found}
    fit = len(affordable([(r.id, of[r.message][3]) for r in rows]))
    stay.update(r.id for r in rows[fit:])
    rows = rows[:fit]
    crowds = {r.message for r in rows if of[r.message][3] > 1}
    await unit.load(Needs(recipients=crowds, single={r.message for r in rows} - crowds))
    return [
        Due(
            r.id, r.message, r.week, r.tenant, r.mode, r.lane, r.batch, of[r.message][1], r.due_at, r.ready_at or 0, int(r.status), r.attempt,
            int(r.exposed), r.policy, r.deferrals, r.tried_at, r.departed_at, r.stamp, of[r.message][2], of[r.message][3], of[r.message][4],
        )
        for r in rows
    ]  # fmt: skip


async def _offer(unit: Unit, claiming: Claiming, dues: Sequence[Due], *, suspended: bool) -> bool:
    """Offer the rows, as Claiming.offer; what turns out to be needed beside them is loaded, and they are offered again."""
    before = len(claiming.taken)
    while True:
        try:
            all_seen = claiming.offer(dues, suspended=suspended)
        except NotLoaded as missing:
            del claiming.taken[before:]
            unit.job_failed()
            await unit.load(unit.widened(missing.needs))
            continue
        unit.job_done()
        return all_seen
