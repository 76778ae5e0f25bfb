"""Claim: what is due is taken, tenants in turn; what may not go is settled or put aside."""

from postclock.core.lifecycle import RecipientState, State
from postclock.store.records import LIVE, Held
from tests.store.conftest import Lives
from tests.store.parts import ADA, AHEAD_MS, BOB, CYD, UNCERTAIN_MS, Shop
from tests.support.clock import MovedClock

ACCEPTED, DEFERRED, UNCERTAIN = RecipientState.accepted, RecipientState.deferred, RecipientState.uncertain


async def test_what_is_due_now_is_processing_under_its_claim(shop: Shop) -> None:
    """The first attempt, with everything a run needs."""
    ident = await shop.send(ADA, BOB)
    (claimed,) = await shop.claim()
    assert (claimed.id, claimed.status, claimed.attempt, claimed.n_rcpt) == (ident, State.processing, 1, 2)
    assert [r.address for r in claimed.recipients] == [ADA, BOB]
    assert await shop.state(ident) == State.processing


async def test_what_is_due_soon_is_reserved_and_stays_queued(shop: Shop) -> None:
    """Prepared ahead, it does not look as if its time had come."""
    ident = await shop.send(due_in=AHEAD_MS)
    assert await shop.claim() == []
    (claimed,) = await shop.claim(ahead=AHEAD_MS)
    assert (claimed.status, claimed.attempt) == (State.queued, 1)
    assert await shop.state(ident) == State.queued


async def test_what_is_claimed_is_not_claimed_again(shop: Shop) -> None:
    """Reserved or processing, it is nobody else's."""
    await shop.call((ADA,), (BOB,))
    assert len(await shop.claim()) == 2
    assert await shop.claim(ahead=AHEAD_MS) == []


async def test_lanes_have_limits_of_their_own(shop: Shop) -> None:
    """A large mailing in one lane leaves the room of the other alone."""
    await shop.call(*[(f"user{i}@example.net",) for i in range(20)], lane=2)
    urgent = await shop.send(ADA)
    claimed = await shop.store.ledger.claim([(0, 5), (2, 5)], shop.now, shop.now)
    assert [c.lane for c in claimed] == [0] + [2] * 5
    assert claimed[0].id == urgent


async def test_within_a_lane_the_earliest_due_go_first(shop: Shop) -> None:
    """Whatever the order of acceptance."""
    late, early = await shop.send(due_in=2_000), await shop.send(due_in=1_000)
    shop.later(3_000)
    assert [c.id for c in await shop.claim(1)] == [early]
    assert [c.id for c in await shop.claim(1)] == [late]


async def test_tenants_share_a_lane(lives: Lives, shop: Shop, clock: MovedClock) -> None:
    """Somebody's thousand does not keep another's one waiting; what one leaves over, the others get."""
    other = await Shop.open(lives, clock, "other", "other.example")
    await shop.call(*[(f"user{i}@example.net",) for i in range(30)])
    await other.send(BOB)
    claimed = await shop.claim(10)
    assert [c.tenant for c in claimed].count(other.tenant) == 1
    assert len(claimed) == 10


async def test_with_less_room_than_tenants_everybody_has_a_turn(lives: Lives, shop: Shop, clock: MovedClock) -> None:
    """A pipeline that takes one at a time goes round, instead of serving the first tenant for ever."""
    shops = [shop] + [await Shop.open(lives, clock, f"shop{i}", f"shop{i}.example") for i in range(3)]
    for each in shops:
        await each.call((ADA,), (BOB,), (CYD,))
    served = [(await shop.claim(1))[0].tenant for _ in range(8)]
    assert served == [s.tenant for s in shops] * 2


async def test_a_suspended_tenants_mail_is_parked_and_goes_on_when_resumed(shop: Shop) -> None:
    """Parked rows are no longer ready, so that no claim has to step over them."""
    ident = await shop.send()
    await shop.store.accounts.set_tenant(shop.tenant, suspended=True, now=shop.now)
    assert await shop.claim() == []
    assert await shop.store.ledger.next_ready([0, 1, 2]) is None
    assert await shop.note(ident, "parked") == {"reason": "tenant suspended"}
    await shop.store.accounts.set_tenant(shop.tenant, suspended=False, now=shop.now)
    assert [c.id for c in await shop.claim()] == [ident]


async def test_a_claim_puts_aside_only_so_much(shop: Shop) -> None:
    """A suspended tenant's mountain is parked slice by slice: nobody waits for the whole of it."""
    await shop.call(*[(f"user{i}@example.net",) for i in range(700)])
    await shop.store.accounts.set_tenant(shop.tenant, suspended=True, now=shop.now)
    assert await shop.claim(3_000, lanes=(0,)) == []
    assert len(await shop.store.messages.parked(shop.tenant, None)) == 500
    assert await shop.claim(3_000, lanes=(0,)) == []
    assert len(await shop.store.messages.parked(shop.tenant, None)) == 700


async def test_a_row_of_a_cancelled_batch_is_settled_by_the_claim(shop: Shop) -> None:
    """The sweep has not come by yet; the counts moved with the flag and do not move again."""
    batch = await shop.batch()
    ident = await shop.send(batch=batch)
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    assert await shop.claim() == []
    assert await shop.events(ident) == ["cancelled"]
    assert await shop.counts(batch) == {State.cancelled: 1}


async def test_an_uncertain_one_is_sent_again_after_the_wait_and_not_before(shop: Shop) -> None:
    """The timeline tells of both the doubt and the second sending."""
    ident = await shop.send()
    await shop.run(UNCERTAIN)
    shop.later(UNCERTAIN_MS - 1)
    assert await shop.claim() == []
    shop.later(1)
    (again,) = await shop.claim()
    assert (again.attempt, again.exposed, again.status) == (2, True, State.processing)
    assert await shop.events(ident) == ["uncertain", "retried"]


async def test_an_uncertain_one_of_a_cancelled_batch_is_given_up(shop: Shop) -> None:
    """It is not sent again, and it is not called cancelled either: somebody may have it."""
    batch = await shop.batch()
    ident = await shop.send(batch=batch)
    await shop.run(UNCERTAIN)
    told = await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    assert (told.uncertain, told.cancelled) == (1, 0)
    shop.later(UNCERTAIN_MS)
    assert await shop.claim() == []
    assert await shop.state(ident) == State.failed
    assert await shop.counts(batch) == {State.failed: 1}


async def test_a_life_that_was_ended_claims_nothing(shop: Shop) -> None:
    """However sure it is of itself."""
    await shop.send()
    [own] = [life for life in await shop.store.ledger.lives() if life.owner == shop.store.ledger.owner.id]
    assert await shop.store.ledger.end_life(own, shop.now)
    assert await shop.claim() == []
    assert not await shop.store.ledger.beat(shop.now)


async def test_a_released_claim_waits_as_before(shop: Shop) -> None:
    """Deferred stays deferred, for one recipient and for many; the run that lost its claim may not depart."""
    one, many = await shop.send(ADA), await shop.send(BOB, CYD)
    claims = await shop.claim()
    for c in claims:
        await shop.record(c, None, DEFERRED)
    shop.later(60_000)
    again = await shop.claim()
    assert {c.status for c in again} == {State.processing}
    assert await shop.store.ledger.release([(c.id, c.attempt) for c in again], shop.now) == 2
    assert [await shop.state(i) for i in (one, many)] == [State.deferred] * 2
    assert await shop.depart(*again) == [Held("gone")] * 2
    assert await shop.store.ledger.release([(c.id, c.attempt) for c in again], shop.now) == 0


async def test_the_seventy_two_hours_do_not_run_before_the_first_attempt(shop: Shop) -> None:
    """A claim that was given back was no attempt."""
    await shop.send()
    (claimed,) = await shop.claim()
    await shop.store.ledger.release([(claimed.id, claimed.attempt)], shop.now)
    shop.later(90 * 3_600_000)
    (again,) = await shop.claim()
    assert again.tried_at == shop.now


async def test_confirm_turns_sent_into_delivered_when_no_bounce_came(shop: Shop) -> None:
    """Not a moment before its time, and for all recipients that were accepted."""
    one, many = await shop.send(ADA), await shop.send(BOB, CYD)
    first, second = await shop.claim()
    for c in (first, second):
        (departed,) = await shop.depart(c)
        assert not isinstance(departed, Held)
        states = (ACCEPTED,) if c.n_rcpt == 1 else (ACCEPTED, RecipientState.bounced)
        await shop.record(c, departed, *states)
    assert [await shop.state(i) for i in (one, many)] == [State.sent] * 2
    shop.later(86_399_999)
    assert await shop.store.ledger.confirm(shop.now, 100) == 0
    shop.later(1)
    assert await shop.store.ledger.confirm(shop.now, 100) == 2
    assert [await shop.state(i) for i in (one, many)] == [State.delivered, State.bounced]
    assert (await shop.detail(one)).row.delivered_at == shop.now
    assert await shop.recipients(many) == [RecipientState.delivered, RecipientState.bounced]
