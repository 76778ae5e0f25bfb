"""Batches as a caller has them: made empty, and read in a few rows however many messages they have."""

from collections.abc import Callable
from typing import Final

from postclock.core.errors import NotFound
from postclock.core.lifecycle import State
from postclock.store.queries import load
from postclock.store.records import BatchStatus
from postclock.store.tables.desk import Run, Writing

SQL: Final = load("postclock.store.tables.sql", "batches")


def create(ident: int, tenant: int, mode: int, now: int) -> Callable[[Writing], None]:
    """The job that makes an empty batch."""

    def job(tx: Writing) -> None:
        tx.do(SQL["insert_batch"], (ident, tenant, mode, now))
        tx.forget_batch(ident)

    return job


def read_status(run: Run, ident: int, tenant: int, mode: int) -> BatchStatus:
    """A batch with its counts; raises NotFound."""
    found = run(SQL["get_batch"], (ident, tenant, mode))
    if not found:
        raise NotFound("Batch not found")
    _, created_at, sealed_at, paused_at, cancelled_at = found[0]
    sums = run(SQL["sums"], (ident,))[0]
    return BatchStatus(
        id=ident, created_at=created_at, sealed=sealed_at is not None, paused=paused_at is not None, cancelled=cancelled_at is not None,
        counts={s: int(sums[s] or 0) for s in State}, last_settled_at=sums[-1],
    )  # fmt: skip
