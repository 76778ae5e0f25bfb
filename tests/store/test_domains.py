"""Sending domains: asked for by many, live for one."""

import msgspec
import pytest

from postclock.core.errors import Conflict, NotFound
from postclock.core.sending_domain import SealedKey
from postclock.store.interface import Store

NOW = 1_800_000_000_000
DOMAIN = "mail.example.com"


def sealed(ident: int, domain: str = DOMAIN, selector: str = "pc1") -> SealedKey:
    return SealedKey(
        id=ident, domain=domain, selector=selector, algorithm="rsa-sha256", sealed=b"\x00\xff", record="v=DKIM1; p=AA"
    )


async def tenants(store: Store) -> tuple[int, int]:
    one = await store.accounts.create_tenant("one", NOW)
    two = await store.accounts.create_tenant("two", NOW)
    return one.id, two.id


async def test_a_new_domain_waits_to_be_verified(store: Store) -> None:
    """It is there with its keys, in the order of their ids, and nothing may be sent from it."""
    one, two = await tenants(store)
    made = await store.domains.add_domain(one, DOMAIN, [sealed(6, selector="pc2"), sealed(5)], NOW, trusted=False)
    assert (made.tenant, made.domain, made.created_at) == (one, DOMAIN, NOW)
    assert (made.verified_at, made.trusted) == (None, False)
    assert made.keys == (sealed(5), sealed(6, selector="pc2"))
    assert await store.domains.domain(one, DOMAIN) == made
    assert not await store.domains.is_verified(one, DOMAIN)
    with pytest.raises(NotFound):
        await store.domains.domain(two, DOMAIN)


async def test_a_trusted_domain_is_live_at_once(store: Store) -> None:
    """The engine sees its keys, under a new revision."""
    one, two = await tenants(store)
    before = await store.ledger.context(one)
    made = await store.domains.add_domain(one, DOMAIN, [sealed(5)], NOW, trusted=True)
    assert (made.verified_at, made.trusted) == (NOW, True)
    assert await store.domains.is_verified(one, DOMAIN)
    assert not await store.domains.is_verified(two, DOMAIN)
    after = await store.ledger.context(one)
    assert after.keys == {DOMAIN: (sealed(5),)}
    assert after.revision > before.revision


async def test_a_domain_added_again_is_returned_as_it_is(store: Store) -> None:
    """Keys that came with the second call are not taken."""
    one, _ = await tenants(store)
    made = await store.domains.add_domain(one, DOMAIN, [sealed(5)], NOW, trusted=False)
    again = await store.domains.add_domain(one, DOMAIN, [sealed(8, selector="pc9")], NOW + 1, trusted=False)
    assert again == made


async def test_trust_reaches_a_domain_that_waits(store: Store) -> None:
    """It is live from then on; the time it was verified at does not move afterwards."""
    one, _ = await tenants(store)
    await store.domains.add_domain(one, DOMAIN, [sealed(5)], NOW, trusted=False)
    before = (await store.ledger.context(one)).revision
    trusted = await store.domains.add_domain(one, DOMAIN, [], NOW + 1, trusted=True)
    assert (trusted.verified_at, trusted.trusted, trusted.keys) == (NOW + 1, True, (sealed(5),))
    assert (await store.ledger.context(one)).revision > before
    assert await store.domains.add_domain(one, DOMAIN, [], NOW + 2, trusted=True) == trusted


async def test_trust_keeps_the_time_of_a_verified_domain(store: Store) -> None:
    """It was proven before, and is taken on trust from now on."""
    one, _ = await tenants(store)
    await store.domains.add_domain(one, DOMAIN, [], NOW, trusted=False)
    await store.domains.set_verified(one, DOMAIN, NOW + 1)
    trusted = await store.domains.add_domain(one, DOMAIN, [], NOW + 2, trusted=True)
    assert (trusted.verified_at, trusted.trusted) == (NOW + 1, True)


async def test_a_domain_is_live_for_one_tenant(store: Store) -> None:
    """Another may ask for it, but neither verifies it nor gets it on trust, until the first gives it up."""
    one, two = await tenants(store)
    await store.domains.add_domain(one, DOMAIN, [], NOW, trusted=True)
    with pytest.raises(Conflict, match="verified for another tenant"):
        await store.domains.add_domain(two, DOMAIN, [], NOW, trusted=True)
    assert await store.domains.domains(two) == []
    await store.domains.add_domain(two, DOMAIN, [], NOW, trusted=False)
    with pytest.raises(Conflict, match="verified for another tenant"):
        await store.domains.set_verified(two, DOMAIN, NOW)
    with pytest.raises(Conflict):
        await store.domains.add_domain(two, DOMAIN, [], NOW, trusted=True)
    assert not await store.domains.is_verified(two, DOMAIN)
    await store.domains.set_verified(one, DOMAIN, None)
    assert (await store.domains.set_verified(two, DOMAIN, NOW + 1)).verified_at == NOW + 1


async def test_verifying_and_unverifying_raise_the_revision(store: Store) -> None:
    """A later proof of what is verified does not: mail prepared before holds."""
    one, _ = await tenants(store)
    await store.domains.add_domain(one, DOMAIN, [sealed(5)], NOW, trusted=False)
    revisions = [(await store.ledger.context(one)).revision]
    for at in (NOW + 1, NOW + 2, None, None):
        changed = await store.domains.set_verified(one, DOMAIN, at)
        assert changed.verified_at == at
        revisions.append((await store.ledger.context(one)).revision)
    first, verified, proven, unverified, again = revisions
    assert first < verified == proven < unverified == again
    assert (await store.ledger.context(one)).keys == {}


async def test_a_domain_that_is_unverified_is_not_trusted_either(store: Store) -> None:
    """Verified again, it is so on its own proof."""
    one, _ = await tenants(store)
    await store.domains.add_domain(one, DOMAIN, [], NOW, trusted=True)
    assert (await store.domains.set_verified(one, DOMAIN, NOW + 1)).trusted
    assert not (await store.domains.set_verified(one, DOMAIN, None)).trusted
    assert not (await store.domains.set_verified(one, DOMAIN, NOW + 2)).trusted


async def test_without_a_tenant_the_live_domain_is_meant_or_the_oldest(store: Store) -> None:
    """The operator names a domain alone."""
    one, two = await tenants(store)
    await store.domains.add_domain(two, DOMAIN, [], NOW, trusted=False)
    await store.domains.add_domain(one, DOMAIN, [], NOW + 1, trusted=False)
    assert (await store.domains.domain(None, DOMAIN)).tenant == two
    await store.domains.set_verified(one, DOMAIN, NOW + 2)
    assert (await store.domains.domain(None, DOMAIN)).tenant == one


async def test_domains_come_by_name(store: Store) -> None:
    """One tenant's, or everybody's; each with its own keys."""
    one, two = await tenants(store)
    await store.domains.add_domain(one, "c.example", [sealed(1, "c.example")], NOW, trusted=True)
    await store.domains.add_domain(two, "b.example", [sealed(2, "b.example")], NOW, trusted=False)
    await store.domains.add_domain(one, "a.example", [sealed(3, "a.example")], NOW, trusted=False)
    found = await store.domains.domains()
    assert [(d.domain, d.tenant, [k.id for k in d.keys]) for d in found] == [
        ("a.example", one, [3]),
        ("b.example", two, [2]),
        ("c.example", one, [1]),
    ]
    assert [d.domain for d in await store.domains.domains(one)] == ["a.example", "c.example"]


async def test_an_unknown_domain_or_tenant_is_not_found(store: Store) -> None:
    """Read, verified, or added to nobody: nothing is left behind."""
    one, _ = await tenants(store)
    for tenant in (one, None):
        with pytest.raises(NotFound):
            await store.domains.domain(tenant, DOMAIN)
    with pytest.raises(NotFound):
        await store.domains.set_verified(one, DOMAIN, NOW)
    with pytest.raises(NotFound):
        await store.domains.add_domain(99, DOMAIN, [sealed(5)], NOW, trusted=True)
    assert await store.domains.domains() == []


async def test_an_ed25519_key_signs_while_it_is_published(store: Store) -> None:
    """The engine gets the keys that sign, under a new revision whenever they change."""
    one, _ = await tenants(store)
    rsa = sealed(5)
    ed25519 = msgspec.structs.replace(sealed(6, selector="pc1-ed25519"), algorithm="ed25519-sha256")
    await store.domains.add_domain(one, DOMAIN, [rsa, ed25519], NOW, trusted=True)
    first = await store.ledger.context(one)
    assert [k.id for k in first.keys[DOMAIN]] == [5]
    noted = await store.domains.note_published(one, DOMAIN, [5, 6], NOW + 1)
    assert [k.published_at for k in noted.keys] == [NOW + 1, NOW + 1]
    second = await store.ledger.context(one)
    assert [k.id for k in second.keys[DOMAIN]] == [5, 6]
    assert second.revision > first.revision
    again = await store.domains.note_published(one, DOMAIN, [5, 6], NOW + 2)
    assert [k.published_at for k in again.keys] == [NOW + 1, NOW + 1]
    assert (await store.ledger.context(one)).revision == second.revision
    await store.domains.note_published(one, DOMAIN, [5], NOW + 3)
    third = await store.ledger.context(one)
    assert [k.id for k in third.keys[DOMAIN]] == [5]
    assert third.revision > second.revision
    with pytest.raises(NotFound):
        await store.domains.note_published(one, "other.example.com", [], NOW)


async def test_everything_sealed_is_rewritten_at_once(store: Store) -> None:
    """Every tenant's, with the check value; when one cannot be opened nothing is changed."""
    one, two = await tenants(store)
    await store.domains.add_domain(one, DOMAIN, [sealed(5)], NOW, trusted=True)
    await store.domains.add_domain(two, DOMAIN, [sealed(6)], NOW, trusted=False)
    assert await store.domains.reseal(lambda _, old: b"new" + old, {"key_check": "check"}) == 2
    for tenant in (one, two):
        found = await store.domains.domain(tenant, DOMAIN)
        assert [k.sealed for k in found.keys] == [b"new\x00\xff"]
    assert await store.meta("key_check") == "check"

    seen: list[bytes] = []

    def fails(_: str, old: bytes) -> bytes:
        seen.append(old)
        if len(seen) >= 2:
            raise ValueError("cannot be opened")
        return b"changed"

    with pytest.raises(ValueError, match="cannot be opened"):
        await store.domains.reseal(fails, {"key_check": "other"})
    assert [k.sealed for k in (await store.domains.domain(one, DOMAIN)).keys] == [b"new\x00\xff"]
    assert await store.meta("key_check") == "check"
