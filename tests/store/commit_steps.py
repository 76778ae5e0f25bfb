"""Steps of the ledger, each with what it works on, and a picture of all that it leaves: told without ids, so that two runs compare."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from postclock.core.lifecycle import RecipientState, State
from postclock.core.suppression import Suppression
from postclock.store.records import LIVE, Claimed, Departed, IdempotencyKey
from postclock.store.steps.counting import COLUMNS, tenant_scope
from tests.store.parts import ADA, BOB, CYD, SETTLE_MS, UNCERTAIN_MS, Shop

R = RecipientState
KEY: Final = IdempotencyKey(dialect="scaisend", key="order-7", fingerprint=b"\x01" * 33)

TABLES: Final = {
    "tenants": "SELECT name, status FROM tenants WHERE id = $1",
    "messages": "SELECT status, exposed, departed_at, sent_at, delivered_at, settled_at, attempt, reason FROM messages WHERE tenant = $1 ORDER BY id",
    "queue": "SELECT status, lane, owner IS NULL, attempt, exposed, deferrals, ready_at, departed_at FROM queue WHERE tenant = $1 ORDER BY id",
    "recipients": "SELECT r.n, r.state, r.at FROM recipients r JOIN messages m ON m.id = r.message WHERE m.tenant = $1 ORDER BY m.id, r.n",
    "events": "SELECT e.n, e.type, e.at, e.recipient FROM events e JOIN messages m ON m.id = e.message WHERE m.tenant = $1 ORDER BY m.id, e.n",
    "batches": "SELECT cancelled_at, swept FROM batches WHERE tenant = $1 ORDER BY id",
    "usage": "SELECT month, channel, type, n FROM usage WHERE tenant = $1 ORDER BY month, channel, type",
    "keys": "SELECT key FROM idempotency WHERE tenant = $1 ORDER BY key",
    "suppressions": "SELECT list, address FROM suppressions WHERE tenant = $1 ORDER BY list, address",
}
"""All that a step of a tenant's mail may change, without the ids."""
_SUMS: Final = ", ".join(f"sum({c})::bigint" for c in COLUMNS)
COUNTS: Final = {
    "of the tenant": f"SELECT {_SUMS} FROM counts WHERE scope = $1",
    "of its batches": f"SELECT {_SUMS} FROM counts c JOIN batches b ON b.id = c.scope WHERE b.tenant = $1",
}
_OF: Final = ", ".join(
    f"count(*) FILTER (WHERE coalesce(m.status, q.status) = {int(s)})::bigint" for s in (State[c] for c in COLUMNS)
)
ROWS: Final = f"SELECT {_OF} FROM messages m LEFT JOIN queue q ON q.message = m.id WHERE m.tenant = $1"

Picture = dict[str, list[tuple[Any, ...]]]


async def picture(dsn: str, tenant: int) -> Picture:
    """Everything of a tenant as the tables have it; its counts must be those of its rows."""
    session = await asyncpg.connect(dsn)
    try:
        seen = {name: [tuple(r) for r in await session.fetch(sql, tenant)] for name, sql in TABLES.items()}
        (summed,) = await session.fetch(COUNTS["of the tenant"], tenant_scope(tenant, LIVE))
        (counted,) = await session.fetch(ROWS, tenant)
        if not seen["batches"] or seen["batches"][0][0] is None:  # rows of a cancelled batch are settled later
            assert [n or 0 for n in summed] == list(counted)
        seen["counts"] = [tuple(r) for r in await session.fetch(COUNTS["of its batches"], tenant)]
        return seen
    finally:
        await session.close()


# The steps


@dataclass(frozen=True, slots=True)
class Step:
    """``ready`` prepares what ``do`` works on; what ``do`` answers must not depend on ids."""

    name: str
    ready: Callable[[Shop], Awaitable[Any]]
    do: Callable[[Shop, Any], Awaitable[Any]]


async def _nothing(_: Shop) -> None:
    return None


async def _accept(shop: Shop, key: IdempotencyKey | None) -> Any:
    answer = await shop.call((ADA,), (BOB, CYD), key=key)
    return len(answer.ids), len(set(answer.ids)), answer.replayed


async def _into_batch(shop: Shop, batch: int) -> Any:
    return (await shop.call((ADA,), (BOB,), batch=batch)).replayed


async def _message(shop: Shop) -> int:
    return await shop.send(ADA, batch=await shop.batch())


async def cancel(shop: Shop, message: int) -> Any:
    return await shop.store.messages.cancel(shop.tenant, LIVE, message, shop.now)


async def _full_batch(shop: Shop) -> int:
    batch = await shop.batch()
    for address in (ADA, BOB):
        await shop.send(address, batch=batch)
    await shop.send(CYD, batch=batch, due_in=60_000)
    return batch


async def _cancel_batch(shop: Shop, batch: int) -> Any:
    return await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)


async def _uncertain(shop: Shop) -> int:
    message = await _message(shop)
    await shop.run(R.uncertain)
    return message


async def _retry(shop: Shop, message: int) -> Any:
    return await shop.store.messages.retry(shop.tenant, LIVE, message, shop.now)


async def _fail(shop: Shop, message: int) -> Any:
    return await shop.store.messages.fail(shop.tenant, LIVE, message, shop.now, "wrong list")


async def _claim(shop: Shop, _: object) -> Any:
    return [(c.status, c.attempt, [r.address for r in c.recipients]) for c in await shop.claim()]


async def _claimed(shop: Shop) -> list[Claimed]:
    await _full_batch(shop)
    return await shop.claim()


async def _depart(shop: Shop, claims: list[Claimed]) -> Any:
    return await shop.depart(*claims)


async def _flying(shop: Shop) -> tuple[Claimed, Departed]:
    await shop.send(ADA, BOB, batch=await shop.batch())
    return await shop.fly()


def _record(*states: R) -> Callable[[Shop, tuple[Claimed, Departed]], Awaitable[Any]]:
    async def do(shop: Shop, flight: tuple[Claimed, Departed]) -> Any:
        return await shop.record(*flight, *states)

    return do


async def _release(shop: Shop, claims: list[Claimed]) -> Any:
    return await shop.store.ledger.release([(c.id, c.attempt) for c in claims], shop.now)


async def _left_behind(shop: Shop) -> None:
    await _flying(shop)
    await _claimed(shop)
    shop.lives.next()


async def _rescue(shop: Shop, _: None) -> Any:
    return await shop.store.ledger.rescue(shop.now, 100, UNCERTAIN_MS, SETTLE_MS)


async def _create_tenant(shop: Shop, _: None) -> Any:
    return (await shop.store.accounts.create_tenant("another shop", shop.now)).name


async def suppress(shop: Shop, _: None) -> Any:
    entry = Suppression(list="unsubscribes", address=ADA, created_at=shop.now)
    return await shop.store.suppressions.suppress(shop.tenant, LIVE, entry)


STEPS: Final = (
    Step("accept", _nothing, lambda shop, _: _accept(shop, None)),
    Step("accept with a key", _nothing, lambda shop, _: _accept(shop, KEY)),
    Step("accept into a batch", lambda shop: shop.batch(), _into_batch),
    Step("cancel", _message, cancel),
    Step("cancel a batch", _full_batch, _cancel_batch),
    Step("retry", _uncertain, _retry),
    Step("fail", _uncertain, _fail),
    Step("claim", _full_batch, _claim),
    Step("depart", _claimed, _depart),
    Step("record accepted", _flying, _record(R.accepted)),
    Step("record deferred", _flying, _record(R.delivered, R.deferred)),
    Step("record bounced", _flying, _record(R.bounced, R.delivered)),
    Step("record uncertain", _flying, _record(R.uncertain)),
    Step("release", _claimed, _release),
    Step("rescue", _left_behind, _rescue),
    Step("create a tenant", _nothing, _create_tenant),
    Step("suppress", _nothing, suppress),
)
