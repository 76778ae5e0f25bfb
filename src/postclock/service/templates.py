"""Templates as a tenant of /v3 manages them: containers and their versions, of which sends use the active one.

Versions of dynamic templates are compiled when they are written; legacy ones are kept and listed, never compiled and never sent. Those with
plain variables are not there (see simple_templates.py).
"""

import asyncio
import re
from typing import Final

import msgspec

from postclock.core.account import Principal
from postclock.core.clock import Clock
from postclock.core.errors import Conflict, FieldError, Invalid, NotFound
from postclock.core.ids import IdSource, parse_id, public_id
from postclock.core.template import SIMPLE, Editor, Generation, Template, TemplateVersion, VersionedGeneration
from postclock.runtime.entropy import Entropy
from postclock.service.template_text import MAX_NAME, finished
from postclock.store import registers

VERSION: Final = "v_"
GENERATIONS: Final[frozenset[VersionedGeneration]] = frozenset({"dynamic", "legacy"})
MAX_VERSIONS: Final = 300  # of one template: SendGrid's limit
_CHOSEN_ID: Final = re.compile(r"d-[A-Za-z0-9_-]{1,62}")
_NO_TEMPLATE: Final = "Template not found"
_NO_VERSION: Final = "Template version not found"
_COPY: Final = "Copy of "


class VersionText(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of a version; None leaves a field as it is (in a new one: empty). An empty plain text is made from the HTML."""

    name: str | None = None
    subject: str | None = None
    preheader: str | None = None
    html: str | None = None
    plain: str | None = None
    editor: Editor | None = None
    active: bool | None = None


class Templates:
    """One tenant's templates, dynamic and legacy; both modes share them."""

    def __init__(self, store: registers.Templates, clock: Clock, ids: IdSource, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._entropy = entropy

    async def all(self, by: Principal, generations: frozenset[VersionedGeneration] | None = None) -> list[Template]:
        """All of them, or those of some generations, newest first, with versions."""
        return await self._store.templates(by.tenant.id, GENERATIONS if generations is None else generations)

    async def get(self, by: Principal, ident: str) -> Template:
        """Raises NotFound."""
        return await self._store.template(by.tenant.id, _here(ident))

    async def create(
        self, by: Principal, *, name: str, generation: VersionedGeneration = "dynamic", ident: str | None = None
    ) -> Template:
        """An empty template. ``ident`` is chosen by the caller or made. Raises Invalid (also for a taken name or id)."""
        errors = _name_errors(name)
        if ident is not None and not _CHOSEN_ID.fullmatch(ident):
            errors.append(FieldError('Must be "d-" and 1 to 62 letters, digits, hyphens or underscores.', "id"))
        if errors:
            raise Invalid(errors)
        return await self._create(by, self._template(name, generation, ident or self._new_id()))

    async def duplicate(self, by: Principal, ident: str, name: str | None = None) -> Template:
        """A copy with all versions, the active one active. Raises NotFound, Invalid (name)."""
        original = await self._store.template(by.tenant.id, _here(ident))
        if name is None:
            name = (_COPY + original.name)[:MAX_NAME]
        errors = _name_errors(name)
        if errors:
            raise Invalid(errors)
        copy = self._template(name, original.generation, self._new_id())
        versions = tuple(self._copied(v, template=copy.id, active=v.active) for v in original.versions)
        return await self._create(by, msgspec.structs.replace(copy, versions=versions))

    async def rename(self, by: Principal, ident: str, name: str) -> Template:
        """Raises NotFound, Invalid (also for a taken name)."""
        errors = _name_errors(name)
        if errors:
            raise Invalid(errors)
        try:
            return await self._store.rename_template(by.tenant.id, _here(ident), name, self._clock.now_ms())
        except Conflict as error:
            raise Invalid(str(error), "name") from None

    async def delete(self, by: Principal, ident: str) -> None:
        """Mail accepted before still goes out with the version it has; new sends are refused. Raises NotFound."""
        await self._store.delete_template(by.tenant.id, _here(ident), self._clock.now_ms())

    async def version(self, by: Principal, template: str, ident: str) -> TemplateVersion:
        """Raises NotFound."""
        return _find(await self._store.template(by.tenant.id, _here(template)), ident)

    async def add_version(self, by: Principal, template: str, text: VersionText) -> TemplateVersion:
        """A new version; an active one takes the place of the one before. Raises NotFound, Invalid."""
        container = await self._store.template(by.tenant.id, _here(template))
        self._room(container)
        now = self._clock.now_ms()
        blank = TemplateVersion(
            id=self._ids.next(),
            template=container.id,
            name="",
            active=bool(text.active),
            created_at=now,
            updated_at=now,
        )
        version = await asyncio.to_thread(finished, _with(blank, text), container.generation)
        return await self._store.add_version(by.tenant.id, version)

    async def change_version(self, by: Principal, template: str, ident: str, text: VersionText) -> TemplateVersion:
        """Change what is given, of the text and of whether it is active. Raises NotFound, Invalid."""
        container = await self._store.template(by.tenant.id, _here(template))
        version = _with(_find(container, ident), text)
        version = await asyncio.to_thread(finished, version, container.generation)
        now = self._clock.now_ms()
        changed = await self._store.change_version(by.tenant.id, msgspec.structs.replace(version, updated_at=now))
        if text.active is None or text.active is changed.active:
            return changed
        return await self._store.activate_version(by.tenant.id, container.id, changed.id, now, active=text.active)

    async def set_active(self, by: Principal, template: str, ident: str, *, active: bool) -> TemplateVersion:
        """Make a version the active one, or no longer. Raises NotFound."""
        return await self._store.activate_version(
            by.tenant.id, _here(template), _version_id(ident), self._clock.now_ms(), active=active
        )

    async def duplicate_version(
        self, by: Principal, template: str, ident: str, name: str | None = None
    ) -> TemplateVersion:
        """An inactive copy within the template. Raises NotFound, Invalid."""
        container = await self._store.template(by.tenant.id, _here(template))
        original = _find(container, ident)
        self._room(container)
        if name is None:
            name = (_COPY + original.name)[:MAX_NAME]
        errors = _name_errors(name)
        if errors:
            raise Invalid(errors)
        copy = self._copied(original, template=container.id, active=False)
        return await self._store.add_version(by.tenant.id, msgspec.structs.replace(copy, name=name))

    async def delete_version(self, by: Principal, template: str, ident: str) -> None:
        """Raises NotFound, Invalid (the active one)."""
        await self._store.delete_version(by.tenant.id, _here(template), _version_id(ident), self._clock.now_ms())

    async def _create(self, by: Principal, template: Template) -> Template:
        try:
            return await self._store.create_template(by.tenant.id, template)
        except Conflict as error:
            raise Invalid(str(error), "id" if template.id in str(error) else "name") from None

    def _template(self, name: str, generation: Generation, ident: str) -> Template:
        now = self._clock.now_ms()
        return Template(id=ident, name=name, generation=generation, created_at=now, updated_at=now)

    def _new_id(self) -> str:
        return "d-" + self._entropy.secret_hex(16)

    def _copied(self, version: TemplateVersion, *, template: str, active: bool) -> TemplateVersion:
        now = self._clock.now_ms()
        return msgspec.structs.replace(
            version, id=self._ids.next(), template=template, active=active, created_at=now, updated_at=now
        )

    def _room(self, template: Template) -> None:
        if len(template.versions) >= MAX_VERSIONS:
            raise Invalid(f"A template has at most {MAX_VERSIONS} versions: delete some first.")


def public_version_id(version: TemplateVersion) -> str:
    """A version's id as callers know it."""
    return public_id(VERSION, version.id)


def _here(template: str) -> str:
    """The id of a template as /v3 has them; raises NotFound for one with plain variables."""
    if template.startswith(SIMPLE):
        raise NotFound(_NO_TEMPLATE)
    return template


def _version_id(ident: str) -> int:
    try:
        return parse_id(VERSION, ident)
    except NotFound:
        raise NotFound(_NO_VERSION) from None


def _find(template: Template, ident: str) -> TemplateVersion:
    wanted = _version_id(ident)
    for version in template.versions:
        if version.id == wanted:
            return version
    raise NotFound(_NO_VERSION)


def _with(version: TemplateVersion, text: VersionText) -> TemplateVersion:
    given = {
        field: value
        for field in ("name", "subject", "preheader", "html", "plain", "editor")
        if (value := getattr(text, field)) is not None
    }
    if text.plain is not None:
        given["plain_given"] = bool(text.plain)
    return msgspec.structs.replace(version, **given)


def _name_errors(name: str) -> list[FieldError]:
    if not 1 <= len(name.strip()) <= len(name) <= MAX_NAME:
        return [FieldError(f"Must have 1 to {MAX_NAME} characters.", "name")]
    return []
