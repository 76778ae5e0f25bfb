"""Depart: the durable step before the first byte of DATA. What may not go is refused, parked or sent back to be made again."""

from collections.abc import Callable, Sequence

from postclock.core.lifecycle import RecipientState, Shown, State, Step, allows, fold
from postclock.core.simulation import simulated
from postclock.store.records import LIVE, TEST, Claimed, Departed, Departure, Held, Owner
from postclock.store.steps.charging import Charging
from postclock.store.steps.claim import PAUSED, SUSPENDED, park
from postclock.store.steps.rows import (
    cancel_with_batch,
    claimed_row,
    event,
    finish,
    give_up,
    is_gone_with_batch,
    recipient_states,
    stop_exposed,
    waiting_state,
)
from postclock.store.steps.work import Charge, Row, TenantRow, Work

GONE = Held("gone")
SETTLED = Held("settled")
PARKED = Held("parked")
STALE = Held("stale")
EARLY = Held("early")


def depart(owner: Owner, items: Sequence[Departure], now: int) -> Callable[[Work], list[Departed | Held]]:
    """The job that lets a group go; one answer per item, in order.

    Flags, suppression and domain are looked at for every depart; the plan only at the hand-off. The suppressed are dropped
    from the envelope first; when nobody is left, the message is refused here.
    """

    def job(tx: Work) -> list[Departed | Held]:
        if not tx.lives(owner):
            return [GONE] * len(items)
        tenants: dict[int, TenantRow | None] = {}
        charging = Charging(tx, now)
        answers = [_one(tx, owner, item, now, tenants, charging) for item in items]
        charging.write()
        return answers

    return job


def _one(
    tx: Work,
    owner: Owner,
    item: Departure,
    now: int,
    tenants: dict[int, TenantRow | None],
    charging: Charging,
) -> Departed | Held:
    c = item.claimed
    flags = tx.batch(c.batch)
    if c.tenant not in tenants:
        tenants[c.tenant] = tx.tenant(c.tenant)
    tenant = tenants[c.tenant]
    if tenant is None or tenant.suspended or (flags is not None and (flags.cancelled or flags.paused)):
        return _flagged(tx, owner, c, now, suspended=tenant is None or tenant.suspended)
    if tenant.revision != item.revision:
        return STALE
    if c.mode == LIVE and not tx.is_verified(c.tenant, item.domain):
        return _refuse(tx, owner, c, now, f"sender domain not verified: {item.domain}")
    dropped = frozenset(r.n for r in c.recipients if tx.suppressed(c.tenant, c.mode, r.address))
    if dropped and (held := _drop(tx, owner, c, dropped, now)) is not None:
        return held
    if c.mode == TEST:
        return _simulate(tx, owner, c, dropped, now)
    charge: Charge | None = None  # a later attempt of what was handed off costs nothing, and no limit stands against it
    if c.stamp is None:
        asked = charging.ask(tenant, item, [r for r in c.recipients if r.n not in dropped])
        if isinstance(asked, str):
            return _refuse(tx, owner, c, now, asked)
        charge = asked
    if not tx.depart(c, owner.id, item.stamp, now):
        return EARLY if _held(tx, owner, c, now) is EARLY else GONE
    tx.tally.move(c.batch, c.tenant, c.mode, c.status, State.sending, was_exposed=c.exposed, is_exposed=c.exposed)
    if charge is not None:
        charging.take(charge)
    if item.reissued:
        event(
            tx,
            c.message,
            c.week,
            "reissued",
            now,
            None,
            {"reason": "the key or the template version of the first hand-off is gone"},
        )
    return Departed(now, dropped)


def _held(tx: Work, owner: Owner, c: Claimed, now: int) -> Row | Held:
    """The row under this very claim, with nothing departed yet and its time come; else the answer."""
    row = tx.row(c.id)
    if row is None or not claimed_row(row, c, owner.id) or not allows(Step.depart, row.status):
        return GONE
    return EARLY if row.due_at > now else row


def _flagged(tx: Work, owner: Owner, c: Claimed, now: int, *, suspended: bool) -> Held:
    row = _held(tx, owner, c, now)
    if isinstance(row, Held):
        return row
    if is_gone_with_batch(tx, row):
        cancel_with_batch(tx, row, now)
        return GONE
    flags = tx.batch(c.batch)
    if flags is not None and flags.cancelled:
        stop_exposed(tx, row, now, "batch")
        return SETTLED
    park(tx, row, waiting_state(tx, row), now, SUSPENDED if suspended else PAUSED)
    return PARKED


def _refuse(tx: Work, owner: Owner, c: Claimed, now: int, reason: str) -> Held:
    row = _held(tx, owner, c, now)
    if isinstance(row, Held):
        return row
    give_up(tx, row, now, reason)
    return SETTLED


def _simulate(tx: Work, owner: Owner, c: Claimed, dropped: frozenset[int], now: int) -> Held:
    """What a test message comes to, all at once: events and suppressions as of real mail, and nothing leaves."""
    row = _held(tx, owner, c, now)
    if isinstance(row, Held) or not allows(Step.simulate, row.status):
        return row if isinstance(row, Held) else GONE
    shown = Shown.nothing
    for r in c.recipients:
        if r.n in dropped:
            continue
        outcome = simulated(r.address)
        shown = max(shown, outcome.shown)
        told = {"simulated": True, "smtp_response": outcome.reply}
        if outcome.list == "bounces":
            told["bounce_type"] = "hard"
        event(tx, c.message, c.week, outcome.event, now, r.address, told)
        if outcome.list is not None:
            bounce_type = "hard" if outcome.list == "bounces" else ""
            tx.suppress(
                row, r.address, now, kind=outcome.list, reason=outcome.reply, bounce_type=bounce_type, status=""
            )
        tx.set_recipient(c.message, c.week, r.n, RecipientState.simulated, outcome.reply, now)
    finish(tx, row, fold(recipient_states(tx, c.message) or [RecipientState.simulated]), now)
    tx.note_shown(c.message, c.week, shown)
    return SETTLED


def _drop(tx: Work, owner: Owner, c: Claimed, dropped: frozenset[int], now: int) -> Held | None:
    """Drop the suppressed; None when somebody is left to send to."""
    row = _held(tx, owner, c, now)
    if isinstance(row, Held):
        return row
    for r in c.recipients:
        if r.n in dropped:
            lists = tx.suppressed(c.tenant, c.mode, r.address)
            tx.set_recipient(c.message, c.week, r.n, RecipientState.dropped, "suppressed", now)
            event(tx, c.message, c.week, "dropped", now, r.address, {"reason": "suppressed", "list": lists[0]})
    if len(dropped) < len(c.recipients):
        return None
    finish(
        tx,
        row,
        fold(recipient_states(tx, c.message) or [RecipientState.dropped]),
        now,
        reason="every recipient is suppressed",
    )
    return SETTLED
