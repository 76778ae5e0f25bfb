"""The list by position: it holds together while rows change, are added and settle; and the cancel that only unschedules."""

from typing import Any

import pytest

from postclock.api.sendara.statuses import WORDS, conditions_of, status_of
from postclock.core.errors import NotFound
from postclock.core.lifecycle import RecipientState, Shown, State
from postclock.store.records import LIVE, TEST, Departed, Engagement, IdempotencyKey
from postclock.store.views import MessageFilter, MessageRow, StatusFilter
from tests.store.parts import ADA, BOB, CYD, RETRY_MS, Shop
from tests.support import mails

R = RecipientState
ANY = frozenset(Shown)
HOUR_MS = 3_600_000


async def rows(shop: Shop, before: int | None = None, limit: int = 100, **filters: Any) -> tuple[MessageRow, ...]:
    wanted = MessageFilter(tenant=filters.pop("tenant", shop.tenant), mode=filters.pop("mode", LIVE), **filters)
    return await shop.store.messages.browse(wanted, before, limit)


async def ids(shop: Shop, before: int | None = None, limit: int = 100, **filters: Any) -> list[int]:
    return [row.id for row in await rows(shop, before, limit, **filters)]


def status(*states: State, shown: frozenset[Shown] = ANY, waits: bool | None = None, now: int = 0) -> StatusFilter:
    return StatusFilter(states=dict.fromkeys(states, shown), waits=waits, now=now)


async def test_newest_first_from_a_position_on(shop: Shop) -> None:
    """``before`` is exclusive, ``limit`` is a limit, the other mode and other tenants are not there."""
    first, second, third = [await shop.send() for _ in range(3)]
    await shop.call((ADA,), mode=TEST, sandbox=True)
    assert await ids(shop) == [third, second, first]
    assert await ids(shop, third, 1) == [second]
    assert await ids(shop, first) == []
    assert await ids(shop, tenant=shop.tenant + 1) == []
    assert len(await ids(shop, mode=TEST)) == 1


async def test_nothing_is_lost_or_shown_twice_while_mail_comes_and_goes(shop: Shop) -> None:
    """Between two pages new mail arrives and some of what was, and of what is to be shown, settles."""
    sent = [await shop.send() for _ in range(6)]
    page = await ids(shop, limit=2)
    await shop.send()
    for held in await shop.claim(4):
        (departed,) = await shop.depart(held)
        assert isinstance(departed, Departed)
        await shop.record(held, departed, R.delivered)
    assert page + await ids(shop, page[-1], 2) + await ids(shop, sent[2], 2) == sent[::-1]


async def test_a_row_that_leaves_the_filter_takes_no_other_with_it(shop: Shop) -> None:
    """With a status filter the rest of the list stays where it is when rows of earlier pages change."""
    sent = [await shop.send(due_in=HOUR_MS) for _ in range(6)]
    wanted = status(State.queued, waits=True, now=shop.now)
    page = await ids(shop, limit=3, status=wanted)
    for ident in page:
        await shop.store.messages.cancel(shop.tenant, LIVE, ident, shop.now)
    assert page + await ids(shop, page[-1], 3, status=wanted) == sent[::-1]
    assert await ids(shop, status=status(State.cancelled)) == page


async def test_waiting_for_an_asked_time_is_told_from_being_queued(shop: Shop) -> None:
    """The same row goes from the one filter to the other when its time comes."""
    scheduled, at_once = await shop.send(due_in=HOUR_MS), await shop.send()
    for now, waiting, queued in ((shop.now, [scheduled], [at_once]), (shop.now + HOUR_MS, [], [at_once, scheduled])):
        assert await ids(shop, status=status(State.queued, waits=True, now=now)) == waiting
        assert await ids(shop, status=status(State.queued, State.deferred, waits=False, now=now)) == queued


async def test_what_is_shown_beyond_the_state_is_filtered(shop: Shop) -> None:
    """A state counts only with one of the things to be shown that are named with it."""
    ident = await shop.send()
    await shop.run(R.delivered)
    assert await ids(shop, status=status(State.delivered, shown=frozenset({Shown.nothing}))) == [ident]
    assert await ids(shop, status=status(State.delivered, shown=frozenset({Shown.opened}))) == []
    mixed = StatusFilter(states={State.delivered: frozenset({Shown.nothing}), State.failed: ANY})
    assert await ids(shop, status=mixed) == [ident]
    assert await ids(shop, status=StatusFilter(states={})) == []


async def test_the_words_of_v1_part_the_list(shop: Shop) -> None:
    """Messages in every state: each is found by the word that it is shown with, and by no other, now and when more is due."""
    messages = shop.store.messages
    for outcome in (R.accepted, R.delivered, R.bounced, R.deferred, R.uncertain, R.given_up):
        await shop.send(CYD if outcome is R.bounced else ADA)
        await shop.run(outcome)
    opened = await shop.send()
    await shop.run(R.delivered)
    week = (await shop.detail(opened)).row.week
    await messages.engage([Engagement(opened, week, "open", 0, shop.now, "", "", "")], shop.now)
    await messages.cancel(shop.tenant, LIVE, await shop.send(), shop.now)
    await shop.call((ADA,), sandbox=True)
    await shop.send()
    await shop.fly()
    await shop.send()
    await shop.claim()
    batch = await shop.batch()
    await shop.send(batch=batch, due_in=HOUR_MS)
    await messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    await shop.send()
    await shop.send(due_in=HOUR_MS)
    everything = await rows(shop)
    assert {row.state for row in everything} == set(State)
    for now in (shop.now, shop.now + HOUR_MS):
        told = {
            row.id: status_of(row.state, row.shown, due_at=row.due_at, asked=row.due_at > row.created_at, now=now)
            for row in everything
        }
        for word in WORDS:
            assert await ids(shop, status=conditions_of(word, now)) == [i for i, w in told.items() if w == word], word
    assert set(WORDS) - set(told.values()) == {"scheduled", "complained"}


async def test_a_part_of_a_recipient_or_of_the_subject_finds_it(shop: Shop) -> None:
    """In any case of letters; with one recipient and with several; wildcards mean nothing."""
    alone, several = await shop.send(ADA), await shop.send(BOB, CYD)
    invoice = mails.message(shop.now, BOB, subject="Your INVOICE 7")
    await shop.store.messages.accept(mails.acceptance(shop.tenant, [invoice], shop.now))
    assert await ids(shop, search="Ada@") == [alone]
    assert await ids(shop, search="cyd@exam") == [several]
    assert await ids(shop, search="invoice 7") == [invoice.id]
    assert await ids(shop, search="digest") == [several, alone]
    assert await ids(shop, search="%") == []


async def test_from_is_inside_and_to_is_not(shop: Shop) -> None:
    """The range is of the time of acceptance."""
    await shop.send()
    shop.later(1_000)
    start, ident = shop.now, await shop.send()
    shop.later(1_000)
    end = shop.now
    await shop.send()
    assert await ids(shop, start_at=start, end_at=end) == [ident]


async def test_a_row_tells_its_recipients_and_mode(shop: Shop) -> None:
    """What a dialect needs to show it, also when the content is no longer kept."""
    await shop.send(ADA)
    await shop.send(BOB, CYD)
    several, alone = await rows(shop)
    assert (alone.mode, alone.shown, alone.n_rcpt, alone.rcpt) == (LIVE, Shown.nothing, 1, ADA)
    assert (several.n_rcpt, several.rcpt) == (2, None)


async def test_a_message_is_found_by_its_key(shop: Shop) -> None:
    """Of the tenant, the mode and the dialect that the key was used in."""
    key = IdempotencyKey(dialect="sendara", key="welcome", fingerprint=b"f")
    accepted = await shop.call((ADA,), key=key)
    find = shop.store.messages.by_key
    assert await find(shop.tenant, LIVE, "sendara", "welcome") == accepted.ids
    for other in ((shop.tenant, TEST, "sendara", "welcome"), (shop.tenant, LIVE, "scaisend", "welcome"),
                  (shop.tenant + 1, LIVE, "sendara", "welcome"), (shop.tenant, LIVE, "sendara", "other")):  # fmt: skip
        assert await find(*other) is None


# The cancel that only unschedules


async def unschedule(shop: Shop, ident: int, mode: int = LIVE) -> bool:
    try:
        done = await shop.store.messages.cancel(shop.tenant, mode, ident, shop.now, only_scheduled=True)
    except NotFound:
        return False
    assert done.won
    return True


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_scheduled_message_is_cancelled_once(shop: Shop, claimed: bool) -> None:
    """Before its time and after it, claimed or not, until it departs; the second call finds nothing to stop."""
    ident = await shop.send(due_in=RETRY_MS)
    if claimed:
        shop.later(RETRY_MS)
        (held,) = await shop.claim()
    assert await unschedule(shop, ident)
    assert await shop.state(ident) is State.cancelled
    assert not await unschedule(shop, ident)
    assert await shop.events(ident) == ["cancelled"]
    if claimed:
        assert [type(a).__name__ for a in await shop.depart(held)] == ["Held"]


async def test_what_was_never_scheduled_stays_queued(shop: Shop) -> None:
    """No time was asked for: nothing changes, however long it waits."""
    ident = await shop.send()
    assert not await unschedule(shop, ident)
    assert (await shop.state(ident), await shop.events(ident)) == (State.queued, [])
    await shop.run(R.deferred)
    assert not await unschedule(shop, ident)
    assert await shop.state(ident) is State.deferred


async def test_what_is_on_its_way_or_out_is_left_alone(shop: Shop) -> None:
    """In flight, sent, delivered, failed: no step is taken."""
    ident = await shop.send(due_in=RETRY_MS)
    shop.later(RETRY_MS)
    held, departed = await shop.fly()
    assert not await unschedule(shop, ident)
    assert await shop.state(ident) is State.sending
    await shop.record(held, departed, R.delivered)
    assert not await unschedule(shop, ident)
    assert await shop.state(ident) is State.delivered


async def test_pending_recipients_of_an_exposed_message_are_not_stopped(shop: Shop) -> None:
    """One of two has it already: the other waits on, as if nobody had asked."""
    ident = await shop.send(ADA, BOB, due_in=RETRY_MS)
    shop.later(RETRY_MS)
    await shop.run(R.delivered, R.deferred)
    before = await shop.detail(ident)
    assert not await unschedule(shop, ident)
    assert await shop.detail(ident) == before


async def test_a_cancelled_batch_and_strangers_leave_nothing_to_unschedule(shop: Shop) -> None:
    """Under a batch's flag it counts as cancelled already; the other mode and an unknown id find nothing."""
    batch = await shop.batch()
    ident = await shop.send(batch=batch, due_in=RETRY_MS)
    assert not await unschedule(shop, ident, TEST)
    assert not await unschedule(shop, 5)
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    assert not await unschedule(shop, ident)
    assert await shop.events(ident) == []
