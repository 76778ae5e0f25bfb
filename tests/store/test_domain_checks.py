"""What the store keeps of a domain beside its keys: what the DNS said, and the name of a From that has none."""

import pytest

from postclock.core.errors import NotFound
from postclock.store.interface import Store

NOW = 1_800_000_000_000
DOMAIN = "mail.example.com"


async def a_domain(store: Store, *, trusted: bool = True) -> int:
    tenant = (await store.accounts.create_tenant("one", NOW)).id
    await store.domains.add_domain(tenant, DOMAIN, [], NOW, trusted=trusted)
    return tenant


async def test_a_new_domain_was_never_looked_at(store: Store) -> None:
    """It was last changed when it was made, and gives no name."""
    made = await store.domains.domain(await a_domain(store), DOMAIN)
    assert (made.updated_at, made.checked_at, made.spf_at, made.dmarc_at, made.from_name) == (NOW, None, None, None, "")


async def test_a_record_is_known_since_it_was_first_seen(store: Store) -> None:
    """Until it is gone; an answer that did not come changes nothing."""
    tenant = await a_domain(store)
    first = await store.domains.note_checked(tenant, DOMAIN, spf=True, dmarc=False, at=NOW + 1)
    assert (first.spf_at, first.dmarc_at, first.checked_at, first.updated_at) == (NOW + 1, None, NOW + 1, NOW + 1)
    second = await store.domains.note_checked(tenant, DOMAIN, spf=True, dmarc=True, at=NOW + 2)
    assert (second.spf_at, second.dmarc_at, second.checked_at) == (NOW + 1, NOW + 2, NOW + 2)
    third = await store.domains.note_checked(tenant, DOMAIN, spf=False, dmarc=None, at=NOW + 3)
    assert (third.spf_at, third.dmarc_at, third.checked_at) == (None, NOW + 2, NOW + 3)
    assert third == await store.domains.domain(tenant, DOMAIN)


async def test_looking_disturbs_no_mail(store: Store) -> None:
    """Neither SPF nor DMARC is anything that mail is made from."""
    tenant = await a_domain(store)
    before = await store.ledger.context(tenant)
    await store.domains.note_checked(tenant, DOMAIN, spf=True, dmarc=True, at=NOW)
    assert (await store.ledger.context(tenant)).revision == before.revision


async def test_the_name_reaches_the_mail_of_a_verified_domain(store: Store) -> None:
    """Under a new revision; the same name again changes nothing, an empty one takes it away."""
    tenant = await a_domain(store)
    assert (await store.ledger.context(tenant)).from_names == {}
    named = await store.domains.set_from_name(tenant, DOMAIN, "Küche & Co", NOW + 1)
    assert (named.from_name, named.updated_at) == ("Küche & Co", NOW + 1)
    context = await store.ledger.context(tenant)
    assert context.from_names == {DOMAIN: "Küche & Co"}
    again = await store.domains.set_from_name(tenant, DOMAIN, "Küche & Co", NOW + 2)
    assert again.updated_at == NOW + 1
    assert (await store.ledger.context(tenant)).revision == context.revision
    await store.domains.set_from_name(tenant, DOMAIN, "", NOW + 3)
    after = await store.ledger.context(tenant)
    assert after.from_names == {}
    assert after.revision > context.revision


async def test_a_domain_of_another_tenant_is_not_there(store: Store) -> None:
    """Its name can be neither seen nor changed."""
    await a_domain(store)
    other = (await store.accounts.create_tenant("two", NOW)).id
    with pytest.raises(NotFound):
        await store.domains.set_from_name(other, DOMAIN, "Eve", NOW)
    with pytest.raises(NotFound):
        await store.domains.note_checked(other, DOMAIN, spf=True, dmarc=True, at=NOW)
    assert (await store.ledger.context(other)).from_names == {}
