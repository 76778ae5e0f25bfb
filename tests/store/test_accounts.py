"""Tenants and API keys: who asks, and what a change means for mail that waits."""

import pytest

from postclock.core.account import ApiKey, Scope, TenantSettings
from postclock.core.errors import Conflict, NotFound
from postclock.store.interface import Store
from postclock.store.records import LIVE, Acceptance, NewMessage

NOW = 1_800_000_000_000
HASH, OTHER_HASH = b"\x01" * 32, b"\x02" * 32


def key(tenant: int, ident: int = 7, *, created_at: int = NOW, expires_at: int | None = None) -> ApiKey:
    return ApiKey(
        id=ident,
        tenant=tenant,
        prefix="sg_live_abcdefgh",
        name="shop",
        dialect="scaisend",
        environment="live",
        scopes=frozenset({Scope.mail_send, Scope.messages_read}),
        created_at=created_at,
        expires_at=expires_at,
    )


async def accept(store: Store, tenant: int, ident: int, due_at: int) -> None:
    await store.messages.accept(
        Acceptance(
            tenant=tenant,
            mode=LIVE,
            submission=ident,
            week=2976,
            content=b"\x80",
            from_email="shop@example.com",
            subject="Hello",
            template=None,
            categories="",
            batch=None,
            policy=0,
            sandbox=False,
            created_at=NOW,
            messages=[NewMessage(2976, ident, due_at, 0, ("ada@example.com",), b"\x80")],
        )
    )


async def test_a_new_tenant_is_active_with_the_defaults(store: Store) -> None:
    """It is found again by its name, as it was made."""
    made = await store.accounts.create_tenant("shop", NOW)
    assert (made.name, made.suspended, made.settings, made.created_at) == ("shop", False, TenantSettings(), NOW)
    assert await store.accounts.tenant_named("shop") == made


async def test_a_tenants_name_is_taken_once(store: Store) -> None:
    """The second is told so, and nothing is made."""
    await store.accounts.create_tenant("shop", NOW)
    with pytest.raises(Conflict, match="shop"):
        await store.accounts.create_tenant("shop", NOW + 1)
    assert len(await store.accounts.tenants()) == 1


async def test_tenants_come_oldest_first(store: Store) -> None:
    """By when they were made."""
    for name, at in (("b", NOW + 2), ("c", NOW + 1), ("a", NOW)):
        await store.accounts.create_tenant(name, at)
    assert [t.name for t in await store.accounts.tenants()] == ["a", "c", "b"]


async def test_an_unknown_tenant_is_not_found(store: Store) -> None:
    """By name, to change, and to make a key for."""
    with pytest.raises(NotFound):
        await store.accounts.tenant_named("nobody")
    with pytest.raises(NotFound):
        await store.accounts.set_tenant(99, suspended=True, now=NOW)
    with pytest.raises(NotFound):
        await store.accounts.change_settings(99, lambda settings: settings)
    with pytest.raises(NotFound):
        await store.accounts.add_key(key(99), HASH)
    assert await store.accounts.keys() == []


async def test_settings_are_replaced_and_raise_the_revision(store: Store) -> None:
    """Mail prepared with the former ones is made again; the suspension stays."""
    before = await store.accounts.create_tenant("shop", NOW)
    await store.accounts.set_tenant(before.id, suspended=True, now=NOW)
    wanted = TenantSettings(uncertain="hold", default_from="shop@example.com")
    after = await store.accounts.change_settings(before.id, lambda _: wanted)
    assert (after.settings, after.suspended) == (wanted, True)
    context = await store.ledger.context(before.id)
    assert (context.settings, context.suspended) == (wanted, True)
    assert before.revision < after.revision == context.revision


async def test_suspending_keeps_the_settings_and_raises_the_revision(store: Store) -> None:
    """Both ways."""
    tenant = await store.accounts.create_tenant("shop", NOW)
    wanted = TenantSettings(uncertain="hold")
    tenant = await store.accounts.change_settings(tenant.id, lambda _: wanted)
    off = await store.accounts.set_tenant(tenant.id, suspended=True, now=NOW)
    on = await store.accounts.set_tenant(tenant.id, suspended=False, now=NOW)
    assert (off.suspended, off.settings, on.suspended, on.settings) == (True, wanted, False, wanted)
    assert tenant.revision < off.revision < on.revision


def told(heard: list[int]) -> list[int]:
    """What listeners were told of; 0 is no mail, but the word of a store that it listens to others from now on."""
    return [at for at in heard if at]


async def test_mail_parked_for_a_suspension_goes_on_when_it_ends(store: Store) -> None:
    """What is overdue is ready now; another tenant's parked mail and mail parked for another reason stay."""
    shop = await store.accounts.create_tenant("shop", NOW)
    other = await store.accounts.create_tenant("other", NOW)
    heard: list[int] = []
    await accept(store, shop.id, 10, NOW - 5_000)
    assert await store.ledger.park_overdue(NOW, "restored", NOW) == 1
    await accept(store, shop.id, 11, NOW - 5_000)
    await accept(store, shop.id, 12, NOW + 500)
    await accept(store, other.id, 13, NOW)
    for tenant in (shop, other):
        await store.accounts.set_tenant(tenant.id, suspended=True, now=NOW)
    assert await store.ledger.claim([(0, 10)], NOW, NOW + 1_000) == []
    assert {row.id for row in await store.messages.parked(None, None)} == {10, 11, 12, 13}
    store.ledger.on_ready(heard.append)
    await store.accounts.set_tenant(shop.id, suspended=False, now=NOW + 100)
    # The next commit comes after the listeners have heard of this one.
    await store.set_meta("after", "1")
    assert told(heard) == [NOW + 100]
    assert {row.id for row in await store.messages.parked(None, None)} == {10, 13}
    claimed = await store.ledger.claim([(0, 10)], NOW + 100, NOW + 1_000)
    assert {c.id: c.start_at for c in claimed} == {11: NOW + 100, 12: NOW + 500}


async def test_ending_a_suspension_with_nothing_parked_tells_nobody(store: Store) -> None:
    """The scheduler hears of mail alone."""
    shop = await store.accounts.create_tenant("shop", NOW)
    heard: list[int] = []
    store.ledger.on_ready(heard.append)
    await store.accounts.set_tenant(shop.id, suspended=True, now=NOW)
    await store.accounts.set_tenant(shop.id, suspended=False, now=NOW)
    await store.set_meta("after", "1")
    assert told(heard) == []


async def test_a_key_is_found_by_the_hash_of_its_secret(store: Store) -> None:
    """With its tenant; an unknown hash finds nothing."""
    tenant = await store.accounts.create_tenant("shop", NOW)
    wanted = key(tenant.id, expires_at=NOW + 1)
    await store.accounts.add_key(wanted, HASH)
    assert await store.accounts.find_key(HASH) == (wanted, tenant)
    assert await store.accounts.find_key(OTHER_HASH) is None


async def test_keys_come_oldest_first_of_one_tenant_or_all(store: Store) -> None:
    """A tenant's list never shows another's."""
    one = await store.accounts.create_tenant("one", NOW)
    two = await store.accounts.create_tenant("two", NOW)
    for tenant, ident, at in ((one, 1, NOW + 3), (two, 2, NOW + 2), (one, 3, NOW + 1)):
        await store.accounts.add_key(key(tenant.id, ident, created_at=at), bytes([ident]) * 32)
    assert [k.id for k in await store.accounts.keys()] == [3, 2, 1]
    assert [k.id for k in await store.accounts.keys(one.id)] == [3, 1]


async def test_another_tenants_key_is_not_found(store: Store) -> None:
    """Neither read, changed, rotated nor revoked; the operator, with no tenant, may revoke it."""
    one = await store.accounts.create_tenant("one", NOW)
    two = await store.accounts.create_tenant("two", NOW)
    wanted = key(one.id)
    await store.accounts.add_key(wanted, HASH)
    for attempt in (
        store.accounts.key(two.id, wanted.id),
        store.accounts.change_key(two.id, wanted.id, name="mine"),
        store.accounts.replace_secret(two.id, wanted.id, OTHER_HASH, "x"),
        store.accounts.revoke_key(two.id, wanted.id, NOW),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await store.accounts.key(one.id, wanted.id) == wanted
    assert await store.accounts.find_key(OTHER_HASH) is None
    assert (await store.accounts.revoke_key(None, wanted.id, NOW)).revoked_at == NOW


async def test_a_key_changes_its_name_and_its_scopes(store: Store) -> None:
    """What is not named stays."""
    tenant = await store.accounts.create_tenant("shop", NOW)
    await store.accounts.add_key(key(tenant.id), HASH)
    renamed = await store.accounts.change_key(tenant.id, 7, name="till")
    assert (renamed.name, renamed.scopes) == ("till", key(tenant.id).scopes)
    narrowed = await store.accounts.change_key(tenant.id, 7, scopes=[Scope.stats_read])
    assert (narrowed.name, narrowed.scopes) == ("till", frozenset({Scope.stats_read}))
    emptied = await store.accounts.change_key(tenant.id, 7, scopes=[])
    assert emptied.scopes == frozenset()


async def test_a_scope_of_another_release_opens_nothing(store: Store) -> None:
    """It is read past, and the others hold."""
    tenant = await store.accounts.create_tenant("shop", NOW)
    await store.accounts.add_key(key(tenant.id), HASH)
    changed = await store.accounts.change_key(tenant.id, 7, scopes=["mail.teleport", "mail.send"])
    assert changed.scopes == {Scope.mail_send}


async def test_a_rotated_secret_is_dead_at_once(store: Store) -> None:
    """The new one opens the same key."""
    tenant = await store.accounts.create_tenant("shop", NOW)
    await store.accounts.add_key(key(tenant.id), HASH)
    rotated = await store.accounts.replace_secret(tenant.id, 7, OTHER_HASH, "sg_live_zzzzzzzz")
    assert (rotated.id, rotated.prefix) == (7, "sg_live_zzzzzzzz")
    assert await store.accounts.find_key(HASH) is None
    assert await store.accounts.find_key(OTHER_HASH) == (rotated, tenant)


async def test_a_key_is_revoked_once_and_still_found(store: Store) -> None:
    """The first time stands; whoever asks is told of a revoked key, not of none."""
    tenant = await store.accounts.create_tenant("shop", NOW)
    await store.accounts.add_key(key(tenant.id), HASH)
    await store.accounts.revoke_key(tenant.id, 7, NOW + 1)
    again = await store.accounts.revoke_key(tenant.id, 7, NOW + 2)
    assert again.revoked_at == NOW + 1
    assert await store.accounts.find_key(HASH) == (again, tenant)


async def test_the_latest_use_of_a_key_stands(store: Store) -> None:
    """Notes may come out of order, and of keys that are not there; nothing used writes nothing."""
    tenant = await store.accounts.create_tenant("shop", NOW)
    await store.accounts.add_key(key(tenant.id), HASH)
    await store.accounts.used_keys({})
    assert (await store.accounts.key(tenant.id, 7)).last_used_at is None
    await store.accounts.used_keys({7: NOW + 5, 99: NOW})
    await store.accounts.used_keys({7: NOW + 3})
    assert (await store.accounts.key(tenant.id, 7)).last_used_at == NOW + 5
