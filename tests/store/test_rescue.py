"""Rescue: a new life takes back what a former one left behind."""

import pytest

from postclock.core.lifecycle import RecipientState, State
from postclock.core.message import UncertainPolicy
from postclock.store.records import LIVE
from tests.store.parts import ADA, AHEAD_MS, BOB, SETTLE_MS, UNCERTAIN_MS, Shop

R = RecipientState


async def test_what_had_not_departed_is_released_and_goes_at_once(shop: Shop) -> None:
    """Reserved or processing, nothing of it was sent."""
    due, soon = await shop.send(), await shop.send(due_in=AHEAD_MS)
    assert len(await shop.claim(ahead=AHEAD_MS)) == 2
    assert await shop.rescue() == 2
    assert [await shop.state(i) for i in (due, soon)] == [State.queued] * 2
    assert [c.id for c in await shop.claim()] == [due]
    assert [c.id for c in await shop.claim(ahead=AHEAD_MS)] == [soon]
    assert await shop.events(due) == []


@pytest.mark.parametrize(
    ("policy", "state", "next_at"),
    [
        ("resend", State.uncertain, UNCERTAIN_MS),
        ("hold", State.uncertain, None),
        ("assume_sent", State.sent, SETTLE_MS),
    ],
)
@pytest.mark.parametrize("to", [(ADA,), (ADA, BOB)])
async def test_what_had_departed_is_uncertain_and_follows_its_policy(
    shop: Shop, policy: UncertainPolicy, state: State, next_at: int | None, to: tuple[str, ...]
) -> None:
    """It is exposed from then on, and the timeline says why."""
    batch = await shop.batch()
    ident = await shop.send(*to, policy=policy, batch=batch)
    await shop.fly()
    departed_at = shop.now
    assert await shop.rescue() == 1
    detail = await shop.detail(ident)
    assert (detail.row.state, detail.row.exposed) == (state, True)
    assert detail.next_attempt_at == (None if next_at is None else departed_at + next_at)
    assert (await shop.events(ident))[: len(to)] == ["uncertain"] * len(to)
    assert (await shop.note(ident, "uncertain"))["reason"] == "the process died before the result"
    assert await shop.counts(batch) == {state: 1}


async def test_what_a_former_life_held_of_a_cancelled_batch_is_cancelled(shop: Shop) -> None:
    """And what had departed of it is uncertain, then given up, never sent again."""
    batch = await shop.batch()
    departed = await shop.send(batch=batch)
    await shop.fly()
    held = await shop.send(batch=batch)
    await shop.claim()
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    assert await shop.rescue() == 2
    assert [await shop.state(i) for i in (held, departed)] == [State.cancelled, State.uncertain]
    shop.later(UNCERTAIN_MS)
    assert await shop.claim() == []
    assert await shop.counts(batch) == {State.cancelled: 1, State.failed: 1}


async def test_rescue_goes_slice_by_slice_and_leaves_the_living_alone(shop: Shop) -> None:
    """It ends when nothing of the dead is left."""
    await shop.call(*[(f"user{i}@example.net",) for i in range(5)])
    await shop.claim()
    assert await shop.rescue(2) == 2
    own = await shop.claim()
    assert len(own) == 2
    left = [await shop.store.ledger.rescue(shop.now, 2, UNCERTAIN_MS, SETTLE_MS) for _ in range(3)]
    assert [found.rows for found in left] == [2, 1, 0]
    assert await shop.store.ledger.release([(c.id, c.attempt) for c in own], shop.now) == 2


async def test_each_life_has_a_node_of_its_own(shop: Shop) -> None:
    """Also after the numbers have gone round: an id made by one life is never made by the next."""
    first = shop.store.ledger.owner
    nodes = [shop.lives.next().ledger.owner.node for _ in range(4)]
    assert nodes == list(range(first.node + 1, first.node + 5))
    assert shop.store.ledger.owner.epoch == 1
