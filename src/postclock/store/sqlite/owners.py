"""Owners on SQLite: a process's life in the store.

The folder's lock proves that every former owner is dead, so a new life ends them all and rescue runs at start, at once.
"""

from collections.abc import Callable
from typing import Final

from postclock.core.ids import MAX_NODE
from postclock.store.records import Life, Owner, Rescued
from postclock.store.sqlite.transaction import SQL, Transaction
from postclock.store.steps import rescue as steps
from postclock.store.tables.desk import Run

FIRST_EPOCH: Final = 1
"""A life begins with it; the statement ``owner_is_alive`` knows it too."""


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


def lives(run: Run) -> list[Life]:
    """Every life that goes on: on SQLite the one that has the folder."""
    found = run("SELECT id, epoch, beat FROM owners WHERE epoch = ?", (FIRST_EPOCH,))
    return [Life(ident, epoch, beat, api=True) for ident, epoch, beat in found]


def end_life(life: Life) -> Callable[[Transaction], bool]:
    """The job that ends a life whose beat is still the one that was seen."""

    def job(tx: Transaction) -> bool:
        values = (life.owner, life.epoch, life.beat)
        return tx.do("UPDATE owners SET epoch = epoch + 1 WHERE id = ? AND epoch = ? AND beat = ?", values) == 1

    return job


def rescue(
    alive: Owner, now: int, limit: int, uncertain_wait: int, settle_after: int
) -> Callable[[Transaction], Rescued]:
    """The job that takes back up to ``limit`` rows of dead owners: not departed, released; departed, uncertain."""

    def job(tx: Transaction) -> Rescued:
        found = [ident for (ident,) in tx.rows(SQL["foreign_claims"], (alive.id, limit))]
        return steps.rescue(found, now, uncertain_wait, settle_after)(tx)

    return job
