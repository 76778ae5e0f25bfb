"""What a person asks of one message: cancel, fail, retry. Each is one atomic step against the engine's own."""

from collections.abc import Callable, Sequence
from typing import Final

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
from postclock.store.steps.rows import (
    cancel_with_batch,
    event,
    give_up,
    halt_recipients,
    is_gone_with_batch,
    is_owner_dead,
    lose,
    settle,
    stop_exposed,
    wait_again,
)
from postclock.store.steps.work import Row, StoredMessage, Work

_submission = msgspec.msgpack.Decoder(Submission).decode
_ACCEPTED: Final = frozenset({RecipientState.accepted, RecipientState.delivered})
RETRY_LANE: Final = 0
BULK_LANE: Final = 2
LEFT: Final = "the process that sent it is gone, its result is not known"


def _message(tx: Work, tenant: int, mode: int, message: int, week: int | None) -> StoredMessage:
    """The message; raises NotFound for an unknown or foreign one, or one of another week."""
    found = tx.message(message)
    if found is None or (found.tenant, found.mode) != (tenant, mode) or week not in (None, found.week):
        raise NotFound("Message not found")
    return found


def cancel(
    tenant: int, mode: int, message: int, now: int, week: int | None = None, *, only_scheduled: bool = False
) -> Callable[[Work], CancelAnswer]:
    """The job that cancels a message, or stops its pending recipients when it is exposed.

    ``only_scheduled``: raises NotFound, and changes nothing, where a scheduled message is not cancelled by this very job.
    """

    def job(tx: Work) -> CancelAnswer:
        found = _message(tx, tenant, mode, message, week)
        n = found.n_rcpt
        if only_scheduled and not _can_be_unscheduled(tx, found):
            raise NotFound("Message not found")
        if found.status is not None:
            state = State(found.status)
            return CancelAnswer(state, state is State.cancelled, False, 0, n)
        row = tx.row(message)
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


def _can_be_unscheduled(tx: Work, found: StoredMessage) -> bool:
    """Whether a time was asked for, and a cancel would win."""
    row = tx.row(found.id) if found.status is None else None
    if row is None or found.due_at <= found.created_at or is_gone_with_batch(tx, row):
        return False
    return allows(Step.cancel, row.status, exposed=row.exposed)


def fail(
    tenant: int, mode: int, message: int, now: int, reason: str, week: int | None = None
) -> Callable[[Work], State]:
    """The job that marks a message failed by hand. Raises Invalid when its state does not allow it."""

    def job(tx: Work) -> State:
        status = _message(tx, tenant, mode, message, week).status
        if status is not None:
            raise Invalid(f"A message that is {State(status).name} cannot be failed.")
        row = tx.row(message)
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


def retry(tenant: int, mode: int, message: int, now: int, week: int | None = None) -> Callable[[Work], State]:
    """The job that queues a message again for its recipients without acceptance; the 72 hours start anew.

    Raises Invalid when its state, its batch or a suppression does not allow it.
    """

    def job(tx: Work) -> State:
        found = _message(tx, tenant, mode, message, week)
        row = tx.row(message) if found.status is None else None
        if row is None:
            assert found.status is not None
            state, dead = State(found.status), False
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
        if not found.has_body:
            raise Invalid("The message's content is no longer kept: it cannot be retried.")
        flags = tx.batch(found.batch)
        if flags is not None and flags.cancelled:
            raise Invalid("The message's batch is cancelled: it cannot be retried.")
        if row is not None and row.status is State.sending:
            row = lose(tx, row, now, LEFT)
        _reopen_recipients(tx, found, now)
        if row is not None:
            wait_again(tx, row, State.queued, ready_at=max(row.due_at, now), deferrals=0)
        else:
            _reopen(tx, found, now)
        event(tx, message, found.week, "retried", now, None, {"by": "request", "from": state.name})
        return State.queued

    return job


def _reopen_recipients(tx: Work, message: StoredMessage, now: int) -> None:
    """Make the recipients without acceptance pending; Invalid when one of them is suppressed."""
    if message.rcpt is not None:
        targets: list[tuple[int | None, str, str | None]] = [(None, message.rcpt, None)]
    else:
        targets = [(r.n, r.address, r.reply) for r in tx.recipients(message.id) if r.state not in _ACCEPTED]
    if not targets:
        raise Invalid("Every recipient has accepted the message already.")
    for _, address, _ in targets:
        if tx.suppressed(message.tenant, message.mode, address):
            raise Invalid(f"{address} is suppressed: remove the suppression first.")
    for n, _, reply in targets:
        if n is not None:
            tx.set_recipient(message.id, message.week, n, RecipientState.pending, reply, now)


def _reopen(tx: Work, message: StoredMessage, now: int) -> None:
    """A settled message waits again: a queue row as at acceptance, with the stamp of its hand-off."""
    assert message.status is not None
    ready_at = max(message.due_at, now)
    content = tx.content(message.submission)
    policy = 0 if content is None else POLICY_NUMBERS[_submission(content).uncertain]
    tx.reopen(message, lane=RETRY_LANE if message.n_rcpt == 1 else BULK_LANE, ready_at=ready_at, policy=policy)
    exposed = bool(message.exposed)
    tx.tally.move(
        message.batch,
        message.tenant,
        message.mode,
        State(message.status),
        State.queued,
        was_exposed=exposed,
        is_exposed=exposed,
    )
    tx.tally.ready(ready_at)


def release_parked(idents: Sequence[int], now: int) -> Callable[[Work], int]:
    """The job that lets parked rows go on; how many were parked."""

    def job(tx: Work) -> int:
        return sum(_release(tx, row, now) for ident in idents if (row := _parked(tx, ident)) is not None)

    return job


def _parked(tx: Work, ident: int) -> Row | None:
    row = tx.row(ident)
    return row if row is not None and row.ready_at is None and row.owner is None else None


def _release(tx: Work, row: Row, now: int) -> bool:
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
        return True
    wait_again(tx, row, row.status, ready_at=max(row.due_at, now), tried_at=row.tried_at)
    event(tx, row.message, row.week, "released", now, None, {"was": row.reason})
    return True


def drop_parked(idents: Sequence[int], now: int, reason: str) -> Callable[[Work], int]:
    """The job that fails parked rows; how many were parked."""

    def job(tx: Work) -> int:
        return sum(_drop(tx, row, now, reason) for ident in idents if (row := _parked(tx, ident)) is not None)

    return job


def _drop(tx: Work, row: Row, now: int, reason: str) -> bool:
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
    else:
        give_up(tx, row, now, reason)
    return True
