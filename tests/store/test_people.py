"""What a person asks of one message: cancel, fail, retry, and the parked ones."""

import pytest

from postclock.core.errors import Invalid, NotFound
from postclock.core.lifecycle import RecipientState, State
from postclock.store.records import LIVE, TEST, CancelAnswer, Held
from tests.store.conftest import Lives
from tests.store.parts import ADA, AHEAD_MS, BOB, CYD, RETRY_MS, SETTLE_MS, UNCERTAIN_MS, Shop
from tests.support.clock import MovedClock

R = RecipientState
ACCEPTED, DELIVERED, DEFERRED, BOUNCED, UNCERTAIN = R.accepted, R.delivered, R.deferred, R.bounced, R.uncertain


async def cancel(shop: Shop, ident: int) -> CancelAnswer:
    return await shop.store.messages.cancel(shop.tenant, LIVE, ident, shop.now)


async def retry(shop: Shop, ident: int) -> State:
    return await shop.store.messages.retry(shop.tenant, LIVE, ident, shop.now)


async def fail(shop: Shop, ident: int) -> State:
    return await shop.store.messages.fail(shop.tenant, LIVE, ident, shop.now, "wrong list")


@pytest.mark.parametrize("stage", ["queued", "reserved", "processing", "deferred"])
@pytest.mark.parametrize("to", [(ADA,), (ADA, BOB)])
async def test_what_waits_is_cancelled_and_stays_so(shop: Shop, stage: str, to: tuple[str, ...]) -> None:
    """Nothing departs after the answer, and a second cancel answers the same."""
    batch = await shop.batch()
    ident = await shop.send(*to, batch=batch, due_in=AHEAD_MS if stage == "reserved" else 0)
    claims = []
    if stage == "deferred":
        await shop.run(DEFERRED)
    elif stage != "queued":
        claims = await shop.claim(ahead=AHEAD_MS)
    for _ in range(2):
        answer = await cancel(shop, ident)
        assert (answer.won, answer.state, answer.exposed) == (True, State.cancelled, False)
    shop.later(RETRY_MS)
    assert await shop.depart(*claims) == [Held("gone")] * len(claims)
    assert await shop.claim() == []
    assert await shop.recipients(ident) == [R.stopped] * len(to)
    assert await shop.counts(batch) == {State.cancelled: 1}


async def test_what_is_in_flight_is_not_cancelled(shop: Shop) -> None:
    """The answer is the true state."""
    ident = await shop.send()
    claimed, departed = await shop.fly()
    assert await cancel(shop, ident) == CancelAnswer(State.sending, False, False, 0, 1)
    assert await shop.record(claimed, departed, DELIVERED) == "recorded"
    assert (await cancel(shop, ident)).state == State.delivered


async def test_of_an_exposed_message_only_the_rest_is_stopped(shop: Shop) -> None:
    """Nobody is told "cancelled": one of them has it, and its day goes on."""
    batch = await shop.batch()
    ident = await shop.send(ADA, BOB, CYD, batch=batch)
    accepted_at = shop.now
    await shop.run(ACCEPTED, DEFERRED, DEFERRED)
    shop.later(RETRY_MS)
    assert await cancel(shop, ident) == CancelAnswer(State.sent, False, True, 2, 3)
    detail = await shop.detail(ident)
    assert (detail.next_attempt_at, detail.row.sent_at) == (accepted_at + SETTLE_MS, shop.now)
    assert await shop.recipients(ident) == [ACCEPTED, R.given_up, R.given_up]
    assert await shop.counts(batch) == {State.sent: 1}


async def test_one_that_was_once_uncertain_is_stopped_and_has_failed(shop: Shop) -> None:
    """It may have been delivered, so it was not cancelled."""
    ident = await shop.send()
    await shop.run(UNCERTAIN)
    assert (await cancel(shop, ident)).state == State.uncertain
    shop.later(UNCERTAIN_MS)
    (claimed,) = await shop.claim()
    assert await cancel(shop, ident) == CancelAnswer(State.failed, False, True, 1, 1)
    assert await shop.depart(claimed) == [Held("gone")]


async def test_another_tenants_message_and_another_modes_are_not_found(
    lives: Lives, shop: Shop, clock: MovedClock
) -> None:
    """As one that does not exist."""
    ident = await shop.send()
    other = await Shop.open(lives, clock, "other", "other.example")
    for tenant, mode in ((other.tenant, LIVE), (shop.tenant, TEST)):
        with pytest.raises(NotFound):
            await shop.store.messages.cancel(tenant, mode, ident, shop.now)
        with pytest.raises(NotFound):
            await shop.store.messages.detail(tenant, mode, ident)
    assert await shop.state(ident) == State.queued


@pytest.mark.parametrize("stage", ["queued", "processing", "uncertain"])
async def test_a_message_is_failed_by_hand(shop: Shop, stage: str) -> None:
    """The reason is kept, and a run under way does not depart."""
    ident = await shop.send()
    claims = []
    if stage == "processing":
        claims = await shop.claim()
    elif stage == "uncertain":
        await shop.run(UNCERTAIN)
    assert await fail(shop, ident) == State.failed
    assert await shop.note(ident, "failed") == {"reason": "wrong list", "by": "request"}
    assert await shop.depart(*claims) == [Held("gone")] * len(claims)
    with pytest.raises(Invalid, match="failed"):
        await fail(shop, ident)


async def test_with_a_recipient_who_has_it_the_rest_is_given_up(shop: Shop) -> None:
    """It is sent, by the fold, and confirmed when the acceptance's day is over."""
    ident = await shop.send(ADA, BOB)
    accepted_at = shop.now
    await shop.run(ACCEPTED, DEFERRED)
    assert await fail(shop, ident) == State.sent
    assert (await shop.detail(ident)).next_attempt_at == accepted_at + SETTLE_MS


async def test_in_flight_with_a_living_owner_it_is_neither_failed_nor_retried(shop: Shop) -> None:
    """Its result will be known."""
    ident = await shop.send()
    await shop.fly()
    for ask in (fail, retry):
        with pytest.raises(Invalid, match="in flight"):
            await ask(shop, ident)
    assert await shop.state(ident) == State.sending


async def test_in_flight_with_a_dead_owner_it_is_lost_first(shop: Shop) -> None:
    """The timeline tells of the doubt, and what is done then never says cancelled."""
    failed, retried = await shop.send(), await shop.send()
    for claimed in await shop.claim():
        await shop.depart(claimed)
    shop.lives.next()
    assert await fail(shop, failed) == State.failed
    assert await retry(shop, retried) == State.queued
    assert await shop.events(failed) == ["uncertain", "failed"]
    assert await shop.events(retried) == ["uncertain", "retried"]
    await retry(shop, failed)
    for ident in (failed, retried):
        assert (await cancel(shop, ident)).exposed


async def test_a_failed_message_goes_again_with_its_own_policy(shop: Shop) -> None:
    """From its stamp; the seventy-two hours start anew; the batch is no longer complete."""
    batch = await shop.batch()
    ident = await shop.send(batch=batch, policy="hold")
    await shop.run(R.given_up)
    assert await shop.counts(batch) == {State.failed: 1}
    shop.later(RETRY_MS)
    assert await retry(shop, ident) == State.queued
    assert await shop.counts(batch) == {State.queued: 1}
    (claimed,) = await shop.claim()
    assert (claimed.attempt, claimed.deferrals, claimed.policy, claimed.stamp is None) == (2, 0, 2, False)
    assert claimed.tried_at == shop.now


async def test_a_retry_reaches_only_who_has_not_accepted(shop: Shop) -> None:
    """The two that have it are left alone."""
    ident = await shop.send(ADA, BOB, CYD)
    await shop.run(DELIVERED, R.given_up, DELIVERED)
    assert await shop.state(ident) == State.delivered
    with pytest.raises(Invalid, match="delivered"):
        await retry(shop, ident)
    other = await shop.send(ADA, BOB)
    await shop.run(DELIVERED, BOUNCED)
    await shop.store.suppressions.unsuppress(shop.tenant, LIVE, "bounces", BOB)
    assert await retry(shop, other) == State.queued
    (claimed,) = await shop.claim()
    assert [r.address for r in claimed.recipients] == [BOB]
    assert await shop.depart(claimed)
    assert await shop.recipients(other) == [DELIVERED, R.departed]


async def test_a_suppressed_recipient_is_not_retried(shop: Shop) -> None:
    """The suppression goes first; nothing has changed."""
    ident = await shop.send()
    await shop.run(BOUNCED)
    with pytest.raises(Invalid, match="remove the suppression first"):
        await retry(shop, ident)
    assert await shop.state(ident) == State.bounced
    assert await shop.events(ident) == ["bounce"]


async def test_a_retry_from_processing_takes_the_claim_back(shop: Shop) -> None:
    """The run that held it does not depart; the next one does."""
    ident = await shop.send()
    (held,) = await shop.claim()
    await retry(shop, ident)
    assert await shop.depart(held) == [Held("gone")]
    await shop.run(DELIVERED)
    assert await shop.state(ident) == State.delivered


async def test_in_a_cancelled_batch_nothing_is_retried(shop: Shop) -> None:
    """Neither what had failed nor what the flag has cancelled."""
    batch = await shop.batch()
    failed = await shop.send(batch=batch)
    await shop.run(R.given_up)
    waiting = await shop.send(batch=batch)
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    with pytest.raises(Invalid, match="batch is cancelled"):
        await retry(shop, failed)
    for ask in (retry, fail):
        with pytest.raises(Invalid, match="is cancelled cannot"):
            await ask(shop, waiting)
    assert await shop.counts(batch) == {State.failed: 1, State.cancelled: 1}


async def test_parked_mail_is_released_or_dropped_by_hand(shop: Shop) -> None:
    """Only what is parked, and once; the oldest due are shown first."""
    going, dropped, waiting = await shop.send(), await shop.send(), await shop.send(due_in=RETRY_MS)
    shop.later(AHEAD_MS)
    assert await shop.store.ledger.park_overdue(shop.now, "overdue", shop.now) == 2
    assert await shop.claim() == []
    assert [(p.id, p.reason) for p in await shop.store.messages.parked(None, None)] == [
        (going, "overdue"), (dropped, "overdue")
    ]  # fmt: skip
    assert await shop.store.messages.parked(shop.tenant + 1, None) == []
    assert await shop.store.messages.release_parked([going, waiting], shop.now) == 1
    assert await shop.store.messages.drop_parked([dropped, going, waiting], shop.now, "too old") == 1
    assert [c.id for c in await shop.claim()] == [going]
    assert [await shop.state(i) for i in (dropped, waiting)] == [State.failed, State.queued]
    assert await shop.events(going) == ["parked", "released"]


async def test_parked_mail_of_a_cancelled_batch_is_cancelled_not_released(shop: Shop) -> None:
    """Released or dropped by hand, it stays what the batch's answer called it."""
    batch = await shop.batch()
    released, dropped = await shop.send(batch=batch), await shop.send(batch=batch)
    shop.later(AHEAD_MS)
    await shop.store.ledger.park_overdue(shop.now, "overdue", shop.now)
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    assert await shop.store.messages.release_parked([released], shop.now) == 1
    assert await shop.store.messages.drop_parked([dropped], shop.now, "too old") == 1
    assert [await shop.state(i) for i in (released, dropped)] == [State.cancelled] * 2
    assert await shop.counts(batch) == {State.cancelled: 2}
