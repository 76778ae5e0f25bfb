"""Batches: cancelled by one flag with exact counts, swept behind it."""

from collections.abc import Callable, Sequence

from postclock.core.errors import NotFound
from postclock.core.lifecycle import CANCELLABLE, SETTLED, State
from postclock.store.records import BatchCancelled
from postclock.store.steps.counting import EXPOSED
from postclock.store.steps.rows import cancel_with_batch, is_gone_with_batch, stop_exposed
from postclock.store.steps.work import Work


def cancel(ident: int, tenant: int, mode: int, now: int) -> Callable[[Work], BatchCancelled]:
    """The job that flags a batch cancelled and moves its counts with the flag; again: the numbers as they are now.

    Raises NotFound. The exposed among the waiting are stopped here, one by one, so that the answer is exact; the others are
    counted as cancelled at once and settled by the sweep.
    """

    def job(tx: Work) -> BatchCancelled:
        flags = tx.batch(ident)
        if flags is None or (flags.tenant, flags.mode) != (tenant, mode):
            raise NotFound("Batch not found")
        stopped: list[State] = []
        if not flags.cancelled:
            tx.flag_cancelled(ident, now)
            if tx.counts(ident)[EXPOSED]:
                stopped = _stop_all(tx, ident, now)
            sums = tx.counts(ident)
            for state in CANCELLABLE:
                n = sums[state]
                if n:
                    tx.tally.count(ident, tenant, mode, state, -n)
                    tx.tally.count(ident, tenant, mode, State.cancelled, n)
                    tx.tally.settled(ident, tenant, mode, now)
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


def _stop_all(tx: Work, ident: int, now: int) -> list[State]:
    """Stop the exposed among the waiting; the states they have then (sent, or settled and never cancelled)."""
    states = []
    for row_id in tx.exposed_rows(ident):
        row = tx.row(row_id)
        assert row is not None
        states.append(stop_exposed(tx, row, now, "batch")[2])
    return states


def sweep(batch: int, idents: Sequence[int], now: int, *, last: bool) -> Callable[[Work], None]:
    """The job that settles rows of a cancelled batch. It moves no count but those of the exposed. ``last``: none is left."""

    def job(tx: Work) -> None:
        for ident in idents:
            row = tx.row(ident)
            if row is None or row.status not in CANCELLABLE:
                continue
            if is_gone_with_batch(tx, row):
                cancel_with_batch(tx, row, now)
            else:
                stop_exposed(tx, row, now, "batch")
        if last:
            tx.mark_swept(batch)

    return job
