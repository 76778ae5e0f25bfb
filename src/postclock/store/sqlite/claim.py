"""Claim: what is due is taken by this owner; what cannot go is settled or parked, never stepped over."""

from collections.abc import Callable, MutableMapping, Sequence
from typing import Final

from postclock.core.lifecycle import RecipientState, State, fold
from postclock.store.records import Claimed, Owner, PendingRecipient
from postclock.store.sqlite.readers import Run
from postclock.store.sqlite.rows import (
    SETTLE_LANE,
    SQL,
    Row,
    cancel_with_batch,
    event,
    give_up,
    is_gone_with_batch,
    read_row,
    recipient_states,
    settle,
    wait_again,
)
from postclock.store.sqlite.transaction import Transaction

# Rows that a claim may settle or park beside those it takes: bounds the writer's turn (some 40 ms).
ASIDE: Final = 2000
SUSPENDED: Final = "tenant suspended"
PAUSED: Final = "batch paused"


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

    Due later than ``now``: reserved (the state stays). Due: processing. An owner whose life is over takes nothing.
    ``turns`` remembers, per lane, the tenant that was served last: the next claim goes on behind it, so that many tenants
    share a small limit.
    """

    def job(tx: Transaction) -> list[Claimed]:
        if tx.one(SQL["owner_lives"], (owner.id, owner.epoch)) is None:
            return []
        claiming = _Claiming(tx, owner, now, horizon)
        for lane, limit in limits:
            claiming.lane(lane, limit, {} if turns is None else turns)
        return claiming.taken

    return job


class _Claiming:
    """One claim under way: what it has taken, and how many rows it may still put aside."""

    def __init__(self, tx: Transaction, owner: Owner, now: int, horizon: int) -> None:
        self._tx = tx
        self._owner = owner
        self._now = now
        self._horizon = horizon
        self._aside = ASIDE
        self.taken: list[Claimed] = []

    def lane(self, lane: int, limit: int, turns: MutableMapping[int, int]) -> None:
        tenants = self._tenants(lane, turns.get(lane, -1))
        end = len(self.taken) + limit
        while tenants and len(self.taken) < end:
            share = max(1, (end - len(self.taken)) // len(tenants))
            again = []
            for tenant in tenants:
                want = min(share, end - len(self.taken))
                if want <= 0:
                    break
                turns[lane] = tenant
                if self._of_tenant(lane, tenant, want):
                    again.append(tenant)
            tenants = again

    def _tenants(self, lane: int, served: int) -> list[int]:
        """Who has something ready in the lane, beginning behind the one that was served last."""
        found: list[int] = []
        tenant = -1
        while (entry := self._tx.one(SQL["next_tenant"], (lane, tenant))) is not None:
            tenant, ready = entry
            if ready <= self._horizon:
                found.append(tenant)
        return [t for t in found if t > served] + [t for t in found if t <= served]

    def _of_tenant(self, lane: int, tenant: int, want: int) -> bool:
        """Take up to ``want`` of one tenant; whether there may be more."""
        tx = self._tx
        suspended = (tx.one(SQL["tenant"], (tenant,)) or (1, 0))[0] != 0
        found = tx.rows(SQL["due"], (lane, tenant, self._horizon, want))
        for values in found:
            (ident, message, week, _, mode, _, batch, submission, due_at, ready_at, status, attempt, exposed, policy, deferrals, tried_at, departed_at, stamp,
             personal, n_rcpt, rcpt) = values  # fmt: skip
            state = State(status)
            flags = tx.batch(batch)
            if suspended or state is State.uncertain or (flags is not None and (flags.cancelled or flags.paused)):
                if self._aside == 0:
                    return False
                row = read_row(tx, ident)
                assert row is not None
                if not _may_go(tx, row, self._now, suspended=suspended):
                    self._aside -= 1
                    continue
                state, exposed = State.queued, 1
            start_at = max(due_at, ready_at)
            new = State.processing if start_at <= self._now else state
            tx.do(SQL["take"], (self._owner.id, int(new), ident))
            if new is not state:
                tx.move(batch, tenant, mode, state, new, was_exposed=bool(exposed), is_exposed=bool(exposed))
            if rcpt is not None:
                pending: tuple[PendingRecipient, ...] = (PendingRecipient(0, rcpt),)
            else:
                pending = tuple(PendingRecipient(n, address) for n, address in tx.rows(SQL["pending"], (message,)))
            self.taken.append(
                Claimed(
                    ident, message, week, tenant, mode, lane, batch, submission, due_at, start_at, new, attempt + 1, bool(exposed), policy,
                    deferrals, self._now if tried_at is None else tried_at, departed_at, stamp, personal, n_rcpt, pending,
                )
            )  # fmt: skip
        return len(found) == want


def _may_go(tx: Transaction, row: Row, now: int, *, suspended: bool) -> bool:
    """Settle or park what may not go; resolve what was uncertain. True: it may be taken (and is queued now)."""
    flags = tx.batch(row.batch)
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
        return False
    if flags is not None and flags.cancelled:
        give_up(tx, row, now, "its batch was cancelled; may already have been delivered")
        return False
    if suspended or (flags is not None and flags.paused):
        park(tx, row, row.status, now, SUSPENDED if suspended else PAUSED)
        return False
    if row.status is State.uncertain:
        resend(tx, row, now)
    return True


def park(tx: Transaction, row: Row, state: State, now: int, reason: str) -> None:
    """The row waits for a person, or for what it is parked for to end; nothing is ready."""
    wait_again(tx, row, state, ready_at=None, reason=reason, tried_at=row.tried_at)
    event(tx, row.message, row.week, "parked", now, None, {"reason": reason})


def resend(tx: Transaction, row: Row, now: int) -> None:
    """Resolve an uncertain row to queued: its uncertain recipients are pending again."""
    for n, _, number, reply, _ in tx.rows(SQL["recipient_states"], (row.message,)):
        if number == RecipientState.uncertain:
            tx.do(SQL["set_recipient"], (int(RecipientState.pending), reply, now, row.message, n))
    wait_again(tx, row, State.queued, ready_at=now, tried_at=row.tried_at)
    event(
        tx,
        row.message,
        row.week,
        "retried",
        now,
        None,
        {"by": "policy", "reason": "uncertain: no proof of delivery came"},
    )


def confirm(now: int, limit: int) -> Callable[[Transaction], int]:
    """The job that turns ``sent`` into ``delivered`` where settle_after has passed without a bounce; how many it did."""

    def job(tx: Transaction) -> int:
        done = 0
        tenant = -1
        while (found := tx.one(SQL["next_tenant"], (SETTLE_LANE, tenant))) is not None and done < limit:
            tenant, ready = found
            if ready > now:
                continue
            for values in tx.rows(SQL["due"], (SETTLE_LANE, tenant, now, limit - done)):
                row = read_row(tx, values[0])
                assert row is not None
                for n, address, number, reply, _ in tx.rows(SQL["recipient_states"], (row.message,)):
                    if number == RecipientState.accepted:
                        tx.do(SQL["set_recipient"], (int(RecipientState.delivered), reply, now, row.message, n))
                        event(tx, row.message, row.week, "delivered", now, address, {"by": "no bounce came"})
                if values[-1] is not None:
                    event(tx, row.message, row.week, "delivered", now, values[-1], {"by": "no bounce came"})
                settle(tx, row, _confirmed(tx, row), now, reason=row.reason)
                done += 1
        return done

    return job


def _confirmed(tx: Transaction, row: Row) -> State:
    return fold(recipient_states(tx, row.message) or [RecipientState.delivered])


def park_overdue(tx: Transaction, before: int, reason: str, now: int, limit: int) -> int:
    """Park up to ``limit`` ready rows that were due before ``before``; how many."""
    done = 0
    for (ident,) in tx.rows(
        "SELECT id FROM queue WHERE lane < ? AND ready_at IS NOT NULL AND ready_at < ? AND due_at < ? AND status IN (0, 1) LIMIT ?",
        (SETTLE_LANE, before, before, limit),
    ):
        row = read_row(tx, ident)
        assert row is not None
        if is_gone_with_batch(tx, row):
            cancel_with_batch(tx, row, now)
        else:
            park(tx, row, row.status, now, reason)
        done += 1
    return done
