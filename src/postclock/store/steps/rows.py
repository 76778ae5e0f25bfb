"""The queue row and the few writes that every step is made of: wait, settle, tell the timeline.

Whoever changes a state does it through ``wait_again`` or ``settle`` here, so that row, counts, message and event cannot part.
"""

from typing import Any, Final

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
from postclock.store.records import Claimed
from postclock.store.steps.work import Row, Work

_json: Final = msgspec.json.Encoder().encode
SETTLE_LANE: Final = 3


def event(
    tx: Work,
    message: int,
    week: int,
    kind: str,
    at: int,
    recipient: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Add an event at the end of the message's timeline."""
    tx.event(message, week, kind, at, recipient, _json(metadata).decode() if metadata else None)


def is_gone_with_batch(tx: Work, row: Row) -> bool:
    """Whether the row's batch was cancelled under it: then it counts as cancelled already."""
    flags = tx.batch(row.batch)
    return flags is not None and flags.cancelled and row.status in CANCELLABLE and not row.exposed


def wait_again(
    tx: Work,
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
    tx.wait(
        row,
        state,
        ready_at=ready_at,
        lane=row.lane if lane is None else lane,
        exposed=is_exposed,
        deferrals=row.deferrals if deferrals is None else deferrals,
        tried_at=tried_at,
        settle_at=row.settle_at if settle_at is None else settle_at,
        reason=reason,
    )
    tx.tally.move(row.batch, row.tenant, row.mode, row.status, state, was_exposed=row.exposed, is_exposed=is_exposed)
    if ready_at is not None:
        tx.tally.ready(ready_at)


def settle(
    tx: Work,
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
        tx.drop(row)
    tx.settle(row, state, now, exposed=is_exposed, data_at=data_at, delivered_at=delivered_at, reason=reason)
    if counted:
        tx.tally.move(
            row.batch,
            row.tenant,
            row.mode,
            row.status,
            state,
            was_exposed=row.exposed,
            is_exposed=is_exposed,
            settled_at=now,
        )


def cancel_with_batch(tx: Work, row: Row, now: int) -> None:
    """Settle a row that its cancelled batch had already counted as cancelled."""
    halt_recipients(tx, row, now, exposed=False)
    event(tx, row.message, row.week, "cancelled", now, None, {"by": "batch"})
    settle(tx, row, State.cancelled, now, counted=False)


def recipient_states(tx: Work, message: int) -> list[RecipientState]:
    """Every recipient's state; none when there is only one, whose state is the message's."""
    return [r.state for r in tx.recipients(message)]


def halt_recipients(tx: Work, row: Row, now: int, *, exposed: bool) -> tuple[int, int, list[RecipientState]]:
    """Stop all pending recipients; (stopped, all, their states now)."""
    found = tx.recipients(row.message)
    if not found:
        return 1, 1, [halted(RecipientState.pending, exposed=exposed)]
    states = []
    stopped = 0
    for n, _, state, reply in found:
        after = halted(state, exposed=exposed)
        if after is not state:
            tx.set_recipient(row.message, row.week, n, after, reply, now)
            stopped += 1
        states.append(after)
    return stopped, len(states), states


def stop_exposed(tx: Work, row: Row, now: int, by: str) -> tuple[int, int, State]:
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


def finish(tx: Work, row: Row, state: State, now: int, *, reason: str | None = None) -> None:
    """Put a row with nobody left to send to where the fold says: waiting for its confirmation, or settled."""
    if state is State.sent:
        tx.note_sent(row, now, None)
        ready_at = now if row.settle_at is None else row.settle_at
        wait_again(tx, row, state, ready_at=ready_at, lane=SETTLE_LANE, reason=reason)
    else:
        settle(tx, row, state, now, reason=reason)


def waiting_state(tx: Work, row: Row) -> State:
    """Deferred or queued, for a row whose claim ends with nothing departed."""
    if row.status in WAITING:
        return row.status
    states = recipient_states(tx, row.message)
    if states:
        state = fold(states)
        return state if state in WAITING else State.queued
    return State.deferred if row.deferrals else State.queued


def lose(tx: Work, row: Row, now: int, why: str) -> Row:
    """The result of a departed attempt is lost: everybody on it is uncertain, and told so. The row, parked, as it is now."""
    message = tx.message(row.message)
    assert message is not None
    told = [] if message.rcpt is None else [message.rcpt]
    for n, address, outcome, _ in tx.recipients(row.message):
        if outcome in RECIPIENT_PENDING:
            tx.set_recipient(row.message, row.week, n, RecipientState.uncertain, why, now)
            told.append(address)
    for address in told:
        event(tx, row.message, row.week, "uncertain", now, address, {"attempt": row.attempt, "reason": why})
    wait_again(tx, row, State.uncertain, ready_at=None, exposed=True, tried_at=row.tried_at, reason=why)
    lost = tx.row(row.id)
    assert lost is not None
    return lost


def is_proved(tx: Work, row: Row) -> bool:
    """Whether its lone recipient opened the mail, or followed one of its links, before its result was lost."""
    message = tx.message(row.message)
    return message is not None and message.rcpt is not None and message.told > 0


def settle_proved(tx: Work, row: Row, now: int, recipient: str | None, by: str) -> None:
    """End a row whose recipient shows to have the mail: it is delivered, and never sent again."""
    event(tx, row.message, row.week, "delivered", now, recipient, {"proved_by": by})
    settle(tx, row, State.delivered, now, exposed=True)


def is_owner_dead(tx: Work, row: Row) -> bool:
    """Whether the life that holds the row was ended by another."""
    return row.owner is not None and not tx.is_alive(row.owner)


def give_up(tx: Work, row: Row, now: int, reason: str, *, by: str = "") -> State:
    """End a row: what is pending or uncertain is given up, the rest stands; by the fold. The state it has then."""
    states = []
    for n, _, outcome, reply in tx.recipients(row.message):
        if outcome in RECIPIENT_PENDING or outcome is RecipientState.uncertain:
            outcome = RecipientState.given_up
            tx.set_recipient(row.message, row.week, n, outcome, reply, now)
        states.append(outcome)
    event(tx, row.message, row.week, "failed", now, None, {"reason": reason} | ({"by": by} if by else {}))
    state = fold(states or [RecipientState.given_up])
    finish(tx, row, state, now, reason=reason)
    return state


def claimed_row(row: Row, claimed: Claimed, owner: int) -> bool:
    """Whether the claim is still in force: this owner, this attempt."""
    return row.owner == owner and row.attempt == claimed.attempt
