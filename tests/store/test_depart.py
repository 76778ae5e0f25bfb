"""Depart: what may go goes, durably, before a byte of it is written; what may not is told why."""

from typing import Any

import pytest

from postclock.core.lifecycle import RecipientState, State
from postclock.core.suppression import Suppression
from postclock.core.when import month_of
from postclock.store.interface import Store
from postclock.store.records import LIVE, TEST, Departed, Held
from tests.store.parts import ADA, AHEAD_MS, BOB, CYD, Shop
from tests.support import mails

BOUNCED, DEFERRED, DELIVERED = RecipientState.bounced, RecipientState.deferred, RecipientState.delivered


async def suppress(shop: Shop, *addresses: str) -> None:
    for address in addresses:
        entry = Suppression(address=address, list="unsubscribes", created_at=shop.now, reason="asked")
        await shop.store.suppressions.suppress(shop.tenant, LIVE, entry)


async def used(store: Any, tenant: int, at: int) -> int:
    """How many recipients the tenant was charged for in that month."""
    rows = await store._desk.read(
        lambda run: run("SELECT sum(n) FROM usage WHERE tenant = ? AND month = ?", (tenant, month_of(at)))
    )
    return int(rows[0][0] or 0)


async def test_a_departed_message_is_sending_and_keeps_its_first_departure(shop: Shop) -> None:
    """The hand-off and its stamp stay, whatever attempts follow."""
    ident = await shop.send()
    first_at = shop.now
    await shop.run(DEFERRED)
    shop.later(60_000)
    claimed, departed = await shop.fly()
    assert (claimed.stamp, claimed.departed_at, departed.at) == (mails.STAMP, first_at, shop.now)
    detail = await shop.detail(ident)
    assert (detail.row.state, detail.row.departed_at, detail.stamp) == (State.sending, first_at, mails.STAMP)


async def test_nothing_departs_before_it_is_due(shop: Shop) -> None:
    """Reserved ahead of its second, it is told that it is early, and keeps its claim."""
    await shop.send(due_in=AHEAD_MS)
    (claimed,) = await shop.claim(ahead=AHEAD_MS)
    assert await shop.depart(claimed) == [Held("early")]
    shop.later(AHEAD_MS)
    assert isinstance((await shop.depart(claimed))[0], Departed)


@pytest.mark.parametrize("domain", [mails.DOMAIN, "unverified.example"])
async def test_what_would_be_refused_is_looked_at_when_it_is_due(shop: Shop, domain: str) -> None:
    """A suppression or a domain that is missing two seconds ahead may be in order by then."""
    ident = await shop.send(due_in=AHEAD_MS)
    (claimed,) = await shop.claim(ahead=AHEAD_MS)
    await suppress(shop, ADA)
    assert await shop.depart(claimed, domain=domain) == [Held("early")]
    await shop.store.suppressions.unsuppress(shop.tenant, LIVE, "unsubscribes", ADA)
    shop.later(AHEAD_MS)
    assert isinstance((await shop.depart(claimed))[0], Departed)
    assert await shop.events(ident) == []


async def test_nothing_departs_twice_under_one_claim(shop: Shop) -> None:
    """The second is told that it is gone, and moves no count."""
    batch = await shop.batch()
    await shop.send(batch=batch)
    (claimed,) = await shop.claim()
    first, second = await shop.depart(claimed, claimed)
    assert isinstance(first, Departed)
    assert second == Held("gone")
    assert await shop.counts(batch) == {State.sending: 1}


async def test_what_is_under_way_is_not_parked_or_refused_by_a_second_departure(shop: Shop) -> None:
    """A flag that comes after the departure does not take the row back."""
    ident = await shop.send()
    claimed, _ = await shop.fly()
    await suppress(shop, ADA)
    assert await shop.depart(claimed) == [Held("gone")]
    await shop.store.accounts.set_tenant(shop.tenant, suspended=True, now=shop.now)
    assert await shop.depart(claimed) == [Held("gone")]
    assert await shop.state(ident) == State.sending


async def test_a_mail_made_from_old_settings_is_made_again(shop: Shop) -> None:
    """The tenant's revision rose while it was prepared."""
    await shop.send()
    (claimed,) = await shop.claim()
    revision = (await shop.store.ledger.context(shop.tenant)).revision
    await shop.store.domains.set_verified(shop.tenant, mails.DOMAIN, None)
    await shop.store.domains.set_verified(shop.tenant, mails.DOMAIN, shop.now)
    assert await shop.store.ledger.depart([mails.departure(claimed, revision)], shop.now) == [Held("stale")]
    assert isinstance((await shop.depart(claimed))[0], Departed)


async def test_the_suppressed_are_dropped_from_the_envelope(shop: Shop) -> None:
    """The others go; the timeline says who did not, and why."""
    ident = await shop.send(ADA, BOB, CYD)
    (claimed,) = await shop.claim()
    await suppress(shop, BOB)
    (departed,) = await shop.depart(claimed)
    assert departed == Departed(shop.now, frozenset({1}))
    assert await shop.note(ident, "dropped") == {"reason": "suppressed", "list": "unsubscribes"}
    assert isinstance(departed, Departed)
    await shop.record(claimed, departed, DELIVERED)
    assert await shop.recipients(ident) == [DELIVERED, RecipientState.dropped, DELIVERED]
    assert await shop.state(ident) == State.delivered


@pytest.mark.parametrize("to", [(ADA,), (ADA, BOB)])
async def test_with_every_recipient_suppressed_it_has_failed(shop: Shop, to: tuple[str, ...]) -> None:
    """It never departed, and costs nothing."""
    batch = await shop.batch()
    ident = await shop.send(*to, batch=batch)
    (claimed,) = await shop.claim()
    await suppress(shop, *to)
    assert await shop.depart(claimed) == [Held("settled")]
    detail = await shop.detail(ident)
    assert (detail.row.state, detail.row.departed_at) == (State.failed, None)
    assert await shop.events(ident) == ["dropped"] * len(to)
    assert await shop.counts(batch) == {State.failed: 1}
    assert await used(shop.store, shop.tenant, shop.now) == 0


async def test_a_domain_that_is_no_longer_verified_sends_nothing(shop: Shop) -> None:
    """The message fails, and says which domain it was."""
    ident = await shop.send()
    (claimed,) = await shop.claim()
    assert await shop.depart(claimed, domain="lost.example") == [Held("settled")]
    assert await shop.state(ident) == State.failed
    assert (await shop.note(ident, "failed"))["reason"] == "sender domain not verified: lost.example"


async def test_a_tenant_suspended_meanwhile_has_its_mail_parked(shop: Shop) -> None:
    """It goes on from where it was when the tenant is resumed."""
    ident = await shop.send()
    (claimed,) = await shop.claim()
    await shop.store.accounts.set_tenant(shop.tenant, suspended=True, now=shop.now)
    assert await shop.depart(claimed) == [Held("parked")]
    assert await shop.state(ident) == State.queued
    await shop.store.accounts.set_tenant(shop.tenant, suspended=False, now=shop.now)
    await shop.run(DELIVERED)
    assert await shop.state(ident) == State.delivered


async def test_from_the_flag_on_nothing_of_the_batch_departs(shop: Shop) -> None:
    """Reserved, processing or waiting: all of it is cancelled, and the counts say so at once."""
    batch = await shop.batch()
    await shop.call((ADA,), (BOB, CYD), batch=batch, due_in=AHEAD_MS)
    await shop.call((CYD,), batch=batch)
    claims = await shop.claim(ahead=AHEAD_MS)
    told = await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    assert (told.cancelled, told.total) == (3, 3)
    shop.later(AHEAD_MS)
    assert await shop.depart(*claims) == [Held("gone")] * 3
    assert await shop.counts(batch) == {State.cancelled: 3}


async def test_a_life_that_was_ended_departs_nothing(shop: Shop) -> None:
    """Its claims may be another's by now."""
    await shop.send()
    (claimed,) = await shop.claim()
    ended = shop.store.ledger.owner
    store: Store = shop.lives.next()
    store.ledger.owner = ended
    assert await shop.depart(claimed) == [Held("gone")]


async def test_a_message_is_charged_once_for_each_recipient_at_its_hand_off(shop: Shop) -> None:
    """Not for later attempts, not after an abort, and not for who was dropped."""
    await shop.send(ADA, BOB, CYD)
    await suppress(shop, CYD)
    claimed, departed = await shop.fly()
    assert await used(shop.store, shop.tenant, shop.now) == 2
    await shop.abort(claimed, departed)
    claimed, departed = await shop.fly()
    await shop.record(claimed, departed, DEFERRED)
    shop.later(60_000)
    await shop.run(DELIVERED)
    assert await used(shop.store, shop.tenant, shop.now) == 2


async def test_a_suppression_in_test_mode_stops_no_live_mail(shop: Shop) -> None:
    """The two halves of a tenant do not see each other."""
    await shop.send()
    entry = Suppression(address=ADA, list="unsubscribes", created_at=shop.now)
    await shop.store.suppressions.suppress(shop.tenant, TEST, entry)
    assert (await shop.fly())[1].dropped == frozenset()
