"""The list with its filters and page marks, one message's story, and what waits at large."""

from typing import Any

import pytest

from postclock.core.lifecycle import RecipientState, State
from postclock.store.records import LIVE, TEST
from postclock.store.views import MessageFilter, Page
from tests.store.conftest import Lives
from tests.store.parts import ADA, AHEAD_MS, BOB, CYD, RETRY_MS, Shop
from tests.support import mails
from tests.support.clock import MovedClock

R = RecipientState
KEY, OTHER_KEY = 7, 8
MARK_LIFE_MS = 600_000


async def listed(shop: Shop, page: int = 1, size: int = 100, *, key: int = KEY, **filters: Any) -> Page:
    wanted = MessageFilter(tenant=filters.pop("tenant", shop.tenant), mode=filters.pop("mode", LIVE), **filters)
    return await shop.store.messages.page(wanted, key, page, size, shop.now)


def ids(page: Page) -> list[int]:
    return [m.id for m in page.messages]


async def test_newest_come_first_and_only_ones_own(lives: Lives, shop: Shop, clock: MovedClock) -> None:
    """Another tenant's and the other mode's are not among them, nor counted."""
    first, second = await shop.send(), await shop.send(ADA, BOB)
    other = await Shop.open(lives, clock, "other", "other.example")
    await other.send()
    await shop.call((ADA,), mode=TEST, sandbox=True)
    page = await listed(shop)
    assert (ids(page), page.total) == ([second, first], 2)
    assert (await listed(shop, mode=TEST)).total == 1


@pytest.mark.parametrize("held", [False, True])
async def test_each_of_the_nine_filters_narrows(shop: Shop, held: bool) -> None:
    """Alone, and beside a state that leads through what waits."""
    batch = await shop.batch()
    early = shop.now
    other = await shop.send(CYD)
    shop.later(1_000)
    start = shop.now
    messages = [mails.message(shop.now, ADA, BOB, subject="Your INVOICE 7")]
    call = mails.acceptance(
        shop.tenant, messages, shop.now, batch=batch, from_email="bills@example.com", template="d-1", categories="\x1fnews\x1fbills\x1f"
    )  # fmt: skip
    wanted = (await shop.store.messages.accept(call)).ids[0][1]
    shop.later(1_000)
    await shop.send(CYD, due_in=RETRY_MS)
    await shop.claim(1)
    states = frozenset({State.queued, State.deferred}) if held else None
    filters: list[dict[str, Any]] = [
        {"to_email": ADA}, {"to_email": BOB}, {"from_email": "bills@example.com"}, {"subject": "invoice"}, {"batch": batch}, {"template": "d-1"},
        {"category": "bills"}, {"category": "news"}, {"start_at": start, "end_at": start + 1},
        {"to_email": ADA, "batch": batch, "subject": "INVOICE", "category": "news", "start_at": start},
    ]  # fmt: skip
    for each in filters:
        page = await listed(shop, states=states, **each)
        assert (ids(page), page.total) == ([wanted], 1), each
    for none in ({"to_email": "ada@example"}, {"category": "new"}, {"subject": "%"}, {"batch": 5}, {"end_at": early}):
        page = await listed(shop, states=states, **none)
        assert (ids(page), page.total) == ([], 0), none
    assert ids(await listed(shop, states=frozenset({State.processing}))) == [other]


async def test_a_state_that_is_never_stored_finds_nothing(shop: Shop) -> None:
    """An empty set of states is a filter like any other."""
    await shop.send()
    page = await listed(shop, states=frozenset())
    assert (ids(page), page.total) == ([], 0)


async def test_the_state_that_is_shown_is_the_state_that_is_filtered(shop: Shop) -> None:
    """Also between a batch's flag and its sweep: cancelled, and no longer queued."""
    batch = await shop.batch()
    waiting = await shop.send(batch=batch, due_in=RETRY_MS)
    await shop.send(batch=batch)
    await shop.run(R.delivered)
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    for _ in range(2):
        for where in ({}, {"batch": batch}):
            cancelled = await listed(shop, states=frozenset({State.cancelled}), **where)
            assert (ids(cancelled), cancelled.total) == ([waiting], 1)
            queued = await listed(shop, states=frozenset({State.queued}), **where)
            assert (ids(queued), queued.total) == ([], 0)
        await shop.sweep()


async def test_cancelling_page_after_page_reaches_every_message(shop: Shop) -> None:
    """The page number rises over a filter that shrinks: page p + 1 goes on after the last row of page p."""
    batch = await shop.batch()
    for _ in range(4):
        await shop.call(*[(f"user{i}@example.net",) for i in range(250)], batch=batch, due_in=RETRY_MS)
    page = 1
    cancelled = 0
    while messages := (await listed(shop, page, batch=batch, states=frozenset({State.queued}))).messages:
        for m in messages:
            cancelled += (await shop.store.messages.cancel(shop.tenant, LIVE, m.id, shop.now)).won
        page += 1
    assert cancelled == 1_000
    assert await shop.counts(batch) == {State.cancelled: 1_000}


async def test_pages_hang_together_although_new_mail_comes_in(shop: Shop) -> None:
    """Nothing is shown twice, nothing is left out; page 1 begins afresh."""
    accepted = [await shop.send() for _ in range(6)]
    first = await listed(shop, 1, 2)
    newest = await shop.send()
    second, third = await listed(shop, 2, 2), await listed(shop, 3, 2)
    assert ids(first) + ids(second) + ids(third) == accepted[::-1]
    assert ids(await listed(shop, 2, 2)) == ids(second)
    assert ids(await listed(shop, 1, 2)) == [newest, accepted[5]]
    assert ids(await listed(shop, 2, 2)) == [accepted[4], accepted[3]]


async def test_a_mark_is_good_for_its_key_and_filter_and_ten_minutes(shop: Shop) -> None:
    """Without one the page is counted from the start."""
    accepted = [await shop.send() for _ in range(4)]
    await listed(shop, 1, 2)
    await shop.send()
    assert ids(await listed(shop, 2, 2, key=OTHER_KEY)) == [accepted[2], accepted[1]]
    assert ids(await listed(shop, 2, 2, to_email=ADA)) == [accepted[2], accepted[1]]
    shop.later(MARK_LIFE_MS - 1)
    assert ids(await listed(shop, 2, 2)) == [accepted[1], accepted[0]]
    shop.later(1)
    assert ids(await listed(shop, 2, 2)) == [accepted[2], accepted[1]]


async def test_the_detail_tells_the_whole_story(shop: Shop) -> None:
    """Times, attempts, recipients, events."""
    ident = await shop.send(ADA, BOB)
    accepted_at = shop.now
    shop.later(AHEAD_MS)
    departed_at = shop.now
    await shop.run(R.delivered, R.deferred)
    shop.later(RETRY_MS)
    await shop.run(R.delivered)
    detail = await shop.detail(ident)
    assert (detail.row.created_at, detail.row.due_at, detail.row.departed_at) == (accepted_at, accepted_at, departed_at)
    assert (detail.row.delivered_at, detail.row.settled_at, detail.attempt, detail.stamp) == (
        shop.now, shop.now, 2, mails.STAMP
    )  # fmt: skip
    assert [(r.n, r.address, r.state) for r in detail.recipients] == [(0, ADA, R.delivered), (1, BOB, R.delivered)]
    assert [(e.type, e.recipient, e.at) for e in detail.events] == [
        ("delivered", ADA, departed_at), ("deferred", BOB, departed_at), ("delivered", BOB, shop.now)
    ]  # fmt: skip


async def test_the_overview_says_what_waits(lives: Lives, shop: Shop, clock: MovedClock) -> None:
    """How much, since when, for whom, and why not."""
    empty = await shop.store.overview()
    assert (empty.waiting, empty.oldest_due) == (0, None)
    other = await Shop.open(lives, clock, "other", "other.example")
    await shop.send(ADA, policy="hold")
    await shop.run(R.uncertain, policy="hold")
    await shop.send(BOB)
    await shop.fly()
    due = shop.now + 1_000
    await shop.send(CYD, due_in=1_000)
    await other.send(ADA, BOB, due_in=RETRY_MS)
    seen = await shop.store.overview()
    assert (seen.waiting, seen.parked, seen.uncertain, seen.in_flight, seen.oldest_due) == (2, 1, 1, 1, due)
    assert seen.by_domain == {"example.org": 1, "example.net": 1}
    assert seen.by_tenant == {"shop": 1, "other": 1}
    assert seen.by_reason == {"uncertain: hold": 1}


async def test_a_blob_is_kept_once_for_each_tenant(lives: Lives, shop: Shop, clock: MovedClock) -> None:
    """Another tenant does not see it."""
    other = await Shop.open(lives, clock, "other", "other.example")
    sha256 = "ab" * 32
    for _ in range(2):
        await shop.store.messages.put_blobs(shop.tenant, {sha256: b"Hello"}, shop.now)
    assert await shop.store.ledger.blob(shop.tenant, sha256) == b"Hello"
    assert await shop.store.ledger.blob(other.tenant, sha256) is None


async def test_the_engine_reads_what_a_mail_is_made_from(shop: Shop) -> None:
    """Submissions by id, and only those that exist."""
    await shop.send()
    (claimed,) = await shop.claim()
    found = await shop.store.ledger.submissions([claimed.submission, 5])
    assert list(found) == [claimed.submission]
