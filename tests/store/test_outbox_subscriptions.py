"""Subscriptions: who sees and changes them, and which process tells them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from postclock.core.account import Dialect
from postclock.core.errors import Conflict, NotFound
from postclock.store.outbox import DeliveryState, Health, Subscription, Tried
from postclock.store.records import LIVE, TEST
from postclock.store.tables.outbox import OF_A_TENANT, PROBES
from tests.store.outbox_desk import DAY_MS, LONG, hook, owner_of, taken
from tests.store.parts import ADA, BOB, Shop
from tests.support import mails


async def test_one_process_at_a_time_has_an_endpoint(shop: Shop) -> None:
    """Until its lease runs out, it gives it back, or its life is over."""
    endpoint = await shop.store.outbox.add(hook(shop))
    assert await shop.store.outbox.lease(owner_of(shop.store), shop.now, shop.now + LONG, 10) == []
    await shop.send(ADA)
    owner = owner_of(shop.store)
    other = owner + 1000
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10) == [endpoint]
    assert await shop.store.outbox.lease(other, shop.now, shop.now + LONG, 10) == []
    shop.later(LONG)
    assert await shop.store.outbox.lease(other, shop.now, shop.now + LONG, 10) == [endpoint]
    assert not await shop.store.outbox.report(endpoint.id, owner, [], Health(), shop.now, shop.now + LONG)
    # The other one is no life that goes on: whoever comes takes it over.
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10) == [endpoint]
    assert await shop.store.outbox.report(endpoint.id, owner, [], Health(), shop.now, shop.now)
    assert await shop.store.outbox.lease(other, shop.now, shop.now + LONG, 10) == [endpoint]


async def test_the_next_life_takes_over_at_once(shop: Shop) -> None:
    """What a process that was killed had posted and not marked is told again, under the same ids."""
    endpoint = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    assert await shop.store.outbox.lease(owner_of(shop.store), shop.now, shop.now + LONG, 10) == [endpoint]
    (before,) = await taken(shop.store, endpoint, shop.now)
    shop.lives.next()
    assert await shop.store.outbox.lease(owner_of(shop.store), shop.now, shop.now + LONG, 10) == [endpoint]
    (after,) = await taken(shop.store, endpoint, shop.now)
    assert after.event_id == before.event_id


async def test_a_failing_endpoint_is_left_alone_until_its_time(shop: Shop) -> None:
    """Its rows wait; switched off it is not leased at all; switched on, it begins anew."""
    endpoint = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    owner = owner_of(shop.store)
    await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10)
    failing = Health(failures=9, failing_since=shop.now, retry_at=shop.now + 60_000, last_failure_at=shop.now)
    found = await shop.store.outbox.report(endpoint.id, owner, [], failing, shop.now, shop.now)
    assert found == replace(endpoint, health=failing)
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10) == []
    shop.later(60_000)
    (again,) = await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10)
    assert again.health == failing
    disabled = replace(failing, failures=10, disabled_at=shop.now)
    assert await shop.store.outbox.report(endpoint.id, owner, [], disabled, shop.now, shop.now)
    found = await shop.store.outbox.get(shop.tenant, LIVE, "scaisend", endpoint.id)
    assert (found.active, found.health) == (False, disabled)
    shop.later(60_000)
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10) == []
    await shop.send(BOB)
    on = await shop.store.outbox.change(shop.tenant, LIVE, endpoint.id, lambda s: replace(s, active=True), shop.now)
    assert (on.active, on.health) == (True, Health(last_failure_at=failing.last_failure_at))
    assert [t.recipient for t in await taken(shop.store, endpoint, shop.now)] == [ADA]
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10) == [on]


async def test_a_subscription_is_found_by_its_own_only(shop: Shop) -> None:
    """Tenant, mode and dialect say what a caller sees."""
    endpoint = await shop.store.outbox.add(hook(shop, "delivered", secret=b"sealed", public_key="MFk"))
    assert await shop.store.outbox.get(shop.tenant, LIVE, "scaisend", endpoint.id) == endpoint
    strangers: list[tuple[int, int, Dialect]] = [
        (shop.tenant + 1, LIVE, "scaisend"),
        (shop.tenant, TEST, "scaisend"),
        (shop.tenant, LIVE, "sendara"),
    ]
    for tenant, mode, dialect in strangers:
        calls: list[Callable[[], Any]] = [
            lambda: shop.store.outbox.get(tenant, mode, dialect, endpoint.id),  # noqa: B023  (called at once)
            lambda: shop.store.outbox.remove(tenant, mode, dialect, endpoint.id),  # noqa: B023
            lambda: shop.store.outbox.deliveries(tenant, mode, dialect, endpoint.id, limit=1),  # noqa: B023
        ]
        for call in calls:
            with pytest.raises(NotFound):
                await call()


async def test_a_page_of_endpoints(shop: Shop) -> None:
    """Newest first, with their number; the event settings are not among them, and there is one of them."""
    made = [await shop.store.outbox.add(hook(shop, active=i != 1)) for i in range(3)]
    assert await shop.store.outbox.event_settings(shop.tenant, LIVE) is None
    settings = await shop.store.outbox.add(hook(shop, kind="event_settings"))
    assert await shop.store.outbox.event_settings(shop.tenant, LIVE) == settings
    with pytest.raises(Conflict):
        await shop.store.outbox.add(hook(shop, kind="event_settings"))
    page = shop.store.outbox.page
    assert await page(shop.tenant, LIVE, "scaisend", limit=2) == ([made[2], made[1]], 3)
    assert await page(shop.tenant, LIVE, "scaisend", limit=2, offset=2) == ([made[0]], 3)
    assert await page(shop.tenant, LIVE, "scaisend", limit=9, active=False) == ([made[1]], 1)
    assert await page(shop.tenant, LIVE, "sendara", limit=9) == ([], 0)


async def test_a_change_takes_what_a_caller_may_set(shop: Shop) -> None:
    """Nothing else; a new list of types holds for what comes next."""
    endpoint = await shop.store.outbox.add(hook(shop, "processed"))
    await shop.send(ADA)
    shop.later(1000)

    def change(s: Subscription) -> Subscription:
        return replace(s, types=("delivered",), url="https://new.example.com", tenant=99, created_at=1, secret=b"new")

    changed = await shop.store.outbox.change(shop.tenant, LIVE, endpoint.id, change, shop.now)
    assert changed == replace(
        endpoint, types=("delivered",), url="https://new.example.com", secret=b"new", updated_at=shop.now
    )
    assert await shop.store.outbox.get(shop.tenant, LIVE, "scaisend", endpoint.id) == changed
    await shop.send(BOB)
    assert [t.recipient for t in await taken(shop.store, endpoint, shop.now)] == [ADA]
    with pytest.raises(NotFound):
        await shop.store.outbox.change(shop.tenant, TEST, endpoint.id, change, shop.now)


async def test_what_is_removed_takes_its_deliveries_along(shop: Shop) -> None:
    """And nothing is told of afterwards; another endpoint keeps its own."""
    endpoint, other = [await shop.store.outbox.add(hook(shop)) for _ in range(2)]
    await shop.send(ADA)
    await shop.store.outbox.remove(shop.tenant, LIVE, "scaisend", endpoint.id)
    await shop.send(BOB)
    assert await taken(shop.store, endpoint, shop.now) == []
    assert [t.recipient for t in await taken(shop.store, other, shop.now)] == [ADA, BOB]
    assert await shop.store.outbox.count_waiting(100) == 2


async def test_what_is_sealed_survives_a_new_secret_key(shop: Shop) -> None:
    """Every sealed value of every webhook is rewritten, for its own purpose; what is not there stays away."""
    full = await shop.store.outbox.add(hook(shop, secret=b"a", previous_secret=b"b", signing_key=b"c"))
    bare = await shop.store.outbox.add(hook(shop))
    assert await shop.store.domains.reseal(lambda purpose, old: purpose.encode() + old, {"key_check": "check"}) == 3
    found = await shop.store.outbox.get(shop.tenant, LIVE, "scaisend", full.id)
    assert (found.secret, found.previous_secret, found.signing_key) == (b"webhooka", b"webhookb", b"webhookc")
    assert await shop.store.outbox.get(shop.tenant, LIVE, "scaisend", bare.id) == bare


async def test_whoever_had_a_turn_last_goes_last(shop: Shop) -> None:
    """Endpoints that were told least recently go first; those that fail come behind those that do not."""
    owner = owner_of(shop.store)
    old, fresh, failing = [await shop.store.outbox.add(hook(shop)) for _ in range(3)]
    await shop.send(ADA)
    for endpoint, health in (
        (old, Health(last_success_at=shop.now - 2)),
        (failing, Health(failures=1, last_failure_at=shop.now - 9)),
        (fresh, Health(last_success_at=shop.now - 1)),
    ):
        await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10)
        await shop.store.outbox.report(endpoint.id, owner, [], health, shop.now, shop.now)
    never = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    shop.later(LONG)
    leased = await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10)
    assert [each.id for each in leased] == [never.id, old.id, fresh.id, failing.id]


async def test_a_tenant_has_its_share_of_the_turns(shop: Shop) -> None:
    """Whoever makes many endpoints waits behind himself; another tenant's are told beside them."""
    owner = owner_of(shop.store)
    for _ in range(OF_A_TENANT + 4):
        await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    other = await shop.store.accounts.create_tenant("other", shop.now)
    theirs = await shop.store.outbox.add(hook(shop, tenant=other.id))
    now = shop.now
    first = await shop.store.outbox.lease(owner, now, now + LONG, 64)
    assert len(first) == OF_A_TENANT
    assert await shop.store.outbox.lease(owner, now, now + LONG, 64) == []
    messages = [mails.message(now, ADA)]
    await shop.store.messages.accept(mails.acceptance(other.id, messages, now))
    assert await shop.store.outbox.lease(owner, now, now + LONG, 64) == [theirs]
    await shop.store.outbox.report(first[0].id, owner, [], Health(last_success_at=now), now, now)
    (next_one,) = await shop.store.outbox.lease(owner, now, now + LONG, 64)
    assert next_one not in first


async def test_those_that_fail_have_their_share_of_the_turns(shop: Shop) -> None:
    """However many there are, most turns are for those that answer."""
    owner = owner_of(shop.store)
    tenants = [await shop.store.accounts.create_tenant(f"t{n}", shop.now) for n in range(PROBES + 3)]
    for tenant in tenants:
        endpoint = await shop.store.outbox.add(hook(shop, tenant=tenant.id))
        await shop.store.messages.accept(mails.acceptance(tenant.id, [mails.message(shop.now, ADA)], shop.now))
        await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 64)
        health = Health(failures=1, last_failure_at=shop.now)
        await shop.store.outbox.report(endpoint.id, owner, [], health, shop.now, shop.now)
    well = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    shop.later(LONG)
    leased = await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 64)
    assert len(leased) == PROBES + 1
    assert leased[0] == well
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 64) == []


async def test_an_owner_leases_nothing_that_it_is_busy_with(shop: Shop) -> None:
    """Switched off and on, an endpoint is free while its turn still goes on: it stays free until that turn is over."""
    owner = owner_of(shop.store)
    busy, free = [await shop.store.outbox.add(hook(shop)) for _ in range(2)]
    await shop.send(ADA)
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 1, {busy.id}) == [free]
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 1, {busy.id}) == []
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 1) == [busy]


async def test_an_endpoint_that_is_led_elsewhere_begins_anew(shop: Shop) -> None:
    """Whoever mends a wrong URL is told at once, not when the old one's turn had come; other changes leave things as they are."""
    owner = owner_of(shop.store)
    endpoint = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10)
    failing = Health(failures=7, failing_since=shop.now, retry_at=shop.now + DAY_MS, last_failure_at=shop.now)
    await shop.store.outbox.report(endpoint.id, owner, [], failing, shop.now, shop.now)
    place = (shop.tenant, LIVE, endpoint.id)
    same = await shop.store.outbox.change(*place, lambda s: replace(s, types=()), shop.now)
    assert same.health == failing
    moved = await shop.store.outbox.change(*place, lambda s: replace(s, url="https://other.example.com/"), shop.now)
    assert moved.health == Health(last_failure_at=shop.now)
    assert await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10) == [moved]


async def test_a_clock_that_went_back_keeps_nobody_waiting(shop: Shop) -> None:
    """What was to be tried again in an hour is, not in an hour and all that the clock was ahead; and its message keeps its order."""
    owner = owner_of(shop.store)
    endpoint = await shop.store.outbox.add(hook(shop))
    message = await shop.send(ADA, due_in=DAY_MS)
    ahead = shop.now + 30 * DAY_MS
    await shop.store.outbox.lease(owner, ahead, ahead + LONG, 10)
    (told,) = await shop.store.outbox.take(endpoint.id, ahead, 10)
    tried = Tried(delivery=told.delivery, state=DeliveryState.waiting, attempts=1, retry_at=ahead + 3_600_000)
    failing = Health(failures=1, failing_since=ahead, retry_at=ahead + 3_600_000, last_failure_at=ahead)
    await shop.store.outbox.report(endpoint.id, owner, [tried], failing, ahead, ahead)
    assert await shop.store.outbox.lease(owner, ahead, ahead + LONG, 10) == []
    assert await shop.store.outbox.probe(endpoint.id, ahead) == []
    (leased,) = await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10)
    assert leased.health == failing
    assert await shop.store.outbox.probe(endpoint.id, shop.now) == [replace(told, attempt=2)]
    await shop.store.messages.cancel(shop.tenant, LIVE, message, shop.now)
    assert [t.n for t in await taken(shop.store, endpoint, shop.now)] == [0, 1]
