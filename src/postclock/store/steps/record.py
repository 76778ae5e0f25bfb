"""Record: what became of a run, once. Every write names its claim; what comes too late is a late result, never lost."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from postclock.core.lifecycle import SETTLED, WAITING, RecipientState, State, Step, allows, fold
from postclock.store.records import Owner, RecipientResult, Result
from postclock.store.steps.rows import (
    SETTLE_LANE,
    cancel_with_batch,
    claimed_row,
    event,
    finish,
    is_gone_with_batch,
    is_proved,
    recipient_states,
    settle,
    settle_proved,
    stop_exposed,
    wait_again,
)
from postclock.store.steps.work import Row, Work

EVENTS: Final[dict[RecipientState, str]] = {
    RecipientState.accepted: "sent",
    RecipientState.delivered: "delivered",
    RecipientState.bounced: "bounce",
    RecipientState.deferred: "deferred",
    RecipientState.uncertain: "uncertain",
    RecipientState.given_up: "failed",
    RecipientState.dropped: "dropped",
    RecipientState.simulated: "processed",
}
FINAL: Final = {r: s for r in RecipientState if (s := fold([r])) in SETTLED}
"""The state of a message whose only recipient ended so."""
_TAKEN: Final = frozenset({RecipientState.accepted, RecipientState.delivered})
_ANSWERED: Final = _TAKEN | {RecipientState.bounced, RecipientState.deferred}
"""What the server said itself: news even when it comes late."""
HOLD: Final = "uncertain: hold"
EARLIER: Final = "an earlier open or click"
"""What proves that a mail arrived although its result was lost: the final reply may be ten minutes late."""


def record(owner: Owner, results: Sequence[Result], now: int) -> Callable[[Work], list[str]]:
    """The job that writes results; one word per item: recorded, late, event (only noted) or gone."""

    def job(tx: Work) -> list[str]:
        return [_one(tx, owner, r, now) for r in results]

    return job


def _one(tx: Work, owner: Owner, result: Result, now: int) -> str:
    c = result.claimed
    if c.n_rcpt == 1 and len(result.results) == 1 and (final := FINAL.get(result.results[0].state)) is not None:
        ended = tx.take_out(c.id, owner.id, c.attempt)
        if ended is not None:
            _end(tx, ended, result, final, now)
            return "recorded"
    row = tx.row(c.id)
    if row is not None and claimed_row(row, c, owner.id):
        _apply(tx, row, result, now)
        return "recorded"
    if result.departed_at is None or result.abort:
        return "gone"  # nothing was sent: whoever holds the row now knows better
    answers = tuple(r for r in result.results if r.state in _ANSWERED)
    same_flight = row is not None and row.departed_at == result.departed_at
    if row is not None and same_flight and answers and allows(Step.late, row.status, exposed=row.exposed):
        _apply(tx, row, replace(result, results=answers), now)
        return "late"
    if tx.message(c.message) is None:
        return "gone"
    for r in result.results:
        event(
            tx,
            c.message,
            c.week,
            "late_result",
            now,
            r.address,
            {"outcome": r.state.name, "smtp_response": r.reply, "attempt": c.attempt},
        )
    return "event"


def _end(tx: Work, row: Row, result: Result, state: State, now: int) -> None:
    """The final result of a lone recipient, whose row was taken out: most mail goes this way."""
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
        return
    r = result.results[0]
    _tell(tx, row, result, r, now)
    reason = result.reason or (None if r.state in _TAKEN else r.reply)
    exposed = row.exposed or r.state in _TAKEN
    settle(tx, row, state, now, reason=reason, exposed=exposed, data_at=result.data_at, taken_out=True)


def _apply(tx: Work, row: Row, result: Result, now: int) -> None:
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)  # cancelled before it departed: whatever the run says, nothing was sent
        return
    if result.abort:
        _back(tx, row, now)
        return
    exposed = row.exposed
    for r in result.results:
        exposed = exposed or r.state in _TAKEN or r.state is RecipientState.uncertain
        _tell(tx, row, result, r, now)
    if row.message == row.id and len(result.results) == 1 and result.claimed.n_rcpt == 1:
        state = fold([result.results[0].state])
    else:
        for r in result.results:
            tx.set_recipient(row.message, row.week, r.n, r.state, r.reply, now)
        state = fold(recipient_states(tx, row.message))
    _place(tx, row, result, state, now, exposed=exposed)


def _tell(tx: Work, row: Row, result: Result, r: RecipientResult, now: int) -> None:
    metadata: dict[str, Any] = {"attempt": result.claimed.attempt}
    if r.reply:
        metadata["smtp_response" if r.code else "reason"] = r.reply
    if result.host:
        metadata["host"] = result.host
    if r.bounce_type:
        metadata["bounce_type"] = r.bounce_type
    if result.retry_at is not None and r.state in (RecipientState.deferred, RecipientState.uncertain):
        metadata["next_attempt_at"] = result.retry_at // 1000
    event(tx, row.message, row.week, r.event or EVENTS[r.state], now, r.address, metadata)
    if r.state is RecipientState.bounced and r.bounce_type == "hard":
        tx.suppress(row, r.address, now, kind="bounces", reason=r.reply, bounce_type=r.bounce_type, status=r.enhanced)


def _place(tx: Work, row: Row, result: Result, state: State, now: int, *, exposed: bool) -> None:
    reason = result.reason or next((r.reply for r in result.results if r.state not in _TAKEN), None)
    accepted = any(r.state is RecipientState.accepted for r in result.results)
    settle_at = result.settle_at if accepted else None
    match state:
        case State.uncertain:
            _uncertain(tx, row, result, now, reason, settle_at)
        case State.deferred | State.queued:
            flags = tx.batch(row.batch)
            if flags is not None and flags.cancelled:
                _end_in_cancelled_batch(tx, row, now, exposed=exposed, settle_at=settle_at)
                return
            deferrals = row.deferrals if result.reason else row.deferrals + 1
            wait_again(
                tx,
                row,
                state,
                ready_at=result.retry_at,
                exposed=exposed,
                deferrals=deferrals,
                tried_at=result.claimed.tried_at,
                settle_at=settle_at,
                reason=reason,
            )
        case State.sent:
            tx.note_sent(row, now, result.data_at)
            known = row.settle_at if settle_at is None else settle_at
            wait_again(
                tx,
                row,
                state,
                ready_at=now if known is None else known,
                lane=SETTLE_LANE,
                exposed=exposed,
                settle_at=known,
                reason=reason,
            )
        case _:
            settle(tx, row, state, now, reason=reason, exposed=exposed, data_at=result.data_at)


def _end_in_cancelled_batch(tx: Work, row: Row, now: int, *, exposed: bool, settle_at: int | None = None) -> None:
    """What would wait again in a cancelled batch settles: cancelled, or by the fold when exposed."""
    if exposed:
        wait_again(tx, row, State.queued, ready_at=None, exposed=True, settle_at=settle_at, reason="batch cancelled")
        again = tx.row(row.id)
        assert again is not None
        stop_exposed(tx, again, now, "batch")
        return
    for n, _, outcome, reply in tx.recipients(row.message):
        if outcome in (RecipientState.pending, RecipientState.deferred, RecipientState.departed):
            tx.set_recipient(row.message, row.week, n, RecipientState.stopped, reply, now)
    event(tx, row.message, row.week, "cancelled", now, None, {"by": "batch"})
    settle(tx, row, State.cancelled, now)


def _uncertain(tx: Work, row: Row, result: Result, now: int, reason: str | None, settle_at: int | None) -> None:
    if is_proved(tx, row):
        settle_proved(tx, row, now, result.results[0].address, EARLIER)
        return
    ready_at = result.retry_at if result.policy == "resend" else None
    why = HOLD if result.policy == "hold" else reason
    wait_again(
        tx,
        row,
        State.uncertain,
        ready_at=ready_at,
        exposed=True,
        # A server that breaks off after every dot gets the mail again less and less often.
        deferrals=row.deferrals + (result.policy == "resend"),
        tried_at=result.claimed.tried_at,
        settle_at=settle_at,
        reason=why,
    )
    if result.policy == "assume_sent":
        again = tx.row(row.id)
        assert again is not None
        assume_sent(tx, again, now, result.settle_at, retry_at=result.retry_at)


def assume_sent(tx: Work, row: Row, now: int, settle_at: int | None, *, retry_at: int | None = None) -> None:
    """Resolve an uncertain row by the policy that takes it as sent. With no settle time it is delivered at once.

    Recipients that were deferred in the same run are tried again at ``retry_at`` (None: now).
    """
    target = RecipientState.delivered if settle_at is None else RecipientState.accepted
    states = []
    for n, address, outcome, reply in tx.recipients(row.message):
        if outcome is RecipientState.uncertain:
            outcome = target
            tx.set_recipient(row.message, row.week, n, outcome, reply, now)
            event(tx, row.message, row.week, EVENTS[outcome], now, address, {"assumed": True})
        states.append(outcome)
    if not states:
        states = [target]
        message = tx.message(row.message)
        assert message is not None
        event(tx, row.message, row.week, EVENTS[target], now, message.rcpt, {"assumed": True})
    state = fold(states)
    if state not in WAITING:
        finish(tx, row._replace(settle_at=row.settle_at if settle_at is None else settle_at), state, now)
        return
    flags = tx.batch(row.batch)
    if flags is not None and flags.cancelled:
        _end_in_cancelled_batch(tx, row, now, exposed=True, settle_at=settle_at)
        return
    wait_again(
        tx,
        row,
        state,
        ready_at=now if retry_at is None else retry_at,
        deferrals=row.deferrals + 1,
        tried_at=row.tried_at,
        settle_at=settle_at,
    )


def _back(tx: Work, row: Row, now: int) -> None:
    """The dot was never handed over: the row waits as before."""
    flags = tx.batch(row.batch)
    if flags is not None and flags.cancelled:
        _end_in_cancelled_batch(tx, row, now, exposed=row.exposed)
        return
    wait_again(tx, row, State.queued, ready_at=max(row.due_at, now), deferrals=row.deferrals, tried_at=row.tried_at)
