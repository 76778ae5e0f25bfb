"""The queue row and the few writes that every step is made of: wait, settle, tell the timeline.

Whoever changes a state does it through ``wait_again`` or ``settle`` here, so that row, counts, message and event cannot part.
"""

from typing import Any, Final, NamedTuple

import msgspec

from postclock.core.lifecycle import (
    CANCELLABLE,
    HELD,
    RECIPIENT_PENDING,
    WAITING,
    RecipientState,
    State,
    fold,
    halted,
)
from postclock.store.queries import load
from postclock.store.records import Claimed
from postclock.store.sqlite.transaction import Transaction

_json: Final = msgspec.json.Encoder().encode
SQL: Final = load("postclock.store.sqlite.sql", "ledger")
SETTLE_LANE: Final = 3


class Row(NamedTuple):
    """One queue row, as the statement ``row`` reads it."""

    id: int
    message: int
    week: int
    tenant: int
    mode: int
    lane: int
    batch: int | None
    due_at: int
    ready_at: int | None
    status: State
    owner: int | None
    attempt: int
    exposed: bool
    policy: int
    deferrals: int
    tried_at: int | None
    handed_at: int | None
    departed_at: int | None
    settle_at: int | None
    stamp: bytes | None
    reason: str | None


_STATES: Final = tuple(State)
_STATUS: Final = Row._fields.index("status")
_EXPOSED: Final = Row._fields.index("exposed")


def read_row(tx: Transaction, ident: int) -> Row | None:
    """The queue row, or None when there is none (settled, or never was)."""
    found = tx.one(SQL["row"], (ident,))
    if found is None:
        return None
    return _row(found)


def take_out(tx: Transaction, ident: int, owner: int, attempt: int) -> Row | None:
    """Delete the queue row of a claim in force; the row as it was, None when the claim is no longer in force."""
    found = tx.one(SQL["take_out"], (ident, owner, attempt))
    return None if found is None else _row(found)


def _row(found: tuple[Any, ...]) -> Row:
    values = list(found)
    values[_STATUS] = _STATES[values[_STATUS]]
    values[_EXPOSED] = bool(values[_EXPOSED])
    return Row._make(values)


def event(
    tx: Transaction,
    message: int,
    week: int,
    kind: str,
    at: int,
    recipient: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Add an event at the end of the message's timeline."""
    tx.do(
        SQL["add_event"],
        (message, week, kind, at, recipient, _json(metadata).decode() if metadata else None),
    )


def is_gone_with_batch(tx: Transaction, row: Row) -> bool:
    """Whether the row's batch was cancelled under it: then it counts as cancelled already."""
    flags = tx.batch(row.batch)
    return flags is not None and flags.cancelled and row.status in CANCELLABLE and not row.exposed


def wait_again(
    tx: Transaction,
    row: Row,
    state: State,
    *,
    ready_at: int | None,
    exposed: bool | None = None,
    lane: int | None = None,
    deferrals: int | None = None,
    tried_at: int | None = None,
    settle_at: int | None = None,
    reason: str | None = None,
) -> None:
    """The row keeps waiting in ``state``; ``ready_at`` None parks it. The claim on it ends.

    ``settle_at``: when recipients that were accepted now count as delivered; None leaves what the row knows.
    """
    assert state in HELD
    is_exposed = row.exposed if exposed is None else exposed
    tx.do(
        SQL["wait"],
        (
            int(state),
            ready_at,
            row.lane if lane is None else lane,
            int(is_exposed),
            row.deferrals if deferrals is None else deferrals,
            tried_at,
            row.settle_at if settle_at is None else settle_at,
            reason,
            row.id,
        ),
    )
    tx.move(row.batch, row.tenant, row.mode, row.status, state, was_exposed=row.exposed, is_exposed=is_exposed)
    if ready_at is not None:
        tx.ready(ready_at)


def settle(
    tx: Transaction,
    row: Row,
    state: State,
    now: int,
    *,
    reason: str | None = None,
    exposed: bool | None = None,
    data_at: int | None = None,
    counted: bool = True,
    taken_out: bool = False,
) -> None:
    """The message is done: the queue row goes, the message keeps the result.

    ``counted`` False: the batch's flag moved the counts. ``taken_out``: the row is gone already.
    """
    assert state not in HELD
    is_exposed = row.exposed if exposed is None else exposed
    delivered_at = now if state is State.delivered else None
    if not taken_out:
        tx.do(SQL["drop_row"], (row.id,))
    tx.do(
        SQL["settle_message"],
        (
            int(state),
            int(is_exposed),
            row.handed_at,
            data_at,
            delivered_at,
            delivered_at,
            now,
            row.attempt,
            row.stamp,
            reason,
            row.message,
        ),
    )
    if counted:
        tx.move(
            row.batch,
            row.tenant,
            row.mode,
            row.status,
            state,
            was_exposed=row.exposed,
            is_exposed=is_exposed,
            settled_at=now,
        )


def cancel_with_batch(tx: Transaction, row: Row, now: int) -> None:
    """Settle a row that its cancelled batch had already counted as cancelled."""
    halt_recipients(tx, row, now, exposed=False)
    event(tx, row.message, row.week, "cancelled", now, None, {"by": "batch"})
    settle(tx, row, State.cancelled, now, counted=False)


def recipient_states(tx: Transaction, message: int) -> list[RecipientState]:
    """Every recipient's state; none when there is only one, whose state is the message's."""
    return [RecipientState(r[2]) for r in tx.rows(SQL["recipient_states"], (message,))]


def halt_recipients(tx: Transaction, row: Row, now: int, *, exposed: bool) -> tuple[int, int, list[RecipientState]]:
    """Stop all pending recipients; (stopped, all, their states now)."""
    found = tx.rows(SQL["recipient_states"], (row.message,))
    if not found:
        return 1, 1, [halted(RecipientState.pending, exposed=exposed)]
    states = []
    stopped = 0
    for n, _, number, reply, _ in found:
        state = RecipientState(number)
        after = halted(state, exposed=exposed)
        if after is not state:
            tx.do(SQL["set_recipient"], (int(after), reply, now, row.message, n))
            stopped += 1
        states.append(after)
    return stopped, len(states), states


def stop_exposed(tx: Transaction, row: Row, now: int, by: str) -> tuple[int, int, State]:
    """Stop an exposed row's pending recipients and settle it by the fold; (stopped, recipients, the state it has then)."""
    stopped, total, states = halt_recipients(tx, row, now, exposed=True)
    event(
        tx,
        row.message,
        row.week,
        "cancelled",
        now,
        None,
        {"by": by, "note": "may already have been delivered", "stopped": stopped, "recipients": total},
    )
    state = fold(states)
    finish(tx, row, state, now, reason="stopped; may already have been delivered")
    return stopped, total, state


def finish(tx: Transaction, row: Row, state: State, now: int, *, reason: str | None = None) -> None:
    """Put a row with nobody left to send to where the fold says: waiting for its confirmation, or settled."""
    if state is State.sent:
        tx.do(SQL["note_sent"], (now, None, row.message))
        ready_at = now if row.settle_at is None else row.settle_at
        wait_again(tx, row, state, ready_at=ready_at, lane=SETTLE_LANE, reason=reason)
    else:
        settle(tx, row, state, now, reason=reason)


def waiting_state(tx: Transaction, row: Row) -> State:
    """Deferred or queued, for a row whose claim ends with nothing departed."""
    if row.status in WAITING:
        return row.status
    states = recipient_states(tx, row.message)
    if states:
        state = fold(states)
        return state if state in WAITING else State.queued
    return State.deferred if row.deferrals else State.queued


def lose(tx: Transaction, row: Row, now: int, why: str) -> Row:
    """The result of a departed attempt is lost: everybody on it is uncertain, and told so. The row, parked, as it is now."""
    alone = tx.one(SQL["message"], (row.message,))
    assert alone is not None
    told = [(None, alone[7])] if alone[7] is not None else []
    for n, address, number, _, _ in tx.rows(SQL["recipient_states"], (row.message,)):
        if number in RECIPIENT_PENDING:
            tx.do(SQL["set_recipient"], (int(RecipientState.uncertain), why, now, row.message, n))
            told.append((n, address))
    for _, address in told:
        event(tx, row.message, row.week, "uncertain", now, address, {"attempt": row.attempt, "reason": why})
    wait_again(tx, row, State.uncertain, ready_at=None, exposed=True, tried_at=row.tried_at, reason=why)
    lost = read_row(tx, row.id)
    assert lost is not None
    return lost


def is_owner_dead(tx: Transaction, row: Row) -> bool:
    """Whether the life that holds the row was ended by another."""
    return row.owner is not None and tx.one(SQL["owner_is_alive"], (row.owner,)) is None


def give_up(tx: Transaction, row: Row, now: int, reason: str, *, by: str = "") -> State:
    """End a row: what is pending or uncertain is given up, the rest stands; by the fold. The state it has then."""
    states = []
    for n, _, number, reply, _ in tx.rows(SQL["recipient_states"], (row.message,)):
        outcome = RecipientState(number)
        if outcome in RECIPIENT_PENDING or outcome is RecipientState.uncertain:
            outcome = RecipientState.given_up
            tx.do(SQL["set_recipient"], (int(outcome), reply, now, row.message, n))
        states.append(outcome)
    event(tx, row.message, row.week, "failed", now, None, {"reason": reason} | ({"by": by} if by else {}))
    state = fold(states or [RecipientState.given_up])
    finish(tx, row, state, now, reason=reason)
    return state


def claimed_row(row: Row, claimed: Claimed, owner: int) -> bool:
    """Whether the claim is still in force: this owner, this attempt."""
    return row.owner == owner and row.attempt == claimed.attempt
