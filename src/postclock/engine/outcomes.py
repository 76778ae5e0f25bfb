"""From what a server said to what is recorded: one Result per run, with the time of the next attempt or the giving up."""

from collections.abc import Sequence

from postclock.core.backoff import is_given_up, next_attempt
from postclock.core.lifecycle import RecipientState
from postclock.core.message import UncertainPolicy
from postclock.core.outcome import Outcome, Phase, Trouble, broken
from postclock.core.reply import bounce_type
from postclock.courier.interface import Delivery, HostUnavailable
from postclock.engine.prepare import Refused
from postclock.engine.settings import EngineSettings
from postclock.store.records import Claimed, PendingRecipient, RecipientResult, Result


def of_delivery(
    claimed: Claimed,
    sent_to: Sequence[PendingRecipient],
    delivery: Delivery,
    *,
    departed_at: int,
    now: int,
    jitter: float,
    settings: EngineSettings,
    policy: UncertainPolicy,
) -> Result:
    """The result of a conversation."""
    hosts_fault = all(o.host_trouble for o in delivery.outcomes)
    retry_at = next_attempt(now, 0 if hosts_fault else claimed.deferrals, jitter)
    if any(o.state == "uncertain" for o in delivery.outcomes):
        again_at = max(now, departed_at + settings.uncertain_wait_ms)
        # The first time it is the wait alone. Deferred before or beside it, the schedule counts as well: a server that breaks
        # off after every dot gets the mail again less and less often.
        scheduled = claimed.deferrals > 0 or any(o.state == "deferred" for o in delivery.outcomes)
        retry_at = max(retry_at, again_at) if scheduled else again_at
    given_up = is_given_up(claimed.tried_at, retry_at, settings.give_up_after_ms)
    results = tuple(
        _recipient(r, o, given_up=given_up, policy=policy, settings=settings)
        for r, o in zip(sent_to, delivery.outcomes, strict=True)
    )
    return Result(
        claimed=claimed,
        departed_at=departed_at,
        results=results,
        retry_at=retry_at,
        settle_at=now + settings.settle_after_ms if settings.settle_after_ms else None,
        data_at=delivery.data_at_ms,
        policy=policy,
        host=delivery.host,
        reason=delivery.outcomes[0].text if hosts_fault else None,
    )


def broken_off(recipients: int, why: str, *, dot_sent: bool, now: int) -> Delivery:
    """What is known when a fault of ours ended a conversation."""
    phase = Phase.DOT if dot_sent else Phase.BODY
    return Delivery(
        outcomes=(broken(phase, Trouble.ABORTED, why),) * recipients,
        reply=None,
        data_at_ms=None,
        replied_at_ms=now,
        host="",
        dot_sent=dot_sent,
    )


def _recipient(
    r: PendingRecipient, o: Outcome, *, given_up: bool, policy: UncertainPolicy, settings: EngineSettings
) -> RecipientResult:
    code = 0 if o.reply is None else o.reply.code
    enhanced = "" if o.reply is None else o.reply.enhanced or ""
    match o.state:
        case "accepted":
            state = RecipientState.accepted if settings.settle_after_ms else RecipientState.delivered
            return RecipientResult(r.n, r.address, state, o.text, code, enhanced=enhanced)
        case "bounced":
            kind = "" if o.reply is None else bounce_type(o.reply)
            event = "blocked" if kind == "block" else "bounce"
            return RecipientResult(r.n, r.address, RecipientState.bounced, o.text, code, event, kind, enhanced)
        case "uncertain" if given_up and policy == "resend":
            # A server that breaks off after every final dot may have taken them all: at some time enough were sent.
            reply = f"given up, may already have been delivered: {o.text}"
            return RecipientResult(r.n, r.address, RecipientState.given_up, reply, code, enhanced=enhanced)
        case "uncertain":
            return RecipientResult(r.n, r.address, RecipientState.uncertain, o.text, code, enhanced=enhanced)
        case _ if given_up:
            return RecipientResult(
                r.n, r.address, RecipientState.given_up, f"given up: {o.text}", code, enhanced=enhanced
            )
        case _:
            return RecipientResult(r.n, r.address, RecipientState.deferred, o.text, code, enhanced=enhanced)


def of_host(claimed: Claimed, trouble: HostUnavailable, *, now: int, jitter: float, settings: EngineSettings) -> Result:
    """The result when no connection was to be had: nothing departed, the schedule of deferrals does not advance."""
    soonest = now + 1_000 if trouble.retry_at_ms is None else max(now + 1_000, trouble.retry_at_ms)
    retry_at = soonest + round(2_000 * jitter)
    given_up = is_given_up(claimed.tried_at, retry_at, settings.give_up_after_ms)
    state = RecipientState.given_up if given_up else RecipientState.deferred
    code = 0 if trouble.reply is None else trouble.reply.code
    return Result(
        claimed=claimed,
        departed_at=None,
        results=tuple(RecipientResult(r.n, r.address, state, trouble.reason, code) for r in claimed.recipients),
        retry_at=retry_at,
        reason=trouble.reason,
    )


def of_refusal(refused: Refused, *, now: int, jitter: float, settings: EngineSettings) -> Result:
    """The result when the mail cannot be made; by a fault of ours it waits and is tried again, like any deferral."""
    c = refused.claimed
    if refused.later:
        return of_accident(c, c.recipients, refused.reason, departed_at=None, now=now, jitter=jitter, settings=settings)
    return Result(
        claimed=c,
        departed_at=None,
        results=tuple(RecipientResult(r.n, r.address, RecipientState.given_up, refused.reason) for r in c.recipients),
        reason=refused.reason,
    )


def of_accident(
    claimed: Claimed,
    pending: Sequence[PendingRecipient],
    reason: str,
    *,
    departed_at: int | None,
    now: int,
    jitter: float,
    settings: EngineSettings,
) -> Result:
    """The result when a fault of ours ended the run before the final dot: the mail is tried again by the schedule."""
    retry_at = next_attempt(now, claimed.deferrals, jitter)
    given_up = is_given_up(claimed.tried_at, retry_at, settings.give_up_after_ms)
    state = RecipientState.given_up if given_up else RecipientState.deferred
    return Result(
        claimed=claimed,
        departed_at=departed_at,
        results=tuple(RecipientResult(r.n, r.address, state, reason) for r in pending),
        retry_at=retry_at,
    )


def of_abort(claimed: Claimed, departed_at: int) -> Result:
    """The result when it departed but the final dot was never handed over: it waits as before."""
    return Result(claimed=claimed, departed_at=departed_at, results=(), abort=True)
