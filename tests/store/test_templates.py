"""Templates and versions: what a send sees, and when mail that is prepared must be made again."""

import msgspec
import pytest

from postclock.core.errors import Conflict, Invalid, NotFound
from postclock.core.template import Generation, Template, TemplateVersion
from postclock.store.interface import Store

NOW = 1_800_000_000_000


def version(ident: int, template: str = "d-1", *, active: bool = False, at: int = NOW) -> TemplateVersion:
    return TemplateVersion(
        id=ident,
        template=template,
        name=f"v{ident}",
        subject="Hello {{name}}",
        preheader="In short",
        html="<p>Hello {{name}}</p>",
        plain="Hello {{name}}",
        plain_given=True,
        editor="design",
        active=active,
        created_at=at,
        updated_at=at,
    )


def template(
    ident: str = "d-1",
    name: str = "welcome",
    *,
    generation: Generation = "dynamic",
    at: int = NOW,
    versions: tuple[TemplateVersion, ...] = (),
) -> Template:
    return Template(id=ident, name=name, generation=generation, created_at=at, updated_at=at, versions=versions)


async def a_tenant(store: Store, name: str = "one") -> int:
    return (await store.accounts.create_tenant(name, NOW)).id


async def seen(store: Store, tenant: int) -> tuple[int, dict[str, int | None]]:
    """The revision, and the version that a send of each template would use."""
    context = await store.ledger.context(tenant)
    return context.revision, {ident: v.id if v is not None else None for ident, v in context.templates.items()}


async def test_a_template_is_read_as_it_was_made(store: Store) -> None:
    """With its versions, and by its own tenant alone; a send sees it under a new revision."""
    one, two = await a_tenant(store), await a_tenant(store, "two")
    before, _ = await seen(store, one)
    wanted = template(versions=(version(1), version(2, active=True, at=NOW + 1)))
    assert await store.templates.create_template(one, wanted) == wanted
    assert await store.templates.template(one, "d-1") == wanted
    after, active = await seen(store, one)
    assert after > before
    assert active == {"d-1": 2}
    with pytest.raises(NotFound):
        await store.templates.template(two, "d-1")


async def test_of_several_active_versions_the_last_is_active(store: Store) -> None:
    """There is never more than one."""
    one = await a_tenant(store)
    made = await store.templates.create_template(
        one, template(versions=(version(1, active=True), version(2, active=True)))
    )
    assert [(v.id, v.active) for v in made.versions] == [(1, False), (2, True)]


async def test_a_name_is_taken_among_what_is_there(store: Store) -> None:
    """Of one tenant; a deleted template gives its name back."""
    one, two = await a_tenant(store), await a_tenant(store, "two")
    await store.templates.create_template(one, template())
    with pytest.raises(Conflict, match="welcome"):
        await store.templates.create_template(one, template("d-2"))
    assert await store.templates.create_template(two, template("d-2")) == template("d-2")
    await store.templates.delete_template(one, "d-1", NOW)
    assert await store.templates.create_template(one, template("d-2")) == template("d-2")


async def test_an_id_is_taken_for_good(store: Store) -> None:
    """Messages on their way may name a template that was deleted."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template())
    with pytest.raises(Conflict, match="d-1"):
        await store.templates.create_template(one, template(name="other"))
    await store.templates.delete_template(one, "d-1", NOW)
    with pytest.raises(Conflict, match="d-1"):
        await store.templates.create_template(one, template(name="other"))


async def test_templates_come_newest_first(store: Store) -> None:
    """Those of the generations asked for, with versions, and without the deleted."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template("d-1", "a", at=NOW + 2, versions=(version(1),)))
    await store.templates.create_template(one, template("d-2", "b", at=NOW + 3, generation="legacy"))
    await store.templates.create_template(one, template("d-3", "c", at=NOW + 1))
    await store.templates.create_template(one, template("d-4", "d", at=NOW + 4))
    await store.templates.delete_template(one, "d-4", NOW + 5)
    found = await store.templates.templates(one)
    assert [t.id for t in found] == ["d-2", "d-1", "d-3"]
    assert found[1].versions == (version(1),)
    dynamic: frozenset[Generation] = frozenset({"dynamic"})
    assert [t.id for t in await store.templates.templates(one, dynamic)] == ["d-1", "d-3"]
    assert await store.templates.templates(one, frozenset()) == []


async def test_a_template_is_renamed_to_a_free_name(store: Store) -> None:
    """Its own counts as free."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template())
    await store.templates.create_template(one, template("d-2", "goodbye"))
    with pytest.raises(Conflict, match="goodbye"):
        await store.templates.rename_template(one, "d-1", "goodbye", NOW + 1)
    assert await store.templates.template(one, "d-1") == template()
    renamed = await store.templates.rename_template(one, "d-1", "hello", NOW + 2)
    assert (renamed.name, renamed.created_at, renamed.updated_at) == ("hello", NOW, NOW + 2)
    assert (await store.templates.rename_template(one, "d-1", "hello", NOW + 3)).updated_at == NOW + 3


async def test_a_deleted_template_is_gone_but_for_mail_on_its_way(store: Store) -> None:
    """Its versions are read by id, inactive."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template(versions=(version(1, active=True),)))
    before, _ = await seen(store, one)
    await store.templates.delete_template(one, "d-1", NOW + 1)
    after, active = await seen(store, one)
    assert after > before
    assert active == {}
    assert await store.ledger.template_version(one, 1) == version(1)
    for attempt in (
        store.templates.template(one, "d-1"),
        store.templates.rename_template(one, "d-1", "x", NOW),
        store.templates.delete_template(one, "d-1", NOW),
        store.templates.add_version(one, version(2)),
        store.templates.change_version(one, version(1)),
        store.templates.activate_version(one, "d-1", 1, NOW, active=True),
        store.templates.delete_version(one, "d-1", 1, NOW),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_versions_come_oldest_first(store: Store) -> None:
    """By when they were made, whatever their ids; the template has changed with the last."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template())
    for ident, at in ((1, NOW + 5), (2, NOW + 1), (3, NOW + 3)):
        assert await store.templates.add_version(one, version(ident, at=at)) == version(ident, at=at)
    found = await store.templates.template(one, "d-1")
    assert [v.id for v in found.versions] == [2, 3, 1]
    assert (found.active, found.updated_at) == (None, NOW + 5)


async def test_an_active_version_takes_the_place_of_the_one_before(store: Store) -> None:
    """Under a new revision; an inactive one changes nothing for a send."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template(versions=(version(1, active=True),)))
    first, _ = await seen(store, one)
    await store.templates.add_version(one, version(2))
    assert await seen(store, one) == (first, {"d-1": 1})
    await store.templates.add_version(one, version(3, active=True))
    revision, active = await seen(store, one)
    assert revision > first
    assert active == {"d-1": 3}
    found = await store.templates.template(one, "d-1")
    assert [v.id for v in found.versions if v.active] == [3]


async def test_a_changed_version_stays_active_or_not(store: Store) -> None:
    """Its words are replaced, its age is not; a send hears of it when it is the active one."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template(versions=(version(1, active=True), version(2))))
    first, _ = await seen(store, one)
    words = TemplateVersion(id=2, template="d-1", name="new", subject="s", html="h", plain="p", updated_at=NOW + 1)
    changed = await store.templates.change_version(one, msgspec.structs.replace(words, active=True, created_at=5))
    assert changed == msgspec.structs.replace(words, active=False, created_at=NOW)
    assert await seen(store, one) == (first, {"d-1": 1})
    changed = await store.templates.change_version(one, msgspec.structs.replace(words, id=1, updated_at=NOW + 2))
    assert changed == msgspec.structs.replace(words, id=1, active=True, created_at=NOW, updated_at=NOW + 2)
    assert (await seen(store, one))[0] > first
    assert (await store.templates.template(one, "d-1")).updated_at == NOW + 2


async def test_a_version_is_activated_and_deactivated(store: Store) -> None:
    """One at a time, each under a new revision; what is so already changes nothing."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template(versions=(version(1, active=True), version(2))))
    first, _ = await seen(store, one)
    assert (await store.templates.activate_version(one, "d-1", 2, NOW + 1, active=True)).active
    second, active = await seen(store, one)
    assert (second > first, active) == (True, {"d-1": 2})
    await store.templates.activate_version(one, "d-1", 2, NOW + 2, active=True)
    await store.templates.activate_version(one, "d-1", 1, NOW + 2, active=False)
    assert await seen(store, one) == (second, {"d-1": 2})
    assert (await store.templates.template(one, "d-1")).updated_at == NOW + 1
    assert not (await store.templates.activate_version(one, "d-1", 2, NOW + 3, active=False)).active
    third, active = await seen(store, one)
    assert (third > second, active) == (True, {"d-1": None})
    assert (await store.templates.template(one, "d-1")).updated_at == NOW + 3


async def test_the_active_version_cannot_be_deleted(store: Store) -> None:
    """Another can, and mail on its way still reads it by id."""
    one = await a_tenant(store)
    made = await store.templates.create_template(one, template(versions=(version(1, active=True), version(2))))
    with pytest.raises(Invalid, match="activate another one first"):
        await store.templates.delete_version(one, "d-1", 1, NOW + 1)
    assert await store.templates.template(one, "d-1") == made
    await store.templates.delete_version(one, "d-1", 2, NOW + 2)
    left = await store.templates.template(one, "d-1")
    assert ([v.id for v in left.versions], left.updated_at) == ([1], NOW + 2)
    assert await store.ledger.template_version(one, 2) == version(2)
    with pytest.raises(NotFound):
        await store.templates.delete_version(one, "d-1", 2, NOW + 3)
    with pytest.raises(NotFound):
        await store.templates.activate_version(one, "d-1", 2, NOW + 3, active=True)


async def test_a_version_belongs_to_its_template_and_tenant(store: Store) -> None:
    """Under another's it is not found, and nothing is changed."""
    one, two = await a_tenant(store), await a_tenant(store, "two")
    made = await store.templates.create_template(one, template(versions=(version(1),)))
    await store.templates.create_template(one, template("d-2", "other"))
    await store.templates.create_template(two, template())
    for attempt in (
        store.templates.change_version(one, version(1, "d-2")),
        store.templates.activate_version(one, "d-2", 1, NOW, active=True),
        store.templates.delete_version(one, "d-2", 1, NOW),
        store.templates.change_version(two, version(1)),
        store.templates.activate_version(two, "d-1", 1, NOW, active=True),
        store.templates.delete_version(two, "d-1", 1, NOW),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await store.templates.template(one, "d-1") == made


async def test_a_template_needs_its_tenant(store: Store) -> None:
    """For nobody, none is made."""
    with pytest.raises(NotFound):
        await store.templates.create_template(99, template())
    assert await store.templates.templates(99) == []


async def test_an_older_change_does_not_make_a_template_older(store: Store) -> None:
    """The clock may have gone back."""
    one = await a_tenant(store)
    await store.templates.create_template(one, template())
    assert (await store.templates.rename_template(one, "d-1", "hello", NOW - 9)).updated_at == NOW
