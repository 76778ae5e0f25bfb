"""Claim: what is due is taken by this owner; what cannot go is settled or parked, never stepped over."""

from collections.abc import Callable, Sequence
from typing import Final

from postclock.core.lifecycle import RECIPIENT_PENDING, RecipientState, State, fold
from postclock.store.records import Claimed, Owner, PendingRecipient
from postclock.store.steps.rows import (
    SETTLE_LANE,
    cancel_with_batch,
    event,
    give_up,
    is_gone_with_batch,
    recipient_states,
    settle,
    wait_again,
)
from postclock.store.steps.work import Due, Row, Work

# Rows that a claim may settle or park beside those it takes: bounds the turn of who writes (some 10 ms, on PostgreSQL 30).
ASIDE: Final = 500
SUSPENDED: Final = "tenant suspended"
PAUSED: Final = "batch paused"


class Claiming:
    """One claim under way: what it has taken, and how many rows it may still put aside."""

    def __init__(self, tx: Work, owner: Owner, now: int, horizon: int) -> None:
        self._tx = tx
        self._owner = owner
        self._now = now
        self.horizon = horizon
        self._aside = ASIDE
        self.taken: list[Claimed] = []

    def offer(self, found: Sequence[Due], *, suspended: bool) -> bool:
        """Take what may go of one tenant's ready rows, in their order; False when too much had to be put aside.

        Due later than now: reserved (the state stays). Due: processing.
        """
        tx = self._tx
        for due in found:
            state, exposed = State(due.status), bool(due.exposed)
            flags = tx.batch(due.batch)
            if suspended or state is State.uncertain or (flags is not None and (flags.cancelled or flags.paused)):
                if self._aside == 0:
                    return False
                row = tx.row(due.id)
                assert row is not None
                if not _may_go(tx, row, self._now, suspended=suspended):
                    self._aside -= 1
                    continue
                state, exposed = State.queued, True
            start_at = max(due.due_at, due.ready_at)
            new = State.processing if start_at <= self._now else state
            tx.take(due, self._owner.id, new)
            if new is not state:
                tx.tally.move(due.batch, due.tenant, due.mode, state, new, was_exposed=exposed, is_exposed=exposed)
            if due.rcpt is not None:
                pending: tuple[PendingRecipient, ...] = (PendingRecipient(0, due.rcpt),)
            else:
                pending = tuple(
                    PendingRecipient(r.n, r.address) for r in tx.recipients(due.message) if r.state in RECIPIENT_PENDING
                )
            self.taken.append(
                Claimed(
                    due.id, due.message, due.week, due.tenant, due.mode, due.lane, due.batch, due.submission, due.due_at, start_at, new,
                    due.attempt + 1, exposed, due.policy, due.deferrals, self._now if due.tried_at is None else due.tried_at, due.departed_at,
                    due.stamp, due.personal, due.n_rcpt, pending,
                )
            )  # fmt: skip
        return True


def in_turn(tenants: Sequence[int], served: int) -> list[int]:
    """Tenants beginning behind the one that was served last, so that many of them share a small limit."""
    return [t for t in tenants if t > served] + [t for t in tenants if t <= served]


def _may_go(tx: Work, row: Row, now: int, *, suspended: bool) -> bool:
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


def park(tx: Work, row: Row, state: State, now: int, reason: str) -> None:
    """The row waits for a person, or for what it is parked for to end; nothing is ready."""
    wait_again(tx, row, state, ready_at=None, reason=reason, tried_at=row.tried_at)
    event(tx, row.message, row.week, "parked", now, None, {"reason": reason})


def resend(tx: Work, row: Row, now: int) -> None:
    """Resolve an uncertain row to queued: its uncertain recipients are pending again."""
    for n, _, outcome, reply in tx.recipients(row.message):
        if outcome is RecipientState.uncertain:
            tx.set_recipient(row.message, row.week, n, RecipientState.pending, reply, now)
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


def confirm(found: Sequence[tuple[int, str | None]], now: int) -> Callable[[Work], int]:
    """The job that turns ``sent`` into ``delivered`` where no bounce came in time; how many it did.

    ``found``: ids of rows, each with the address of a lone recipient.
    """

    def job(tx: Work) -> int:
        done = 0
        for ident, alone in found:
            row = tx.row(ident)
            if row is None or row.lane != SETTLE_LANE or row.ready_at is None or row.ready_at > now:
                continue  # another process was faster, or a bounce came
            for n, address, outcome, reply in tx.recipients(row.message):
                if outcome is RecipientState.accepted:
                    tx.set_recipient(row.message, row.week, n, RecipientState.delivered, reply, now)
                    event(tx, row.message, row.week, "delivered", now, address, {"by": "no bounce came"})
            if alone is not None:
                event(tx, row.message, row.week, "delivered", now, alone, {"by": "no bounce came"})
            settle(tx, row, _confirmed(tx, row), now, reason=row.reason)
            done += 1
        return done

    return job


def _confirmed(tx: Work, row: Row) -> State:
    return fold(recipient_states(tx, row.message) or [RecipientState.delivered])


def park_overdue(idents: Sequence[int], reason: str, now: int) -> Callable[[Work], int]:
    """The job that parks rows which wait and are ready; how many."""

    def job(tx: Work) -> int:
        done = 0
        for ident in idents:
            row = tx.row(ident)
            if row is None or row.ready_at is None:
                continue
            if is_gone_with_batch(tx, row):
                cancel_with_batch(tx, row, now)
            else:
                park(tx, row, row.status, now, reason)
            done += 1
        return done

    return job
