"""Record: what became of a run, for one recipient and for many, in time and too late."""

import pytest

from postclock.core.lifecycle import RecipientState, State
from postclock.core.message import UncertainPolicy
from postclock.store.records import LIVE, Claimed, Departed, Held
from tests.store.parts import ADA, BOB, CYD, RETRY_MS, SETTLE_MS, UNCERTAIN_MS, Shop

R = RecipientState
ACCEPTED, DELIVERED, DEFERRED, BOUNCED = R.accepted, R.delivered, R.deferred, R.bounced
UNCERTAIN, GIVEN_UP = R.uncertain, R.given_up


@pytest.mark.parametrize(
    ("outcome", "state", "event"),
    [
        (ACCEPTED, State.sent, "sent"),
        (DELIVERED, State.delivered, "delivered"),
        (DEFERRED, State.deferred, "deferred"),
        (BOUNCED, State.bounced, "bounce"),
        (UNCERTAIN, State.uncertain, "uncertain"),
        (GIVEN_UP, State.failed, "failed"),
    ],
)
@pytest.mark.parametrize("to", [(ADA,), (ADA, BOB)])
async def test_each_outcome_has_its_state_its_event_and_its_count(
    shop: Shop, outcome: R, state: State, event: str, to: tuple[str, ...]
) -> None:
    """One event for each recipient; the batch counts the message once."""
    batch = await shop.batch()
    ident = await shop.send(*to, batch=batch)
    await shop.run(outcome)
    assert await shop.state(ident) == state
    assert await shop.events(ident) == [event] * len(to)
    assert await shop.counts(batch) == {state: 1}
    assert await shop.recipients(ident) == [outcome] * len(to)


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ((ACCEPTED, DEFERRED), State.deferred),
        ((DELIVERED, BOUNCED), State.bounced),
        ((ACCEPTED, BOUNCED), State.sent),
        ((DELIVERED, GIVEN_UP), State.delivered),
        ((BOUNCED, UNCERTAIN), State.uncertain),
        ((GIVEN_UP, GIVEN_UP), State.failed),
    ],
)
async def test_a_message_is_the_fold_of_its_recipients(shop: Shop, outcomes: tuple[R, ...], state: State) -> None:
    """What is still open for anybody is open for the message."""
    ident = await shop.send(ADA, BOB)
    await shop.run(*outcomes)
    assert await shop.state(ident) == state
    assert await shop.recipients(ident) == list(outcomes)


async def test_the_next_run_serves_only_who_is_still_to_be_served(shop: Shop) -> None:
    """Nobody who accepted gets it again, and the first acceptance's day goes on."""
    ident = await shop.send(ADA, BOB, CYD)
    accepted_at = shop.now
    await shop.run(ACCEPTED, DEFERRED, BOUNCED)
    shop.later(RETRY_MS)
    claimed, departed = await shop.fly()
    assert [r.address for r in claimed.recipients] == [BOB]
    assert claimed.exposed
    await shop.record(claimed, departed, BOUNCED)
    detail = await shop.detail(ident)
    assert (detail.row.state, detail.next_attempt_at) == (State.sent, accepted_at + SETTLE_MS)


async def test_an_acceptance_keeps_its_day_through_later_deferrals(shop: Shop) -> None:
    """Whatever ends the waiting of the others, it is confirmed a day after it was accepted."""
    ident = await shop.send(ADA, BOB)
    accepted_at = shop.now
    await shop.run(ACCEPTED, DEFERRED)
    for _ in range(2):
        shop.later(RETRY_MS)
        await shop.run(DEFERRED)
    await shop.store.messages.cancel(shop.tenant, LIVE, ident, shop.now)
    detail = await shop.detail(ident)
    assert (detail.row.state, detail.next_attempt_at) == (State.sent, accepted_at + SETTLE_MS)


async def test_a_deferral_waits_for_its_time_and_counts(shop: Shop) -> None:
    """The schedule advances by it, and giving up is counted from the first attempt."""
    await shop.send()
    first_at = shop.now
    await shop.run(DEFERRED)
    assert await shop.claim() == []
    shop.later(RETRY_MS)
    (claimed,) = await shop.claim()
    assert (claimed.attempt, claimed.deferrals, claimed.tried_at) == (2, 1, first_at)


async def test_no_for_good_before_the_departure_settles_it(shop: Shop) -> None:
    """Neither charged nor stamped: there was no hand-off."""
    ident = await shop.send()
    (claimed,) = await shop.claim()
    assert await shop.record(claimed, None, BOUNCED) == "recorded"
    detail = await shop.detail(ident)
    assert (detail.row.state, detail.row.departed_at, detail.stamp) == (State.bounced, None, None)


async def test_a_hard_bounce_suppresses_the_address(shop: Shop) -> None:
    """The next mail to it is dropped."""
    await shop.send()
    await shop.run(BOUNCED)
    entry = await shop.store.suppressions.suppression(shop.tenant, LIVE, "bounces", ADA)
    assert entry is not None
    assert (entry.reason, entry.bounce_type) == ("550 5.1.1 no such user", "hard")
    again = await shop.send()
    (claimed,) = await shop.claim()
    assert await shop.depart(claimed) == [Held("settled")]
    assert await shop.events(again) == ["dropped"]


async def test_an_aborted_run_waits_as_before(shop: Shop) -> None:
    """The dot was never handed over: nothing is exposed, and a cancel wins."""
    ident = await shop.send()
    claimed, departed = await shop.fly()
    assert await shop.abort(claimed, departed) == "recorded"
    assert await shop.state(ident) == State.queued
    answer = await shop.store.messages.cancel(shop.tenant, LIVE, ident, shop.now)
    assert (answer.won, answer.state) == (True, State.cancelled)


@pytest.mark.parametrize("to", [(ADA,), (ADA, BOB)])
async def test_what_would_wait_again_in_a_cancelled_batch_is_cancelled(shop: Shop, to: tuple[str, ...]) -> None:
    """In flight when the flag came, deferred or aborted after it."""
    batch = await shop.batch()
    deferred, aborted = await shop.send(*to, batch=batch), await shop.send(*to, batch=batch)
    flights = []
    for claimed in await shop.claim():
        (departed,) = await shop.depart(claimed)
        assert isinstance(departed, Departed)
        flights.append((claimed, departed))
    told = await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    assert (told.in_flight, told.cancelled) == (2, 0)
    await shop.record(*flights[0], DEFERRED)
    await shop.abort(*flights[1])
    assert [await shop.state(i) for i in (deferred, aborted)] == [State.cancelled] * 2
    assert await shop.recipients(deferred) == [R.stopped] * len(to)
    assert await shop.counts(batch) == {State.cancelled: 2}


@pytest.mark.parametrize("outcome", [BOUNCED, DEFERRED, GIVEN_UP])
async def test_what_a_run_says_before_its_departure_does_not_undo_the_batchs_cancel(shop: Shop, outcome: R) -> None:
    """It had been counted as cancelled by the flag; nothing was sent."""
    batch = await shop.batch()
    ident = await shop.send(batch=batch)
    (claimed,) = await shop.claim()
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    assert await shop.record(claimed, None, outcome) == "recorded"
    assert await shop.state(ident) == State.cancelled
    assert await shop.counts(batch) == {State.cancelled: 1}


async def test_somebody_accepted_in_a_cancelled_batch_and_the_rest_is_stopped(shop: Shop) -> None:
    """By the fold: sent, to be confirmed a day after the acceptance."""
    batch = await shop.batch()
    ident = await shop.send(ADA, BOB, batch=batch)
    claimed, departed = await shop.fly()
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    await shop.record(claimed, departed, ACCEPTED, DEFERRED)
    assert await shop.recipients(ident) == [ACCEPTED, GIVEN_UP]
    assert (await shop.detail(ident)).next_attempt_at == shop.now + SETTLE_MS
    assert await shop.counts(batch) == {State.sent: 1}


async def test_uncertain_held_for_a_person(shop: Shop) -> None:
    """It is parked, is found there, and goes again when a person lets it."""
    ident = await shop.send(policy="hold")
    await shop.run(UNCERTAIN, policy="hold")
    shop.later(10 * UNCERTAIN_MS)
    assert await shop.claim() == []
    (parked,) = await shop.store.messages.parked(shop.tenant, "uncertain: hold")
    assert (parked.id, parked.status) == (ident, State.uncertain)
    assert await shop.store.messages.release_parked([ident], shop.now) == 1
    assert [c.id for c in await shop.claim()] == [ident]


@pytest.mark.parametrize("to", [(ADA,), (ADA, BOB)])
async def test_uncertain_taken_as_sent(shop: Shop, to: tuple[str, ...]) -> None:
    """It is never sent again, and the timeline says that the sending was assumed."""
    batch = await shop.batch()
    ident = await shop.send(*to, batch=batch)
    await shop.run(UNCERTAIN, policy="assume_sent")
    assert await shop.events(ident) == ["uncertain"] * len(to) + ["sent"] * len(to)
    assert await shop.note(ident, "sent") == {"assumed": True}
    assert await shop.counts(batch) == {State.sent: 1}
    assert (await shop.detail(ident)).row.exposed


@pytest.mark.parametrize("cancelled", [False, True])
async def test_who_was_deferred_beside_an_assumed_one_keeps_to_the_schedule(shop: Shop, cancelled: bool) -> None:
    """Not tried again at once; and in a cancelled batch not at all."""
    batch = await shop.batch()
    ident = await shop.send(ADA, BOB, batch=batch)
    claimed, departed = await shop.fly()
    if cancelled:
        await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    await shop.record(claimed, departed, UNCERTAIN, DEFERRED, policy="assume_sent")
    detail = await shop.detail(ident)
    if cancelled:
        assert await shop.recipients(ident) == [ACCEPTED, GIVEN_UP]
        assert await shop.counts(batch) == {State.sent: 1}
    else:
        assert (detail.row.state, detail.next_attempt_at) == (State.deferred, shop.now + UNCERTAIN_MS)
        assert await shop.counts(batch) == {State.deferred: 1}


# What comes too late: the owner was presumed dead, and woke


async def woken(shop: Shop, policy: UncertainPolicy = "resend") -> tuple[Claimed, Departed, int]:
    """A run whose owner lost its life after the departure; what it holds, and its message."""
    ident = await shop.send(policy=policy)
    claimed, departed = await shop.fly()
    assert await shop.rescue() == 1
    assert await shop.state(ident) == State.uncertain
    return claimed, departed, ident


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(ACCEPTED, State.sent), (DELIVERED, State.delivered), (BOUNCED, State.bounced), (DEFERRED, State.deferred)],
)
async def test_a_late_answer_settles_the_doubt(shop: Shop, outcome: R, state: State) -> None:
    """Whatever the server said, it said it: nothing is sent twice for want of asking."""
    claimed, departed, ident = await woken(shop)
    assert await shop.record(claimed, departed, outcome) == "late"
    assert await shop.state(ident) == state
    assert (await shop.detail(ident)).row.exposed


async def test_a_late_answer_takes_the_second_sending_back(shop: Shop) -> None:
    """Claimed again and not yet departed, it does not depart any more."""
    claimed, departed, ident = await woken(shop)
    shop.later(UNCERTAIN_MS)
    (again,) = await shop.claim()
    assert await shop.record(claimed, departed, DELIVERED) == "late"
    assert await shop.depart(again) == [Held("gone")]
    assert await shop.state(ident) == State.delivered


async def test_a_late_answer_after_a_later_departure_is_an_event(shop: Shop) -> None:
    """The later attempt's result is the message's."""
    claimed, departed, ident = await woken(shop)
    shop.later(UNCERTAIN_MS)
    await shop.fly()
    assert await shop.record(claimed, departed, DELIVERED) == "event"
    assert await shop.state(ident) == State.sending
    assert (await shop.note(ident, "late_result"))["outcome"] == "delivered"


async def test_a_late_answer_of_an_earlier_departure_changes_nothing_later(shop: Shop) -> None:
    """Also when the later attempt is over and waits again."""
    claimed, departed, ident = await woken(shop)
    shop.later(UNCERTAIN_MS)
    await shop.run(DEFERRED)
    assert await shop.record(claimed, departed, BOUNCED) == "event"
    assert await shop.state(ident) == State.deferred


async def test_a_late_doubt_is_no_news(shop: Shop) -> None:
    """It is noted, and the wait goes on."""
    claimed, departed, ident = await woken(shop)
    before = (await shop.detail(ident)).next_attempt_at
    assert await shop.record(claimed, departed, UNCERTAIN) == "event"
    detail = await shop.detail(ident)
    assert (detail.row.state, detail.next_attempt_at) == (State.uncertain, before)


async def test_a_late_result_that_departed_nothing_changes_nothing(shop: Shop) -> None:
    """Whoever holds the row now knows better."""
    ident = await shop.send()
    (claimed,) = await shop.claim()
    assert await shop.rescue() == 1
    assert await shop.record(claimed, None, BOUNCED) == "gone"
    assert await shop.events(ident) == []
    assert await shop.state(ident) == State.queued


async def test_events_are_numbered_in_order_without_a_gap(shop: Shop) -> None:
    """Whoever writes them."""
    ident = await shop.send(ADA, BOB)
    await shop.run(DEFERRED, UNCERTAIN)
    shop.later(UNCERTAIN_MS)
    await shop.run(ACCEPTED, DEFERRED)
    await shop.store.messages.cancel(shop.tenant, LIVE, ident, shop.now)
    events = (await shop.detail(ident)).events
    assert [e.n for e in events] == list(range(1, len(events) + 1))
    assert [e.type for e in events] == ["deferred", "uncertain", "retried", "sent", "deferred", "cancelled"]
