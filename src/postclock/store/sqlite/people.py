"""What a person asks of one message: cancel, fail, retry. Each is one atomic step against the engine's own."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from postclock.core.errors import Invalid, NotFound
from postclock.core.lifecycle import (
    RecipientState,
    State,
    Step,
    allows,
)
from postclock.core.message import Submission
from postclock.store.records import POLICY_NUMBERS, CancelAnswer
from postclock.store.sqlite.rows import (
    SQL,
    Row,
    cancel_with_batch,
    event,
    give_up,
    halt_recipients,
    is_gone_with_batch,
    is_owner_dead,
    lose,
    read_row,
    settle,
    stop_exposed,
    wait_again,
)
from postclock.store.sqlite.transaction import Transaction

_submission = msgspec.msgpack.Decoder(Submission).decode
_ACCEPTED: Final = frozenset({RecipientState.accepted, RecipientState.delivered})
RETRY_LANE: Final = 0
BULK_LANE: Final = 2
LEFT: Final = "the process that sent it is gone, its result is not known"


def _message(tx: Transaction, tenant: int, mode: int, message: int, week: int | None) -> tuple[int | None, int]:
    """(settled state or None, number of recipients); raises NotFound for an unknown or foreign one, or one of another week."""
    found = tx.one(SQL["message"], (message,))
    if found is None or (found[2], found[3]) != (tenant, mode) or week not in (None, found[1]):
        raise NotFound("Message not found")
    return found[10], found[6]


def cancel(
    tenant: int, mode: int, message: int, now: int, week: int | None = None
) -> Callable[[Transaction], CancelAnswer]:
    """The job that cancels a message, or stops its pending recipients when it is exposed."""

    def job(tx: Transaction) -> CancelAnswer:
        status, n = _message(tx, tenant, mode, message, week)
        if status is not None:
            state = State(status)
            return CancelAnswer(state, state is State.cancelled, False, 0, n)
        row = read_row(tx, message)
        assert row is not None
        if is_gone_with_batch(tx, row):
            cancel_with_batch(tx, row, now)
            return CancelAnswer(State.cancelled, True, False, n, n)
        if allows(Step.cancel, row.status, exposed=row.exposed):
            halt_recipients(tx, row, now, exposed=False)
            event(tx, row.message, row.week, "cancelled", now, None, {"by": "request"})
            settle(tx, row, State.cancelled, now)
            return CancelAnswer(State.cancelled, True, False, n, n)
        if allows(Step.stop, row.status, exposed=row.exposed):
            stopped, total, state = stop_exposed(tx, row, now, "request")
            return CancelAnswer(state, False, True, stopped, total)
        return CancelAnswer(row.status, False, row.exposed, 0, n)

    return job


def fail(
    tenant: int, mode: int, message: int, now: int, reason: str, week: int | None = None
) -> Callable[[Transaction], State]:
    """The job that marks a message failed by hand. Raises Invalid when its state does not allow it."""

    def job(tx: Transaction) -> State:
        status, _ = _message(tx, tenant, mode, message, week)
        if status is not None:
            raise Invalid(f"A message that is {State(status).name} cannot be failed.")
        row = read_row(tx, message)
        assert row is not None
        if is_gone_with_batch(tx, row):
            raise Invalid("A message that is cancelled cannot be failed.")
        if not allows(Step.fail, row.status, exposed=row.exposed, owner_dead=is_owner_dead(tx, row)):
            raise Invalid("The message is in flight: it cannot be failed until its result is known." if row.status is State.sending
                          else f"A message that is {row.status.name} cannot be failed.")  # fmt: skip
        if row.status is State.sending:
            row = lose(tx, row, now, LEFT)
        return give_up(tx, row, now, reason, by="request")

    return job


def retry(tenant: int, mode: int, message: int, now: int, week: int | None = None) -> Callable[[Transaction], State]:
    """The job that queues a message again for its recipients without acceptance; the 72 hours start anew.

    Raises Invalid when its state, its batch or a suppression does not allow it.
    """

    def job(tx: Transaction) -> State:
        status, _ = _message(tx, tenant, mode, message, week)
        row = read_row(tx, message) if status is None else None
        if row is None:
            assert status is not None
            state, dead = State(status), False
        elif is_gone_with_batch(tx, row):
            state, dead = State.cancelled, False
        else:
            state, dead = row.status, is_owner_dead(tx, row)
        if not allows(Step.retry, state, owner_dead=dead):
            told = (
                "The message is in flight: wait for its result."
                if state is State.sending
                else f"A message that is {state.name} cannot be retried."
            )
            raise Invalid(told)
        found = tx.one(SQL["message"], (message,))
        assert found is not None
        flags = tx.batch(found[5])
        if flags is not None and flags.cancelled:
            raise Invalid("The message's batch is cancelled: it cannot be retried.")
        if row is not None and row.status is State.sending:
            row = lose(tx, row, now, LEFT)
        _reopen_recipients(tx, tenant, mode, message, found[7], now)
        if row is not None:
            wait_again(tx, row, State.queued, ready_at=max(row.due_at, now), deferrals=0)
        else:
            _reopen(tx, found, now)
        event(tx, message, found[1], "retried", now, None, {"by": "request", "from": state.name})
        return State.queued

    return job


def _reopen_recipients(tx: Transaction, tenant: int, mode: int, message: int, alone: str | None, now: int) -> None:
    """Make the recipients without acceptance pending; Invalid when one of them is suppressed."""
    if alone is not None:
        targets: list[tuple[int | None, str, str | None]] = [(None, alone, None)]
    else:
        targets = [
            (n, address, reply)
            for n, address, number, reply, _ in tx.rows(SQL["recipient_states"], (message,))
            if number not in _ACCEPTED
        ]
    if not targets:
        raise Invalid("Every recipient has accepted the message already.")
    for _, address, _ in targets:
        if tx.one(SQL["is_suppressed"], (tenant, mode, address)) is not None:
            raise Invalid(f"{address} is suppressed: remove the suppression first.")
    for number, _, reply in targets:
        if number is not None:
            tx.do(SQL["set_recipient"], (int(RecipientState.pending), reply, now, message, number))


def _reopen(tx: Transaction, found: tuple[Any, ...], now: int) -> None:
    """A settled message waits again: a queue row as at acceptance, with the stamp of its hand-off."""
    (
        ident,
        week,
        tenant,
        mode,
        submission,
        batch,
        n_rcpt,
        _,
        due_at,
        _,
        status,
        exposed,
        departed_at,
        _,
        attempt,
        stamp,
    ) = found[:16]
    ready_at = max(due_at, now)
    content = tx.one(SQL["submission"], (submission,))
    policy = 0 if content is None else POLICY_NUMBERS[_submission(content[0]).uncertain]
    tx.do(
        SQL["reopen"],
        (
            ident, ident, week, tenant, mode, RETRY_LANE if n_rcpt == 1 else BULK_LANE, batch, due_at, ready_at, attempt, exposed, policy, departed_at,
            stamp,
        ),
    )  # fmt: skip
    tx.do(SQL["reopen_message"], (ident,))
    tx.move(batch, tenant, mode, State(status), State.queued, was_exposed=bool(exposed), is_exposed=bool(exposed))
    tx.ready(ready_at)


def release_parked(idents: Sequence[int], now: int) -> Callable[[Transaction], int]:
    """The job that lets parked rows go on; how many were parked."""

    def job(tx: Transaction) -> int:
        return sum(_release(tx, row, now) for ident in idents if (row := _parked(tx, ident)) is not None)

    return job


def _parked(tx: Transaction, ident: int) -> Row | None:
    row = read_row(tx, ident)
    return row if row is not None and row.ready_at is None and row.owner is None else None


def _release(tx: Transaction, row: Row, now: int) -> bool:
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
        return True
    wait_again(tx, row, row.status, ready_at=max(row.due_at, now), tried_at=row.tried_at)
    event(tx, row.message, row.week, "released", now, None, {"was": row.reason})
    return True


def drop_parked(idents: Sequence[int], now: int, reason: str) -> Callable[[Transaction], int]:
    """The job that fails parked rows; how many were parked."""

    def job(tx: Transaction) -> int:
        return sum(_drop(tx, row, now, reason) for ident in idents if (row := _parked(tx, ident)) is not None)

    return job


def _drop(tx: Transaction, row: Row, now: int, reason: str) -> bool:
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
    else:
        give_up(tx, row, now, reason)
    return True
