"""Templates with plain variables in the store: numbered versions, one of them newest, and what a send sees."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from postclock.core.errors import NotFound, Unprocessable
from postclock.core.template import Template, TemplateVersion, Variable
from postclock.store.interface import Store

NOW = 1_800_000_000_000
ONE = "tmpl_1"
VARIABLES = (
    Variable("name", sample="Ada", default="you", required=True),
    Variable("count", default=0),
    Variable("x"),
    Variable("ratio", sample=2.5, default=True),
)


def version(ident: int, template: str = ONE, *, active: bool = True, subject: str = "Hi {{name}}") -> TemplateVersion:
    return TemplateVersion(
        id=ident,
        template=template,
        name="",
        subject=subject,
        html="<p>é</p>",
        plain="é",
        plain_given=True,
        active=active,
        created_at=NOW,
        updated_at=NOW,
        variables=VARIABLES,
        document='{"b":[1.0,null],"a":"é"}',
    )


async def a_template(store: Store, ident: str = ONE, name: str = "welcome") -> int:
    tenant = (await store.accounts.create_tenant(ident, NOW)).id
    await put(store, tenant, ident, name)
    return tenant


async def put(store: Store, tenant: int, ident: str, name: str = "welcome", first: int = 1) -> Template:
    made = Template(
        id=ident, name=name, generation="simple", created_at=NOW, updated_at=NOW, versions=(version(first, ident),)
    )
    return await store.templates.create_template(tenant, made)


def adds(fresh: TemplateVersion) -> Callable[[Template], Template]:
    """A change of the text: the version that was there is active no more."""

    def revise(there: Template) -> Template:
        former = msgspec.structs.replace(there.versions[-1], active=False)
        return msgspec.structs.replace(there, versions=(former, fresh))

    return revise


def switched(active: bool) -> Callable[[Template], Template]:
    """The newest version becomes active, or no longer is."""
    return lambda there: msgspec.structs.replace(
        there, versions=(msgspec.structs.replace(there.versions[-1], active=active),)
    )


async def revision(store: Store, tenant: int) -> int:
    return (await store.ledger.context(tenant)).revision


async def test_a_version_is_read_as_it_was_written(store: Store) -> None:
    """With its variables and the editor's document, and with the number that the store gave it."""
    tenant = await a_template(store)
    read = await store.templates.template(tenant, ONE)
    assert read.versions == (msgspec.structs.replace(version(1), number=1),)
    assert await store.ledger.template_version(tenant, 1) == read.versions[0]
    assert (await store.ledger.context(tenant)).templates == {ONE: read.versions[0]}


async def test_a_changed_text_is_the_next_version_and_the_former_stays(store: Store) -> None:
    """The template comes with its newest; mail on its way still finds the one it was accepted with."""
    tenant = await a_template(store)
    before = await revision(store, tenant)
    changed = await store.templates.revise_template(tenant, ONE, adds(version(2, subject="Hello")), NOW + 5)
    assert [(v.id, v.number, v.active) for v in changed.versions] == [(2, 2, True)]
    assert changed.updated_at == NOW + 5
    assert await revision(store, tenant) > before
    former = await store.ledger.template_version(tenant, 1)
    assert former is not None
    assert (former.number, former.active) == (1, False)
    assert [t.versions for t in await store.templates.templates(tenant)] == [changed.versions]


async def test_changes_at_the_same_time_all_count(store: Store) -> None:
    """Each is made from what the one before left: no number stands twice, and one version is active."""
    tenant = await a_template(store)
    await asyncio.gather(*(store.templates.revise_template(tenant, ONE, adds(version(n)), NOW) for n in range(2, 12)))
    newest = (await store.templates.template(tenant, ONE)).versions[0]
    assert (newest.number, newest.active) == (11, True)
    every = [await store.ledger.template_version(tenant, n) for n in range(1, 12)]
    assert sorted(v.number for v in every if v is not None) == list(range(1, 12))
    assert [v.id for v in every if v is not None and v.active] == [newest.id]


async def test_a_new_name_makes_no_version(store: Store) -> None:
    """Nor does it disturb mail that is prepared; nothing changed is nothing written."""
    tenant = await a_template(store)
    before = await revision(store, tenant)
    named = await store.templates.revise_template(
        tenant, ONE, lambda t: msgspec.structs.replace(t, name="other"), NOW + 5
    )
    assert (named.name, named.updated_at, named.versions[0].number) == ("other", NOW + 5, 1)
    same = await store.templates.revise_template(tenant, ONE, lambda t: t, NOW + 9)
    assert same.updated_at == NOW + 5
    assert await revision(store, tenant) == before


async def test_an_inactive_template_is_sent_no_more_until_it_is_active_again(store: Store) -> None:
    """A send sees that it has no version; the number stays."""
    tenant = await a_template(store)
    off = await store.templates.revise_template(tenant, ONE, switched(False), NOW + 1)
    assert [(v.number, v.active) for v in off.versions] == [(1, False)]
    assert (await store.ledger.context(tenant)).templates == {ONE: None}
    on = await store.templates.revise_template(tenant, ONE, switched(True), NOW + 2)
    assert [(v.number, v.active) for v in on.versions] == [(1, True)]
    assert (await store.ledger.context(tenant)).templates == {ONE: on.versions[0]}


async def test_names_of_simple_templates_are_free(store: Store) -> None:
    """Two may share one, and one may be a dynamic template's; those still differ among themselves."""
    tenant = await a_template(store)
    await put(store, tenant, "tmpl_2", first=2)
    dynamic = Template(id="d-1", name="welcome", generation="dynamic", created_at=NOW, updated_at=NOW)
    await store.templates.create_template(tenant, dynamic)
    await put(store, tenant, "tmpl_3", first=3)
    assert len(await store.templates.templates(tenant, {"simple"})) == 3
    assert [t.id for t in await store.templates.templates(tenant, {"dynamic", "legacy"})] == ["d-1"]


async def test_only_simple_templates_that_are_there_count_against_the_most(store: Store) -> None:
    """Those of /v3 and deleted ones leave room."""
    tenant = await a_template(store)
    dynamic = Template(id="d-1", name="d", generation="dynamic", created_at=NOW, updated_at=NOW)
    await store.templates.create_template(tenant, dynamic)
    more = msgspec.structs.replace(dynamic, id="tmpl_2", generation="simple")
    with pytest.raises(Unprocessable):
        await store.templates.create_template(tenant, more, most=1)
    await store.templates.delete_template(tenant, ONE, NOW)
    await store.templates.create_template(tenant, more, most=1)


async def test_a_deleted_template_leaves_its_versions_to_mail_on_its_way(store: Store) -> None:
    """It is not there any more, nor can it be changed."""
    tenant = await a_template(store)
    await store.templates.delete_template(tenant, ONE, NOW)
    assert (await store.ledger.context(tenant)).templates == {}
    assert await store.ledger.template_version(tenant, 1) is not None
    with pytest.raises(NotFound):
        await store.templates.revise_template(tenant, ONE, lambda t: t, NOW)


async def test_a_template_of_another_tenant_cannot_be_changed(store: Store) -> None:
    """It looks as if it were not there."""
    await a_template(store)
    other = (await store.accounts.create_tenant("other", NOW)).id
    with pytest.raises(NotFound):
        await store.templates.revise_template(other, ONE, lambda t: t, NOW)
