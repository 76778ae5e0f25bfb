"""Claim on SQLite: lanes and tenants in turn, row by row in the writer's transaction."""

from collections.abc import Callable, MutableMapping, Sequence

from postclock.store.records import Claimed, Owner
from postclock.store.sqlite.transaction import SQL, Transaction
from postclock.store.steps import claim as steps
from postclock.store.steps.batches import sweep as sweeping
from postclock.store.steps.claim import Claiming, in_turn
from postclock.store.steps.rows import SETTLE_LANE
from postclock.store.steps.work import Due
from postclock.store.tables.desk import Run


def next_ready(run: Run, lanes: Sequence[int]) -> int | None:
    """The earliest ready time in ``lanes``, by a skip scan over tenants."""
    earliest: int | None = None
    for lane in lanes:
        tenant = -1
        while found := run(SQL["next_tenant"], (lane, tenant)):
            tenant, ready = found[0]
            earliest = ready if earliest is None else min(earliest, ready)
    return earliest


def claim(
    owner: Owner,
    limits: Sequence[tuple[int, int]],
    now: int,
    horizon: int,
    turns: MutableMapping[int, int] | None = None,
) -> Callable[[Transaction], list[Claimed]]:
    """The job that takes up to so many envelopes of each lane, (lane, limit), ready by ``horizon``, tenants in turn.

    An owner whose life is over takes nothing. ``turns`` remembers, per lane, the tenant that was served last: the next claim
    goes on behind it, so that many tenants share a small limit.
    """

    def job(tx: Transaction) -> list[Claimed]:
        if not tx.lives(owner):
            return []
        claiming = Claiming(tx, owner, now, horizon)
        for lane, limit in limits:
            _lane(tx, claiming, lane, limit, {} if turns is None else turns)
        return claiming.taken

    return job


def _lane(tx: Transaction, claiming: Claiming, lane: int, limit: int, turns: MutableMapping[int, int]) -> None:
    tenants = in_turn(_tenants(tx, lane, claiming.horizon), turns.get(lane, -1))
    taken = claiming.taken
    end = len(taken) + limit
    while tenants and len(taken) < end:
        share = max(1, (end - len(taken)) // len(tenants))
        again = []
        for tenant in tenants:
            want = min(share, end - len(taken))
            if want <= 0:
                break
            turns[lane] = tenant
            stored = tx.tenant(tenant)
            found = [Due._make(r) for r in tx.rows(SQL["due"], (lane, tenant, claiming.horizon, want))]
            if claiming.offer(found, suspended=stored is None or stored.suspended) and len(found) == want:
                again.append(tenant)
        tenants = again


def _tenants(tx: Transaction, lane: int, horizon: int) -> list[int]:
    """Who has something ready in the lane."""
    found: list[int] = []
    tenant = -1
    while (entry := tx.one(SQL["next_tenant"], (lane, tenant))) is not None:
        tenant, ready = entry
        if ready <= horizon:
            found.append(tenant)
    return found


def confirm(now: int, limit: int) -> Callable[[Transaction], int]:
    """The job that turns ``sent`` into ``delivered`` where settle_after has passed without a bounce; how many it did."""

    def job(tx: Transaction) -> int:
        found: list[tuple[int, str | None]] = []
        for tenant in _tenants(tx, SETTLE_LANE, now):
            if len(found) < limit:
                rows = tx.rows(SQL["due"], (SETTLE_LANE, tenant, now, limit - len(found)))
                found.extend((due.id, due.rcpt) for due in map(Due._make, rows))
        return steps.confirm(found, now)(tx)

    return job


def park_overdue(before: int, reason: str, now: int, limit: int) -> Callable[[Transaction], int]:
    """The job that parks up to ``limit`` ready rows that were due before ``before``; how many."""

    def job(tx: Transaction) -> int:
        found = [ident for (ident,) in tx.rows(SQL["overdue"], (SETTLE_LANE, before, before, limit))]
        return steps.park_overdue(found, reason, now)(tx)

    return job


def sweep(now: int, limit: int) -> Callable[[Transaction], bool]:
    """The job that settles up to ``limit`` rows of a cancelled batch; whether there is more to sweep."""

    def job(tx: Transaction) -> bool:
        unswept = tx.one(SQL["unswept"])
        if unswept is None:
            return False
        found = [ident for (ident,) in tx.rows(SQL["sweep_rows"], (unswept[0], limit))]
        sweeping(unswept[0], found, now, last=len(found) < limit)(tx)
        return True

    return job
