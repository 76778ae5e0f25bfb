"""Batches: exact counts, one flag that stops them, and the sweep behind it."""

import pytest

from postclock.core.errors import NotFound
from postclock.core.lifecycle import RecipientState, State
from postclock.store.records import LIVE, TEST, BatchCancelled, Departed
from tests.store.conftest import Lives
from tests.store.parts import ADA, AHEAD_MS, BOB, Shop
from tests.support import mails
from tests.support.clock import MovedClock

R = RecipientState


async def cancel(shop: Shop, batch: int) -> BatchCancelled:
    return await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)


async def motley(shop: Shop, batch: int) -> dict[str, int]:
    """A batch with a message in every stage; their ids."""
    ids: dict[str, int] = {}
    outcomes = {
        "sent": (R.accepted,), "delivered": (R.delivered,), "bounced": (R.bounced,), "failed": (R.given_up,), "uncertain": (R.uncertain,),
        "deferred": (R.deferred,), "exposed sent": (R.accepted, R.deferred), "exposed delivered": (R.delivered, R.deferred),
    }  # fmt: skip
    for name, states in outcomes.items():
        ids[name] = await shop.send(
            *[f"{name.replace(' ', '.')}{i}@example.net" for i in range(len(states))], batch=batch
        )
        await shop.run(*states)
    ids["sending"] = await shop.send(batch=batch)
    await shop.fly()
    ids["processing"] = await shop.send(batch=batch)
    await shop.claim()
    ids["reserved"] = await shop.send(batch=batch, due_in=AHEAD_MS)
    await shop.claim(ahead=AHEAD_MS)
    ids["queued"] = await shop.send(batch=batch, due_in=10 * AHEAD_MS)
    return ids


async def test_the_answer_is_exact_and_adds_up(shop: Shop) -> None:
    """Each message is in one number: what was stopped is not told a second time as sent or settled."""
    batch = await shop.batch()
    ids = await motley(shop, batch)
    told = await cancel(shop, batch)
    assert told == BatchCancelled(cancelled=4, stopped=2, in_flight=1, uncertain=1, sent=1, settled=3)
    assert told.total == len(ids) == (await shop.status(batch)).total
    for name in ("deferred", "processing", "reserved", "queued"):
        assert await shop.state(ids[name]) == State.cancelled, name
    assert await shop.state(ids["exposed sent"]) == State.sent
    assert await shop.state(ids["exposed delivered"]) == State.delivered


async def test_a_second_cancel_answers_the_numbers_as_they_are_now(shop: Shop) -> None:
    """What was stopped has found its place among the sent and the settled."""
    batch = await shop.batch()
    ids = await motley(shop, batch)
    await cancel(shop, batch)
    assert await cancel(shop, batch) == BatchCancelled(
        cancelled=4, stopped=0, in_flight=1, uncertain=1, sent=2, settled=4
    )
    assert (await cancel(shop, batch)).total == len(ids)


async def test_the_sweep_settles_the_rows_and_moves_no_count(shop: Shop) -> None:
    """Before and after it, every answer is the same; the timelines follow."""
    batch = await shop.batch()
    ids = await motley(shop, batch)
    await cancel(shop, batch)
    before = await shop.counts(batch)
    states = {name: await shop.state(i) for name, i in ids.items()}
    assert await shop.events(ids["queued"]) == []
    await shop.sweep()
    assert await shop.counts(batch) == before
    assert {name: await shop.state(i) for name, i in ids.items()} == states
    assert await shop.note(ids["queued"], "cancelled") == {"by": "batch"}
    assert not await shop.store.ledger.sweep(shop.now, 100)


async def test_a_sweep_goes_slice_by_slice(shop: Shop) -> None:
    """More than one slice holds is swept in several, until none is left."""
    batch = await shop.batch()
    await shop.call(*[(f"user{i}@example.net",) for i in range(25)], batch=batch)
    await cancel(shop, batch)
    turns = 0
    while await shop.store.ledger.sweep(shop.now, 10):
        turns += 1
    assert turns == 3
    assert await shop.counts(batch) == {State.cancelled: 25}


async def test_recipients_of_a_cancelled_batch_are_shown_stopped_at_once(shop: Shop) -> None:
    """Whether or not the sweep has come by."""
    batch = await shop.batch()
    ident = await shop.send(ADA, BOB, batch=batch)
    await cancel(shop, batch)
    for _ in range(2):
        assert await shop.recipients(ident) == [R.stopped, R.stopped]
        assert (await shop.detail(ident)).next_attempt_at is None
        await shop.sweep()


async def test_a_single_cancel_in_a_cancelled_batch_is_won_and_counted_once(shop: Shop) -> None:
    """The flag had moved the count already."""
    batch = await shop.batch()
    ident = await shop.send(batch=batch)
    await cancel(shop, batch)
    answer = await shop.store.messages.cancel(shop.tenant, LIVE, ident, shop.now)
    assert (answer.won, answer.state) == (True, State.cancelled)
    await shop.sweep()
    assert await shop.counts(batch) == {State.cancelled: 1}
    assert await shop.events(ident) == ["cancelled"]


async def test_a_batch_is_complete_when_the_last_has_settled(shop: Shop) -> None:
    """And the time is that of the last."""
    batch = await shop.batch()
    assert (await shop.status(batch)).last_settled_at is None
    await shop.call((ADA,), (BOB,), batch=batch)
    first, second = await shop.claim()
    for claimed in (first, second):
        shop.later(1_000)
        (departed,) = await shop.depart(claimed)
        assert isinstance(departed, Departed)
        await shop.record(claimed, departed, R.delivered)
    status = await shop.status(batch)
    assert (status.total, status.counts[State.delivered], status.last_settled_at) == (2, 2, shop.now)


async def test_an_unknown_batch_and_anothers_are_not_found(lives: Lives, shop: Shop, clock: MovedClock) -> None:
    """For reading and for cancelling."""
    other = await Shop.open(lives, clock, "other", "other.example")
    theirs = await other.batch()
    for ident, mode in ((theirs, LIVE), (mails.new_id(), LIVE), (await shop.batch(), TEST)):
        with pytest.raises(NotFound):
            await shop.store.messages.batch(ident, shop.tenant, mode)
        with pytest.raises(NotFound):
            await shop.store.messages.cancel_batch(ident, shop.tenant, mode, shop.now)
    assert not (await other.status(theirs)).cancelled


async def test_a_thousand_are_cancelled_by_one_flag(shop: Shop) -> None:
    """None of them is claimed from then on."""
    batch = await shop.batch()
    await shop.call(*[(f"user{i}@example.net",) for i in range(1_000)], batch=batch)
    told = await cancel(shop, batch)
    assert (told.cancelled, told.total) == (1_000, 1_000)
    assert await shop.claim(1_000) == []
    await shop.sweep()
    assert await shop.counts(batch) == {State.cancelled: 1_000}


async def test_the_exposed_among_the_waiting_are_counted_only_while_they_wait(shop: Shop) -> None:
    """Settled, they are no longer in the number that the next cancel looks at."""
    batch = await shop.batch()
    ident = await shop.send(ADA, BOB, batch=batch)
    await shop.run(R.accepted, R.deferred)
    await shop.store.messages.cancel(shop.tenant, LIVE, ident, shop.now)
    assert await cancel(shop, batch) == BatchCancelled(0, 0, 0, 0, 1, 0)
