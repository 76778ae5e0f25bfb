"""Charging: once per recipient at hand-off, within the plan and the caps that stand then, exactly, however many depart at once."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from postclock.core.free_recipient import FreeRecipient
from postclock.core.lifecycle import RecipientState, State
from postclock.core.message import MessageType
from postclock.core.plan import Cap, Plan, Spending, Spent, UsageRow
from postclock.core.suppression import Suppression
from postclock.core.when import month_of
from postclock.store.records import Claimed, Departed, Held
from tests.store.parts import ADA, AHEAD_MS, BOB, CYD, Shop
from tests.support import mails

DELIVERED, DEFERRED = RecipientState.delivered, RecipientState.deferred
KEY, OTHER = 77, 78
REFUSED = Held("settled")


async def set_spending(shop: Shop, **parts: Any) -> None:
    """The tenant's plan and caps from now on."""
    await shop.store.accounts.change_settings(
        shop.tenant, lambda s: msgspec.structs.replace(s, spending=Spending(**parts))
    )


async def spent(shop: Shop, at: int | None = None) -> Spent:
    return await shop.store.metering.spent(shop.tenant, month_of(shop.now if at is None else at))


async def add_tester(shop: Shop, address: str, *, verified: bool = True) -> int:
    ident = mails.new_id()
    made = FreeRecipient(
        id=ident, tenant=shop.tenant, email=address, address=address, created_at=shop.now, mailed_at=shop.now
    )
    await shop.store.metering.add_tester(made, 20)
    if verified:
        await shop.store.metering.verify_tester(ident, shop.now)
    return ident


async def go(
    shop: Shop, *claims: Claimed, key: int = 0, kind: MessageType = "transactional", free: bool = False
) -> list[Departed | Held]:
    """Let these go, as sent with a key."""
    revision = (await shop.store.ledger.context(shop.tenant)).revision
    asking = [
        msgspec.structs.replace(mails.departure(c, revision), api_key=key, message_type=kind, free=free) for c in claims
    ]
    return await shop.store.ledger.depart(asking, shop.now)


async def in_order(shop: Shop, *messages: Sequence[str]) -> list[Claimed]:
    """A message to each, claimed, in the order given."""
    idents = [await shop.send(*to) for to in messages]
    claimed = {c.message: c for c in await shop.claim()}
    return [claimed[ident] for ident in idents]


async def test_each_recipient_is_counted_once_at_its_hand_off(shop: Shop) -> None:
    """By message type and key; a later attempt of the same message is not."""
    await shop.send(ADA, BOB)
    (claimed,) = await shop.claim()
    (departed,) = await go(shop, claimed, key=KEY, kind="marketing")
    assert isinstance(departed, Departed)
    await shop.record(claimed, departed, DEFERRED)
    shop.later(60_000)
    await go(shop, *(await shop.claim()), key=KEY, kind="marketing")
    rows = await shop.store.metering.usage(shop.tenant, month_of(shop.now))
    assert rows == [UsageRow(channel="email", type="marketing", n=2, cost_micros=0, free=0)]


async def test_a_plan_is_used_up_exactly(shop: Shop) -> None:
    """What fits is taken, the rest is refused, in the order of the group; a refused one costs nothing."""
    await set_spending(shop, plan=Plan(included=3))
    claims = await in_order(shop, [ADA], [BOB], [CYD], [ADA])
    answers = await go(shop, *claims)
    assert [isinstance(a, Departed) for a in answers] == [True, True, True, False]
    assert await shop.state(claims[3].message) == State.failed
    told = await shop.note(claims[3].message, "failed")
    assert told == {"reason": "plan limit reached: the 3 recipients that the plan includes this month are used up"}
    assert (await spent(shop)).n == 3


async def test_a_message_is_taken_whole_or_not_at_all(shop: Shop) -> None:
    """Two do not fit where one is left; the one behind them does."""
    await set_spending(shop, plan=Plan(included=2))
    claims = await in_order(shop, [ADA], [BOB, CYD], [CYD])
    answers = await go(shop, *claims)
    assert [isinstance(a, Departed) for a in answers] == [True, False, True]
    assert await shop.recipients(claims[1].message) == [RecipientState.given_up] * 2


async def test_what_the_plan_includes_costs_nothing_and_the_rest_its_price(shop: Shop) -> None:
    """A message that crosses the line costs what lies beyond it."""
    await set_spending(shop, plan=Plan(included=2, price_micros=400))
    for to in ([ADA], [BOB, CYD], [ADA]):
        await shop.send(*to)
    await go(shop, *(await shop.claim()), key=KEY)
    assert await spent(shop) == Spent(n=4, cost_micros=800, by_key={KEY: 800})


async def test_a_price_alone_is_paid_by_every_recipient(shop: Shop) -> None:
    """Without a number that is included, nothing is."""
    await set_spending(shop, plan=Plan(price_micros=400))
    await shop.send(ADA, BOB)
    await go(shop, *(await shop.claim()))
    assert (await spent(shop)).cost_micros == 800


async def test_a_hard_cap_is_never_passed(shop: Shop) -> None:
    """Up to the cap it goes, and what the plan includes goes on at no cost."""
    await set_spending(shop, plan=Plan(price_micros=400), caps=Cap(hard_micros=1_000))
    claims = await in_order(shop, [ADA], [BOB], [CYD])
    answers = await go(shop, *claims)
    assert [isinstance(a, Departed) for a in answers] == [True, True, False]
    told = await shop.note(claims[2].message, "failed")
    assert told["reason"] == "plan limit reached: the hard spend cap of 1000 micro-dollars a month would be passed"
    await set_spending(shop, plan=Plan(included=3, price_micros=400), caps=Cap(hard_micros=0))
    shop.later(1_000)
    await shop.send(ADA)
    assert isinstance((await go(shop, *(await shop.claim())))[0], Departed)


async def test_a_keys_cap_stops_that_key_alone(shop: Shop) -> None:
    """Its cost is what its own recipients caused."""
    await set_spending(shop, plan=Plan(price_micros=400), key_caps={KEY: Cap(hard_micros=400)})
    one, two, three = await in_order(shop, [ADA], [BOB], [CYD])
    assert isinstance((await go(shop, one, key=KEY))[0], Departed)
    assert await go(shop, two, key=KEY) == [REFUSED]
    assert "the API key's hard spend cap" in str((await shop.note(two.message, "failed"))["reason"])
    assert isinstance((await go(shop, three, key=OTHER))[0], Departed)
    assert (await spent(shop)).by_key == {KEY: 400, OTHER: 400}


async def test_a_soft_cap_refuses_nothing(shop: Shop) -> None:
    """It is only told of."""
    await set_spending(shop, plan=Plan(price_micros=400), caps=Cap(soft_micros=1), key_caps={KEY: Cap(soft_micros=1)})
    await shop.send(ADA, BOB)
    assert isinstance((await go(shop, *(await shop.claim()), key=KEY))[0], Departed)


async def test_the_limits_in_force_at_hand_off_count(shop: Shop) -> None:
    """A plan that was widened, or taken away, between acceptance and hand-off."""
    await set_spending(shop, plan=Plan(included=0))
    kept = await shop.send(ADA)
    await set_spending(shop)
    lost = await shop.send(BOB, due_in=AHEAD_MS)
    assert isinstance((await go(shop, *(await shop.claim())))[0], Departed)
    await set_spending(shop, plan=Plan(included=1))
    shop.later(AHEAD_MS)
    assert await go(shop, *(await shop.claim())) == [REFUSED]
    assert (await shop.state(kept), await shop.state(lost)) == (State.sending, State.failed)


async def test_usage_falls_into_the_month_of_the_hand_off(shop: Shop) -> None:
    """Scheduled in one month and handed off in the next, it belongs to the next, whose plan is fresh."""
    await set_spending(shop, plan=Plan(included=1))
    moment = datetime.fromtimestamp(shop.now / 1000, UTC)
    turn = datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)
    until_turn = round(turn.timestamp() * 1000) - shop.now
    before = shop.now
    await shop.send(ADA)
    await shop.send(BOB, due_in=until_turn)
    shop.later(until_turn - 1)
    assert isinstance((await go(shop, *(await shop.claim())))[0], Departed)
    shop.later(1)
    assert isinstance((await go(shop, *(await shop.claim())))[0], Departed)
    assert [(await spent(shop, at)).n for at in (before, shop.now)] == [1, 1]
    assert month_of(shop.now) == turn.year * 100 + turn.month


@pytest.mark.parametrize("due_in", [0, AHEAD_MS])
async def test_mail_to_a_verified_test_recipient_is_free(shop: Shop, due_in: int) -> None:
    """Scheduled or not, with a plan that is used up; others on the same message are counted."""
    await set_spending(shop, plan=Plan(included=0))
    await add_tester(shop, ADA)
    await shop.send(ADA, due_in=due_in)
    shop.later(due_in)
    assert isinstance((await go(shop, *(await shop.claim())))[0], Departed)
    await shop.send(ADA, BOB)
    assert await go(shop, *(await shop.claim())) == [REFUSED]
    await set_spending(shop, plan=Plan(included=1))
    await shop.send(ADA, BOB)
    assert isinstance((await go(shop, *(await shop.claim())))[0], Departed)
    (row,) = await shop.store.metering.usage(shop.tenant, month_of(shop.now))
    assert (row.n, row.free) == (1, 2)


async def test_a_test_recipient_counts_until_it_has_agreed_and_once_it_is_deleted(shop: Shop) -> None:
    """Only the verified ones are free, and only for their own tenant."""
    ident = await add_tester(shop, ADA, verified=False)
    for _ in range(2):
        await shop.send(ADA)
        await go(shop, *(await shop.claim()))
        await shop.store.metering.verify_tester(ident, shop.now)
        shop.later(1_000)
    await shop.store.metering.drop_tester(shop.tenant, ident)
    await shop.send(ADA)
    await go(shop, *(await shop.claim()))
    other = await Shop.open(shop.lives, shop.clock, "other", "other.example")
    await add_tester(other, BOB)
    await shop.send(BOB)
    await go(shop, *(await shop.claim()))
    (row,) = await shop.store.metering.usage(shop.tenant, month_of(shop.now))
    assert (row.n, row.free) == (3, 1)


async def test_our_own_mail_costs_a_tenant_nothing(shop: Shop) -> None:
    """Such as the mail that asks for a confirmation."""
    await set_spending(shop, plan=Plan(included=0))
    await shop.send(ADA)
    assert isinstance((await go(shop, *(await shop.claim()), free=True))[0], Departed)
    assert (await spent(shop)).n == 0


async def test_the_suppressed_are_not_counted(shop: Shop) -> None:
    """A plan with room for one takes a message of two, one of whom is dropped."""
    await set_spending(shop, plan=Plan(included=1))
    await shop.store.suppressions.suppress(
        shop.tenant, 0, Suppression(address=BOB, list="unsubscribes", created_at=shop.now)
    )
    await shop.send(ADA, BOB)
    assert isinstance((await go(shop, *(await shop.claim())))[0], Departed)
    assert (await spent(shop)).n == 1


async def test_nothing_is_charged_for_what_did_not_depart(shop: Shop) -> None:
    """Early, gone, or told so a second time under the same claim."""
    await set_spending(shop, plan=Plan(included=5))
    await shop.send(ADA, due_in=AHEAD_MS)
    (claimed,) = await shop.claim(ahead=AHEAD_MS)
    assert await go(shop, claimed) == [Held("early")]
    assert (await spent(shop)).n == 0
    shop.later(AHEAD_MS)
    first, second = await go(shop, claimed, claimed)
    assert isinstance(first, Departed)
    assert second == Held("gone")
    assert (await spent(shop)).n == 1


async def test_a_used_up_plan_keeps_its_answer_from_what_is_gone_or_early(shop: Shop) -> None:
    """The limit is looked at when the time has come, not before."""
    await set_spending(shop, plan=Plan(included=0))
    ident = await shop.send(ADA, due_in=AHEAD_MS)
    (claimed,) = await shop.claim(ahead=AHEAD_MS)
    assert await go(shop, claimed) == [Held("early")]
    await shop.store.messages.cancel(shop.tenant, 0, ident, shop.now)
    shop.later(AHEAD_MS)
    assert await go(shop, claimed) == [Held("gone")]
    assert await shop.state(ident) == State.cancelled


async def test_departs_at_once_share_one_plan(shop: Shop) -> None:
    """Many calls beside each other: never one more than the plan has, and all that it has."""
    await set_spending(shop, plan=Plan(included=17, price_micros=None))
    await shop.call(*([f"to{n}@example.net"] for n in range(40)))
    claims = await shop.claim()
    answers = await asyncio.gather(*(go(shop, c, key=KEY + n % 3) for n, c in enumerate(claims)))
    assert sum(isinstance(a, Departed) for (a,) in answers) == 17
    assert (await spent(shop)).n == 17


async def test_tenants_with_limits_and_without_depart_in_one_group(shop: Shop) -> None:
    """Each by its own plan."""
    other = await Shop.open(shop.lives, shop.clock, "other", "other.example")
    third = await Shop.open(shop.lives, shop.clock, "third", "third.example")
    await set_spending(other, plan=Plan(included=1))
    await set_spending(third, plan=Plan(included=2))
    for each in (shop, other, third):
        for n in range(3):
            await each.send(f"to{n}@example.net")
    claims = await shop.claim()
    revisions = {s.tenant: (await s.store.ledger.context(s.tenant)).revision for s in (shop, other, third)}
    domains = {shop.tenant: mails.DOMAIN, other.tenant: "other.example", third.tenant: "third.example"}
    answers = await shop.store.ledger.depart(
        [mails.departure(c, revisions[c.tenant], domain=domains[c.tenant]) for c in claims], shop.now
    )
    went = {s.tenant: 0 for s in (shop, other, third)}
    for c, answer in zip(claims, answers, strict=True):
        went[c.tenant] += isinstance(answer, Departed)
    assert list(went.values()) == [3, 1, 2]


async def test_usage_is_charged_by_the_departure_itself(shop: Shop) -> None:
    """A process that is gone between departure and record has charged once; the next attempt charges no more."""
    await shop.send(ADA)
    claimed, _ = await shop.fly()
    assert (await spent(shop)).n == 1
    shop.lives.next()
    await shop.store.ledger.rescue(shop.now, 100, 0, 0)
    shop.later(60_000)
    again = await shop.claim()
    assert [c.message for c in again] == [claimed.message]
    await go(shop, *again)
    assert (await spent(shop)).n == 1


async def test_settings_changed_at_once_lose_nothing(shop: Shop) -> None:
    """Each change sees the one before it."""

    async def one(key: int) -> None:
        def change(settings: Any) -> Any:
            caps = settings.spending.key_caps | {key: Cap(hard_micros=key)}
            return msgspec.structs.replace(settings, spending=msgspec.structs.replace(settings.spending, key_caps=caps))

        await shop.store.accounts.change_settings(shop.tenant, change)

    before = (await shop.store.accounts.tenants())[0].revision
    await asyncio.gather(*(one(key) for key in range(1, 11)))
    tenant = (await shop.store.accounts.tenants())[0]
    assert sorted(tenant.settings.spending.key_caps) == list(range(1, 11))
    assert tenant.revision == before + 10
