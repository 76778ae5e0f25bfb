"""All suppression lists as one: by position, each address once; added together, removed together."""

from postclock.core.suppression import LISTS, Suppression
from postclock.store.records import LIVE, TEST
from tests.store.parts import ADA, BOB, CYD, Shop


def entry(address: str, at: int, n: int = 0) -> Suppression:
    return Suppression(address=address, list=LISTS[n], created_at=at)


async def seen(shop: Shop, before: tuple[int, str] | None = None, limit: int = 100, mode: int = LIVE) -> list[str]:
    found = await shop.store.suppressions.suppressed_anywhere(shop.tenant, mode, before, limit)
    return [e.address for e in found]


async def test_newest_first_across_all_lists(shop: Shop) -> None:
    """Two of one moment are told apart by their address; a position is exclusive; the other mode is not there."""
    entries = [entry(ADA, 10), entry(BOB, 10, 1), entry(CYD, 20, 2)]
    await shop.store.suppressions.suppress_all(shop.tenant, LIVE, entries)
    assert await seen(shop) == [CYD, BOB, ADA]
    assert await seen(shop, limit=1) == [CYD]
    assert await seen(shop, (20, CYD)) == [BOB, ADA]
    assert await seen(shop, (10, BOB), 1) == [ADA]
    assert await seen(shop, (10, ADA)) == []
    assert await seen(shop, mode=TEST) == []


async def test_an_address_is_there_once_by_its_newest_entry(shop: Shop) -> None:
    """Below a position its older entries do not come up again."""
    entries = [entry(ADA, 30, 0), entry(ADA, 10, 1), entry(ADA, 30, 2), entry(BOB, 20)]
    await shop.store.suppressions.suppress_all(shop.tenant, LIVE, entries)
    assert await seen(shop) == [ADA, BOB]
    assert await seen(shop, (30, ADA)) == [BOB]
    assert await seen(shop, (20, BOB)) == []


async def test_removed_from_all_lists_at_once(shop: Shop) -> None:
    """How many had it; others and the other mode stay."""
    await shop.store.suppressions.suppress_all(
        shop.tenant, LIVE, [entry(ADA, 1, n) for n in range(3)] + [entry(BOB, 1)]
    )
    await shop.store.suppressions.suppress(shop.tenant, TEST, entry(ADA, 1))
    assert await shop.store.suppressions.unsuppress_anywhere(shop.tenant, LIVE, ADA) == 3
    assert await shop.store.suppressions.unsuppress_anywhere(shop.tenant, LIVE, ADA) == 0
    assert (await seen(shop), await seen(shop, mode=TEST)) == ([BOB], [ADA])


async def test_what_is_there_is_replaced(shop: Shop) -> None:
    """Of several added together as of one."""
    await shop.store.suppressions.suppress_all(shop.tenant, LIVE, [entry(ADA, 1)])
    await shop.store.suppressions.suppress_all(shop.tenant, LIVE, [entry(ADA, 5), entry(BOB, 2)])
    assert await seen(shop) == [ADA, BOB]
