"""Owners: a process's life in the store, and the rescue of what a former life left behind.

On SQLite the folder's lock proves that every former owner is dead, so rescue runs at start, at once.
"""

from collections.abc import Callable
from typing import Final, assert_never

import msgspec

from postclock.core.account import TenantSettings
from postclock.core.ids import MAX_NODE
from postclock.core.lifecycle import State
from postclock.core.message import UncertainPolicy
from postclock.store.records import POLICIES, Owner, Rescued
from postclock.store.sqlite.record import HOLD, assume_sent
from postclock.store.sqlite.rows import (
    SQL,
    Row,
    cancel_with_batch,
    is_gone_with_batch,
    lose,
    read_row,
    stop_exposed,
    wait_again,
    waiting_state,
)
from postclock.store.sqlite.transaction import Transaction

FIRST_EPOCH: Final = 1
"""A life begins with it; the statement ``owner_is_alive`` knows it too."""
DIED: Final = "the process died before the result"
_settings = msgspec.msgpack.Decoder(TenantSettings).decode


def register(now: int) -> Callable[[Transaction], tuple[Owner, int | None]]:
    """The job that begins a life: ends all former ones, leases a node; and when the last one was heard of."""

    def job(tx: Transaction) -> tuple[Owner, int | None]:
        last = tx.one("SELECT id, node, (SELECT max(beat_at) FROM owners) FROM owners ORDER BY id DESC LIMIT 1")
        ident, node, beat_at = (0, -1, None) if last is None else last
        tx.do("UPDATE owners SET epoch = epoch + 1")
        tx.do("DELETE FROM owners WHERE id < ?", (ident - 16,))
        # The next node (the last one is for commands), so that a clock that went back between two lives cannot make an id twice.
        owner = Owner(ident + 1, FIRST_EPOCH, (node + 1) % MAX_NODE)
        tx.do(
            "INSERT INTO owners (id, epoch, beat, node, started_at, beat_at) VALUES (?, ?, 0, ?, ?, ?)",
            (owner.id, owner.epoch, owner.node, now, now),
        )
        return owner, beat_at

    return job


def beat(owner: Owner, now: int) -> Callable[[Transaction], bool]:
    """The job that says "I live"; False when this life was ended by a rescuer."""

    def job(tx: Transaction) -> bool:
        return (
            tx.do(
                "UPDATE owners SET beat = beat + 1, beat_at = ? WHERE id = ? AND epoch = ?",
                (now, owner.id, owner.epoch),
            )
            == 1
        )

    return job


def rescue(
    alive: Owner, now: int, limit: int, uncertain_wait: int, settle_after: int
) -> Callable[[Transaction], Rescued]:
    """The job that takes back up to ``limit`` rows of dead owners: not departed, released; departed, uncertain."""

    def job(tx: Transaction) -> Rescued:
        lost = 0
        found = tx.rows(SQL["foreign_claims"], (alive.id, limit))
        for (ident,) in found:
            row = read_row(tx, ident)
            assert row is not None
            if row.status is State.sending:
                _lost(tx, row, now, uncertain_wait, settle_after)
                lost += 1
            else:
                release(tx, row, now)
        return Rescued(len(found), lost)

    return job


def release(tx: Transaction, row: Row, now: int) -> None:
    """A claim ends with nothing departed: the row waits as before."""
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
        return
    flags = tx.batch(row.batch)
    if flags is not None and flags.cancelled:
        stop_exposed(tx, row, now, "batch")
        return
    wait_again(tx, row, waiting_state(tx, row), ready_at=max(row.due_at, now), tried_at=row.tried_at)


def release_claims(owner: Owner, items: list[tuple[int, int]], now: int) -> Callable[[Transaction], int]:
    """The job that gives back (id, attempt) pairs of this owner that did not depart; how many were still its own."""

    def job(tx: Transaction) -> int:
        done = 0
        for ident, attempt in items:
            row = read_row(tx, ident)
            if row is None or row.owner != owner.id or row.attempt != attempt or row.status is State.sending:
                continue
            release(tx, row, now)
            done += 1
        return done

    return job


def _tenant_policy(tx: Transaction, tenant: int) -> UncertainPolicy:
    found = tx.one("SELECT settings FROM tenants WHERE id = ?", (tenant,))
    return "resend" if found is None else _settings(found[0]).uncertain


def _lost(tx: Transaction, row: Row, now: int, uncertain_wait: int, settle_after: int) -> None:
    policy = POLICIES.get(row.policy) or _tenant_policy(tx, row.tenant)
    departed_at = now if row.departed_at is None else row.departed_at
    lost = lose(tx, row, now, DIED)
    match policy:
        case "resend":
            wait_again(
                tx, lost, State.uncertain, ready_at=departed_at + uncertain_wait, tried_at=row.tried_at, reason=DIED
            )
        case "hold":
            wait_again(tx, lost, State.uncertain, ready_at=None, tried_at=row.tried_at, reason=HOLD)
        case "assume_sent":
            assume_sent(tx, lost, now, now + settle_after if settle_after else None)
        case _:
            assert_never(policy)
