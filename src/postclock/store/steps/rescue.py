"""Rescue and release: what a dead owner held, and what a living one gives back."""

from collections.abc import Callable, Sequence
from typing import Final, assert_never

import msgspec

from postclock.core.account import TenantSettings
from postclock.core.lifecycle import State
from postclock.core.message import UncertainPolicy
from postclock.store.records import POLICIES, Owner, Rescued
from postclock.store.steps.record import EARLIER, HOLD, assume_sent
from postclock.store.steps.rows import (
    cancel_with_batch,
    is_gone_with_batch,
    is_owner_dead,
    is_proved,
    lose,
    settle_proved,
    stop_exposed,
    wait_again,
    waiting_state,
)
from postclock.store.steps.work import Row, Work

DIED: Final = "the process died before the result"
_settings = msgspec.msgpack.Decoder(TenantSettings).decode


def rescue(idents: Sequence[int], now: int, uncertain_wait: int, settle_after: int) -> Callable[[Work], Rescued]:
    """The job that takes rows back from dead owners: not departed, released; departed, uncertain."""

    def job(tx: Work) -> Rescued:
        done = lost = 0
        for ident in idents:
            row = tx.row(ident)
            if row is None or not is_owner_dead(tx, row):
                continue  # another rescuer was faster
            if row.status is State.sending:
                _lost(tx, row, now, uncertain_wait, settle_after)
                lost += 1
            else:
                release(tx, row, now)
            done += 1
        return Rescued(done, lost)

    return job


def release(tx: Work, row: Row, now: int) -> None:
    """A claim ends with nothing departed: the row waits as before."""
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
        return
    flags = tx.batch(row.batch)
    if flags is not None and flags.cancelled:
        stop_exposed(tx, row, now, "batch")
        return
    wait_again(tx, row, waiting_state(tx, row), ready_at=max(row.due_at, now), tried_at=row.tried_at)


def release_claims(owner: Owner, items: Sequence[tuple[int, int]], now: int) -> Callable[[Work], int]:
    """The job that gives back (id, attempt) pairs of this owner that did not depart; how many were still its own."""

    def job(tx: Work) -> int:
        done = 0
        for ident, attempt in items:
            row = tx.row(ident)
            if row is None or row.owner != owner.id or row.attempt != attempt or row.status is State.sending:
                continue
            release(tx, row, now)
            done += 1
        return done

    return job


def _tenant_policy(tx: Work, tenant: int) -> UncertainPolicy:
    found = tx.tenant(tenant)
    return "resend" if found is None else _settings(found.settings).uncertain


def _lost(tx: Work, row: Row, now: int, uncertain_wait: int, settle_after: int) -> None:
    policy = POLICIES.get(row.policy) or _tenant_policy(tx, row.tenant)
    departed_at = now if row.departed_at is None else row.departed_at
    lost = lose(tx, row, now, DIED)
    if is_proved(tx, lost):
        message = tx.message(lost.message)
        settle_proved(tx, lost, now, None if message is None else message.rcpt, EARLIER)
        return
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
