"""Endpoints of a shop, and a look at what they are to be told."""

from typing import Any

from postclock.core.account import Dialect
from postclock.store.interface import Store
from postclock.store.outbox import DeliveryState, Health, Subscription, Told, Tried
from postclock.store.records import LIVE
from tests.store.parts import Shop
from tests.support import mails

DAY_MS = 86_400_000
LONG = 60_000


def hook(
    shop: Shop, *types: str, mode: int = LIVE, dialect: Dialect = "scaisend", tenant: int | None = None, **given: Any
) -> Subscription:
    """An endpoint of the shop's."""
    return Subscription(
        id=mails.new_id(),
        tenant=shop.tenant if tenant is None else tenant,
        mode=mode,
        dialect=dialect,
        kind=given.pop("kind", "endpoint"),
        url="https://hooks.example.com/in",
        types=types,
        active=given.pop("active", True),
        created_at=shop.now,
        updated_at=shop.now,
        **given,
    )


async def taken(store: Store, subscription: Subscription, now: int) -> list[Told]:
    return await store.outbox.take(subscription.id, now, 1000)


async def types_of(shop: Shop, subscription: Subscription) -> list[str]:
    return [t.type for t in await taken(shop.store, subscription, shop.now)]


def owner_of(store: Store) -> int:
    return store.ledger.owner.id


async def settle(
    shop: Shop, subscription: Subscription, *told: Told, state: DeliveryState = DeliveryState.delivered
) -> bool:
    found = await shop.store.outbox.report(
        subscription.id,
        shop.store.ledger.owner.id,
        [Tried(delivery=t.delivery, state=state, attempts=t.attempt, response_status=200) for t in told],
        Health(last_success_at=shop.now),
        shop.now,
        shop.now + LONG,
    )
    return found is not None
