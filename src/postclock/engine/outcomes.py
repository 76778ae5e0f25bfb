"""From what a server said to what is recorded: one Result per run, with the time of the next attempt or the giving up."""

from postclock.core.backoff import is_given_up, next_attempt
from postclock.core.lifecycle import RecipientState
from postclock.core.message import UncertainPolicy
from postclock.core.outcome import Outcome
from postclock.core.reply import bounce_type
from postclock.courier.interface import Delivery, HostUnavailable
from postclock.engine.prepare import Refused
from postclock.engine.settings import EngineSettings
from postclock.store.records import Claimed, PendingRecipient, RecipientResult, Result


def of_delivery(
    claimed: Claimed,
    sent_to: list[PendingRecipient],
    delivery: Delivery,
    *,
    departed_at: int,
    now: int,
    jitter: float,
    settings: EngineSettings,
    policy: UncertainPolicy,
) -> Result:
    """The result of a conversation."""
    retry_at = next_attempt(now, claimed.deferrals, jitter)
    given_up = is_given_up(claimed.tried_at, retry_at, settings.give_up_after_ms)
    results = tuple(
        _recipient(r, o, given_up=given_up, settings=settings) for r, o in zip(sent_to, delivery.outcomes, strict=True)
    )
    uncertain = any(r.state is RecipientState.uncertain for r in results)
    if uncertain:
        retry_at = max(retry_at, departed_at + settings.uncertain_wait_ms)
    return Result(
        claimed=claimed,
        departed_at=departed_at,
        results=results,
        retry_at=retry_at,
        settle_at=now + settings.settle_after_ms if settings.settle_after_ms else None,
        data_at=delivery.data_at_ms,
        policy=policy,
        host=delivery.host,
    )


def _recipient(r: PendingRecipient, o: Outcome, *, given_up: bool, settings: EngineSettings) -> RecipientResult:
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


def of_refusal(refused: Refused) -> Result:
    """The result when the mail cannot be made."""
    c = refused.claimed
    return Result(
        claimed=c,
        departed_at=None,
        results=tuple(RecipientResult(r.n, r.address, RecipientState.given_up, refused.reason) for r in c.recipients),
        reason=refused.reason,
    )


def of_abort(claimed: Claimed, departed_at: int) -> Result:
    """The result when it departed but the final dot was never handed over: it waits as before."""
    return Result(claimed=claimed, departed_at=departed_at, results=(), abort=True)
