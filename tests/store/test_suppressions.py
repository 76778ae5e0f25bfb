"""Suppressions: lists that a tenant reads, fills and empties."""

import pytest

from postclock.core.suppression import Suppression, SuppressionList
from postclock.store.interface import Store
from postclock.store.records import LIVE, TEST

NOW = 1_800_000_000_000
TENANT = 1


def bounce(address: str, at: int = NOW, reason: str = "550 no such user") -> Suppression:
    return Suppression(
        address=address, list="bounces", created_at=at, reason=reason, bounce_type="hard", status="5.1.1"
    )


async def listed(
    store: Store,
    kind: SuppressionList = "bounces",
    *,
    limit: int = 100,
    offset: int = 0,
    start_at: int | None = None,
    end_at: int | None = None,
    email: str | None = None,
) -> tuple[list[str], int]:
    found, total = await store.suppressions.suppressions(
        TENANT, LIVE, kind, limit=limit, offset=offset, start_at=start_at, end_at=end_at, email=email
    )
    return [e.address for e in found], total


async def fill(store: Store, n: int) -> None:
    for i in range(n):
        await store.suppressions.suppress(TENANT, LIVE, bounce(f"user{i}@example.com", NOW + i))


async def test_an_entry_is_read_as_it_was_written(store: Store) -> None:
    """Under its tenant, mode, list and address, and under no other."""
    entry = bounce("ada@example.com")
    assert await store.suppressions.suppress(TENANT, LIVE, entry) == entry
    assert await store.suppressions.suppression(TENANT, LIVE, "bounces", "ada@example.com") == entry
    assert await store.suppressions.suppression(2, LIVE, "bounces", "ada@example.com") is None
    assert await store.suppressions.suppression(TENANT, TEST, "bounces", "ada@example.com") is None
    assert await store.suppressions.suppression(TENANT, LIVE, "unsubscribes", "ada@example.com") is None
    assert await store.suppressions.suppression(TENANT, LIVE, "bounces", "bob@example.com") is None


async def test_an_entry_that_exists_is_replaced(store: Store) -> None:
    """The list does not grow."""
    await store.suppressions.suppress(TENANT, LIVE, bounce("ada@example.com"))
    newer = Suppression(address="ada@example.com", list="bounces", created_at=NOW + 1, reason="mailbox full")
    await store.suppressions.suppress(TENANT, LIVE, newer)
    assert await store.suppressions.suppression(TENANT, LIVE, "bounces", "ada@example.com") == newer
    assert await listed(store) == (["ada@example.com"], 1)


async def test_a_list_comes_newest_first_in_pages(store: Store) -> None:
    """Every page tells how many there are in all, also one behind the end."""
    await fill(store, 5)
    assert await listed(store, limit=2) == (["user4@example.com", "user3@example.com"], 5)
    assert await listed(store, limit=2, offset=4) == (["user0@example.com"], 5)
    assert await listed(store, limit=2, offset=6) == ([], 5)


async def test_entries_of_one_moment_keep_an_order(store: Store) -> None:
    """Pages neither repeat nor skip any."""
    for i in range(6):
        await store.suppressions.suppress(TENANT, LIVE, bounce(f"user{i}@example.com"))
    pages = [(await listed(store, limit=2, offset=offset))[0] for offset in (0, 2, 4)]
    assert len({address for page in pages for address in page}) == 6


async def test_a_list_holds_its_own_alone(store: Store) -> None:
    """Not another list's, mode's or tenant's."""
    await fill(store, 1)
    await store.suppressions.suppress(TENANT, TEST, bounce("test@example.com"))
    await store.suppressions.suppress(2, LIVE, bounce("other@example.com"))
    await store.suppressions.suppress(
        TENANT, LIVE, Suppression(address="left@example.com", list="unsubscribes", created_at=NOW)
    )
    assert await listed(store) == (["user0@example.com"], 1)
    assert await listed(store, "unsubscribes") == (["left@example.com"], 1)
    assert await listed(store, "spam_reports") == ([], 0)


@pytest.mark.parametrize(
    ("start_at", "end_at", "wanted"),
    [
        (NOW + 1, NOW + 3, [3, 2, 1]),
        (NOW + 3, None, [4, 3]),
        (None, NOW + 1, [1, 0]),
        (NOW + 2, NOW + 2, [2]),
        (NOW + 3, NOW + 2, []),
    ],
)
async def test_both_ends_of_a_time_are_inside(
    store: Store, start_at: int | None, end_at: int | None, wanted: list[int]
) -> None:
    """The total is of that time as well, whatever the page shows."""
    await fill(store, 5)
    addresses = [f"user{i}@example.com" for i in wanted]
    assert await listed(store, start_at=start_at, end_at=end_at) == (addresses, len(wanted))
    assert await listed(store, start_at=start_at, end_at=end_at, limit=1) == (addresses[:1], len(wanted))


async def test_one_address_is_asked_for_in_full(store: Store) -> None:
    """A part of it finds nothing; the time and the page still count."""
    await fill(store, 3)
    assert await listed(store, email="user1@example.com") == (["user1@example.com"], 1)
    assert await listed(store, email="user1") == ([], 0)
    assert await listed(store, email="user1@example.com", start_at=NOW + 2) == ([], 0)
    assert await listed(store, email="user1@example.com", end_at=NOW) == ([], 0)
    assert await listed(store, email="user1@example.com", offset=1) == ([], 1)


async def test_one_entry_is_removed(store: Store) -> None:
    """Once; the others stay."""
    await fill(store, 2)
    assert await store.suppressions.unsuppress(TENANT, LIVE, "bounces", "user0@example.com") == 1
    assert await store.suppressions.unsuppress(TENANT, LIVE, "bounces", "user0@example.com") == 0
    assert await listed(store) == (["user1@example.com"], 1)


async def test_a_whole_list_is_removed_slice_by_slice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing but that list."""
    monkeypatch.setattr("postclock.store.tables.suppressions.REMOVED_AT_ONCE", 2)
    await fill(store, 5)
    other = Suppression(address="left@example.com", list="unsubscribes", created_at=NOW)
    await store.suppressions.suppress(TENANT, LIVE, other)
    await store.suppressions.suppress(TENANT, TEST, bounce("test@example.com"))
    await store.suppressions.suppress(2, LIVE, bounce("other@example.com"))
    assert await store.suppressions.unsuppress(TENANT, LIVE, "bounces", None) == 5
    assert await listed(store) == ([], 0)
    assert await store.suppressions.suppression(TENANT, LIVE, "unsubscribes", "left@example.com") == other
    assert await store.suppressions.suppression(TENANT, TEST, "bounces", "test@example.com") is not None
    assert await store.suppressions.suppression(2, LIVE, "bounces", "other@example.com") is not None
