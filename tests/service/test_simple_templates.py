"""Templates with plain variables as a service: versions of one text under many hands, and the question at acceptance."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from postclock.core.account import ALL_SCOPES, ApiKey, Principal
from postclock.core.errors import Invalid, MissingVariable, NotFound, Unprocessable
from postclock.core.ids import IdSource
from postclock.core.template import TemplateVersion, Variable
from postclock.service.simple_templates import SimpleTemplates, SimpleText
from postclock.service.template_variables import check
from postclock.store.sqlite.store import open_store
from tests.support.clock import MovedClock


@dataclass(frozen=True, slots=True)
class Scene:
    """The service over a real store, and who asks."""

    templates: SimpleTemplates
    by: Principal

    async def made(self, **text: Any) -> str:
        return (await self.templates.create(self.by, SimpleText(**({"name": "welcome"} | text)))).id

    async def changed(self, ident: str, **text: Any) -> TemplateVersion:
        return (await self.templates.change(self.by, ident, SimpleText(**text))).versions[-1]


@pytest.fixture
async def s(tmp_path: Path) -> AsyncIterator[Scene]:
    """A tenant with an empty store."""
    clock = MovedClock()
    store = open_store(tmp_path, clock)
    tenant = await store.accounts.create_tenant("one", clock.now_ms())
    key = ApiKey(
        id=1, tenant=tenant.id, prefix="sk_live_", name="", dialect="sendara", environment="live", scopes=ALL_SCOPES,
        created_at=clock.now_ms(),
    )  # fmt: skip
    templates = SimpleTemplates(store.templates, clock, IdSource(clock, 7), lambda: None)
    yield Scene(templates, Principal(key=key, tenant=tenant))
    store.close()


async def test_changes_of_different_fields_at_the_same_time_both_hold(s: Scene) -> None:
    """Each is made from what the other left, not from what it had read before."""
    ident = await s.made(subject="old", html="old", plain="old")
    await asyncio.gather(s.changed(ident, subject="new"), s.changed(ident, html="new"), s.changed(ident, plain="new"))
    newest = (await s.templates.get(s.by, ident)).versions[-1]
    assert (newest.subject, newest.html, newest.plain, newest.number) == ("new", "new", "new", 4)


async def test_a_version_says_when_it_was_made(s: Scene) -> None:
    """Only what is new is new: its id, its number and its time."""
    ident = await s.made(subject="old", document="{}", variables=(Variable("x"),))
    first = (await s.templates.get(s.by, ident)).versions[-1]
    second = await s.changed(ident, subject="new")
    assert second.id != first.id
    assert (second.document, second.variables, second.active) == ("{}", (Variable("x"),), True)


async def test_no_text_is_made_from_the_html(s: Scene) -> None:
    """A template without a plain text makes a mail without one."""
    ident = await s.made(html="<p>x</p>")
    assert (await s.templates.render(s.by, ident, {})).plain == ""


async def test_an_inactive_template_can_still_be_looked_at(s: Scene) -> None:
    """Its newest text is rendered."""
    ident = await s.made(subject="one {{x}}")
    await s.changed(ident, subject="two {{x}}", active=False)
    assert (await s.templates.render(s.by, ident, {"x": 1})).subject == "two 1"


async def test_a_bad_change_changes_nothing(s: Scene) -> None:
    """All or nothing."""
    ident = await s.made(subject="one")
    with pytest.raises(Invalid):
        await s.changed(ident, subject="two", name="")
    assert (await s.templates.get(s.by, ident)).versions[-1].subject == "one"
    with pytest.raises(NotFound):
        await s.changed("d-00000000000000000000000000000001", subject="two")


def test_a_send_is_asked_for_what_its_template_requires() -> None:
    """By name; a template in Handlebars takes whatever there is."""
    variables = (Variable("name", required=True),)
    simple = TemplateVersion(id=1, template="tmpl_1", name="", variables=variables, subject="Hi", plain="Hi")
    with pytest.raises(MissingVariable, match="name"):
        check(simple, {})
    check(simple, {"name": "Ada"})
    check(TemplateVersion(id=1, template="d-1", name="", variables=variables), {})


@pytest.mark.parametrize(
    ("subject", "plain", "missing"), [("", "", "no subject"), (" ", "x", "no subject"), ("x", "", "no body")]
)
def test_a_template_without_a_subject_or_a_body_is_not_sent(subject: str, plain: str, missing: str) -> None:
    """It may be kept and looked at; one body is enough for a mail."""
    simple = TemplateVersion(id=1, template="tmpl_1", name="", subject=subject, plain=plain)
    with pytest.raises(Unprocessable, match=missing):
        check(simple, {})
    check(TemplateVersion(id=1, template="tmpl_1", name="", subject="{{ name }}", html="x"), {})
