"""Batches: made, read in a few rows, cancelled by one flag, swept behind it."""

from collections.abc import Callable
from typing import Any, Final

from postclock.core.errors import NotFound
from postclock.core.lifecycle import CANCELLABLE, SETTLED, State
from postclock.store.queries import load
from postclock.store.records import BatchCancelled, BatchStatus
from postclock.store.sqlite.rows import cancel_with_batch, is_gone_with_batch, read_row, stop_exposed
from postclock.store.sqlite.transaction import EXPOSED, Transaction

SQL: Final = load("postclock.store.sqlite.sql", "batches")


def create(ident: int, tenant: int, mode: int, now: int) -> Callable[[Transaction], None]:
    """The job that makes an empty batch."""

    def job(tx: Transaction) -> None:
        tx.do(SQL["insert_batch"], (ident, tenant, mode, now))
        tx.forget_batch(ident)

    return job


def cancel(ident: int, tenant: int, mode: int, now: int) -> Callable[[Transaction], BatchCancelled]:
    """The job that flags a batch cancelled and moves its counts with the flag; again: the numbers as they are now.

    Raises NotFound. The exposed among the waiting are stopped here, one by one, so that the answer is exact; the others are
    counted as cancelled at once and settled by the sweep.
    """

    def job(tx: Transaction) -> BatchCancelled:
        found = tx.one(SQL["get_batch"], (ident, tenant, mode))
        if found is None:
            raise NotFound("Batch not found")
        stopped: list[State] = []
        if found[4] is None:
            tx.do(SQL["cancel_batch"], (now, ident))
            tx.forget_batch(ident)
            if tx.counts(ident)[EXPOSED]:
                stopped = _stop_all(tx, ident, now)
            sums = tx.counts(ident)
            for state in CANCELLABLE:
                n = sums[state]
                if n:
                    tx.count(ident, tenant, mode, state, -n)
                    tx.count(ident, tenant, mode, State.cancelled, n)
                    tx.settled(ident, tenant, mode, now)
        sums = tx.counts(ident)
        # What this call stopped is sent or settled now, by the fold: it is told once, as stopped.
        sent = stopped.count(State.sent)
        return BatchCancelled(
            cancelled=sums[State.cancelled],
            stopped=len(stopped),
            in_flight=sums[State.sending],
            uncertain=sums[State.uncertain],
            sent=sums[State.sent] - sent,
            settled=sum(sums[s] for s in SETTLED if s is not State.cancelled) - (len(stopped) - sent),
        )

    return job


def _stop_all(tx: Transaction, ident: int, now: int) -> list[State]:
    """Stop the exposed among the waiting; the states they have then (sent, or settled and never cancelled)."""
    states = []
    for (row_id,) in tx.rows(SQL["exposed_rows"], (ident,)):
        row = read_row(tx, row_id)
        assert row is not None
        states.append(stop_exposed(tx, row, now, "batch")[2])
    return states


def sweep(now: int, limit: int) -> Callable[[Transaction], bool]:
    """The job that settles up to ``limit`` rows of a cancelled batch; whether there is more to sweep. It moves no count."""

    def job(tx: Transaction) -> bool:
        found = tx.one(SQL["unswept"])
        if found is None:
            return False
        batch = found[0]
        rows = tx.rows(SQL["sweep_rows"], (batch, limit))
        for (ident,) in rows:
            row = read_row(tx, ident)
            assert row is not None
            if is_gone_with_batch(tx, row):
                cancel_with_batch(tx, row, now)
            else:
                stop_exposed(tx, row, now, "batch")
        if len(rows) < limit:
            tx.do(SQL["swept"], (batch,))
        return True

    return job


def read_status(
    run: Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]], ident: int, tenant: int, mode: int
) -> BatchStatus:
    """A batch with its counts, read in one snapshot; raises NotFound."""
    found = run(SQL["get_batch"], (ident, tenant, mode))
    if not found:
        raise NotFound("Batch not found")
    _, created_at, sealed_at, paused_at, cancelled_at = found[0]
    sums = run(SQL["sums"], (ident,))[0]
    return BatchStatus(
        id=ident, created_at=created_at, sealed=sealed_at is not None, paused=paused_at is not None, cancelled=cancelled_at is not None,
        counts={s: int(sums[s] or 0) for s in State}, last_settled_at=sums[-1],
    )  # fmt: skip
