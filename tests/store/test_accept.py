"""Accept: one call becomes its messages, all or none of them, once."""

import asyncio

import pytest

from postclock.core.errors import Invalid, KeyReused
from postclock.core.lifecycle import State
from postclock.store.records import LIVE, TEST, Accepted, IdempotencyKey
from tests.store.conftest import Lives
from tests.store.parts import ADA, BOB, CYD, Shop
from tests.support import mails
from tests.support.clock import MovedClock

KEY = IdempotencyKey(dialect="scaisend", key="order-7", fingerprint=b"\x01" * 33)


async def test_what_was_accepted_waits_as_queued(shop: Shop) -> None:
    """Each personalization is a message of its own, with its recipients pending."""
    accepted = await shop.call((ADA,), (BOB, CYD))
    assert not accepted.replayed
    for _, ident in accepted.ids:
        detail = await shop.detail(ident)
        assert (detail.row.state, detail.attempt, detail.events) == (State.queued, 0, ())
    assert [r.address for r in (await shop.detail(accepted.ids[1][1])).recipients] == [BOB, CYD]


async def test_a_call_is_stored_as_a_whole_or_not_at_all(shop: Shop) -> None:
    """One message that cannot be stored takes the others of its call with it, and the counts."""
    batch = await shop.batch()
    good, bad = mails.message(shop.now, ADA), mails.message(shop.now, BOB)
    call = mails.acceptance(shop.tenant, [good, bad, bad], shop.now, batch=batch)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await shop.store.messages.accept(call)
    assert (await shop.status(batch)).total == 0
    assert await shop.claim() == []


async def test_a_batch_of_another_tenant_is_as_unknown_as_one_that_does_not_exist(
    lives: Lives, shop: Shop, clock: MovedClock
) -> None:
    """Both are refused with the same sentence, and nothing is stored."""
    other = await Shop.open(lives, clock, "other", "other.example")
    theirs = await other.batch()
    told = []
    for batch in (theirs, mails.new_id()):
        with pytest.raises(Invalid) as refused:
            await shop.send(batch=batch)
        told.append((refused.value.errors[0].field, refused.value.errors[0].message))
    assert told[0] == told[1]
    assert told[0][0] == "batch_id"
    assert (await other.status(theirs)).total == 0


async def test_a_live_batch_takes_no_test_mail(shop: Shop) -> None:
    """The two halves of a tenant do not see each other's batches."""
    batch = await shop.batch()
    with pytest.raises(Invalid, match="not one of yours"):
        await shop.call((ADA,), batch=batch, mode=TEST)


async def test_a_cancelled_batch_takes_no_more_messages(shop: Shop) -> None:
    """The refusal says so."""
    batch = await shop.batch()
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    with pytest.raises(Invalid, match="cancelled"):
        await shop.send(batch=batch)


async def test_two_hundred_equal_calls_at_once_make_one_message(shop: Shop) -> None:
    """All get the id of the one that was first; the others are told that theirs is a replay."""
    batch = await shop.batch()
    answers = await asyncio.gather(*(shop.call((ADA,), batch=batch, key=KEY) for _ in range(200)))
    assert len({a.ids for a in answers}) == 1
    assert sum(not a.replayed for a in answers) == 1
    assert (await shop.status(batch)).total == 1


async def test_a_key_with_another_body_is_refused(shop: Shop) -> None:
    """It stays bound to the first; asked for before anything else is checked, the answer is the same."""
    first = await shop.call((ADA,), key=KEY)
    other = IdempotencyKey(dialect=KEY.dialect, key=KEY.key, fingerprint=b"\x02" * 33)
    with pytest.raises(KeyReused):
        await shop.call((BOB,), key=other)
    with pytest.raises(KeyReused):
        await shop.store.messages.replay(shop.tenant, LIVE, other)
    replayed = await shop.store.messages.replay(shop.tenant, LIVE, KEY)
    assert replayed is not None
    assert (replayed.ids, replayed.replayed) == (first.ids, True)


async def test_a_key_belongs_to_one_mode_and_one_dialect(shop: Shop) -> None:
    """The same word elsewhere is another key."""
    await shop.call((ADA,), key=KEY)
    other = IdempotencyKey(dialect="sendara", key=KEY.key, fingerprint=KEY.fingerprint)
    assert await shop.store.messages.replay(shop.tenant, TEST, KEY) is None
    assert await shop.store.messages.replay(shop.tenant, LIVE, other) is None


async def test_a_refused_call_does_not_use_up_its_key(shop: Shop) -> None:
    """After the mistake is mended the same key works."""
    with pytest.raises(Invalid):
        await shop.call((ADA,), batch=mails.new_id(), key=KEY)
    assert not (await shop.call((ADA,), key=KEY)).replayed


async def test_a_sandboxed_call_is_stored_as_such_and_nothing_is_queued(shop: Shop) -> None:
    """It is settled from the start: its batch is complete, and the engine never sees it."""
    batch = await shop.batch()
    one, many = (i for _, i in (await shop.call((ADA,), (BOB, CYD), batch=batch, sandbox=True)).ids)
    assert [await shop.state(i) for i in (one, many)] == [State.sandbox] * 2
    assert await shop.counts(batch) == {State.sandbox: 2}
    assert (await shop.status(batch)).last_settled_at == shop.now
    assert await shop.claim() == []


async def test_the_scheduler_hears_when_the_earliest_is_ready(shop: Shop) -> None:
    """After the commit, so that a claim made on hearing it finds the row."""
    heard: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def hear(at: int) -> None:
        if at:  # 0 is a store's word that it listens to others from now on
            loop.call_soon_threadsafe(heard.put_nowait, at)

    shop.store.ledger.on_ready(hear)
    await shop.send(due_in=5_000)
    assert await heard.get() == shop.now + 5_000
    assert await shop.store.ledger.next_ready([0, 1, 2]) == shop.now + 5_000


async def test_a_row_that_cannot_be_stored_fails_its_own_call_alone(shop: Shop) -> None:
    """Calls of one group are inserted together; the one that breaks a rule is found out, the others stand and are counted."""
    batch = await shop.batch()
    calls = [
        mails.acceptance(shop.tenant, [mails.message(shop.now, f"user{i}@example.net")], shop.now, batch=batch)
        for i in range(5)
    ]
    twice = mails.acceptance(shop.tenant, [calls[2].messages[0]], shop.now, batch=batch)
    answers = await asyncio.gather(*(shop.store.messages.accept(c) for c in [*calls, twice]), return_exceptions=True)
    assert [isinstance(a, Accepted) for a in answers] == [True] * 5 + [False]
    assert await shop.counts(batch) == {State.queued: 5}
    assert len(await shop.claim()) == 5
