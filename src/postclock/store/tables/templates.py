"""Templates and their versions: the words of a mail, kept apart from those it goes to.

Deleting is soft: a message that waits may still name the version it was accepted with. What a send may see raises the
tenant's revision in the same transaction, so mail prepared from the former state is made again.
"""

from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from postclock.core.errors import Conflict, Invalid, NotFound, Unprocessable
from postclock.core.template import Generation, Template, TemplateVersion
from postclock.store.queries import load
from postclock.store.tables.desk import Desk, Run, Writing
from postclock.store.tables.version_rows import VERSION_COLUMNS, values_of, version_from

SQL: Final = {
    name: sql.replace("{columns}", VERSION_COLUMNS)
    for name, sql in load("postclock.store.tables.sql", "templates").items()
}
ACTIVE_STAYS: Final = "The active version cannot be deleted: activate another one first."


class StoredTemplates:
    """store.registers.Templates."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create_template(self, tenant: int, template: Template, *, most: int | None = None) -> Template:
        """See Templates. It may come with versions; when several are active, the last of them is."""

        def job(tx: Writing) -> Template:
            if tx.one(SQL["id_taken"], (tenant, template.id)) is not None:
                raise Conflict(f"A template with the id {template.id} exists already")
            if most is not None and tx.rows(SQL["count_simple"], (tenant,))[0][0] >= most:
                raise Unprocessable(f"There are {most:,} templates, the most that can be: delete one first.")
            if template.generation != "simple":
                _refuse_name(tx, tenant, template.name, template.id)
            tx.do(
                SQL["insert_template"],
                (tenant, template.id, template.name, template.generation, template.created_at, template.updated_at),
            )
            for version in template.versions:
                _insert_version(tx, tenant, msgspec.structs.replace(version, template=template.id))
            _raise_revision(tx, tenant)
            return _template(tx.rows, tenant, template.id)

        return await self._desk.write(job, 1 + len(template.versions))

    async def templates(self, tenant: int, generations: Collection[Generation] | None = None) -> list[Template]:
        """See Templates."""

        def read(run: Run) -> list[Template]:
            return [
                _template_from(run, tenant, row)
                for row in run(SQL["templates"], (tenant,))
                if generations is None or row[2] in generations
            ]

        return await self._desk.read(read)

    async def template(self, tenant: int, ident: str) -> Template:
        """See Templates."""
        return await self._desk.read(lambda run: _template(run, tenant, ident))

    async def rename_template(self, tenant: int, ident: str, name: str, now: int) -> Template:
        """See Templates."""

        def job(tx: Writing) -> Template:
            _require(tx, tenant, ident)
            _refuse_name(tx, tenant, name, ident)
            tx.do(SQL["rename_template"], (name, tenant, ident))
            _touch(tx, tenant, ident, now)
            return _template(tx.rows, tenant, ident)

        return await self._desk.write(job)

    async def revise_template(
        self, tenant: int, ident: str, revise: Callable[[Template], Template], now: int
    ) -> Template:
        """See Templates."""

        def job(tx: Writing) -> Template:
            there = _template(tx.rows, tenant, ident)
            wanted = revise(there)
            if wanted == there:
                return there
            tx.do(SQL["rename_template"], (wanted.name, tenant, ident))
            known = {v.id: v for v in there.versions}
            for version in wanted.versions:
                was = known.get(version.id)
                if was is None:
                    _insert_version(tx, tenant, version)
                elif was.active is not version.active:
                    tx.do(SQL["deactivate"], (tenant, ident))
                    if version.active:
                        tx.do(SQL["activate"], (tenant, version.id))
            _touch(tx, tenant, ident, now)
            if wanted.versions != there.versions:
                _raise_revision(tx, tenant)
            return _template(tx.rows, tenant, ident)

        return await self._desk.write(job, 3)

    async def delete_template(self, tenant: int, ident: str, now: int) -> None:
        """See Templates."""

        def job(tx: Writing) -> None:
            _require(tx, tenant, ident)
            tx.do(SQL["delete_template"], (now, tenant, ident))
            tx.do(SQL["delete_versions"], (now, tenant, ident))
            _raise_revision(tx, tenant)

        await self._desk.write(job)

    async def add_version(self, tenant: int, version: TemplateVersion) -> TemplateVersion:
        """See Templates."""

        def job(tx: Writing) -> TemplateVersion:
            _require(tx, tenant, version.template)
            _insert_version(tx, tenant, version)
            _touch(tx, tenant, version.template, version.updated_at)
            if version.active:
                _raise_revision(tx, tenant)
            return _version(tx.rows, tenant, version.template, version.id)

        return await self._desk.write(job)

    async def change_version(self, tenant: int, version: TemplateVersion) -> TemplateVersion:
        """See Templates. Whether it is active, and when it was made, stay as they are."""

        def job(tx: Writing) -> TemplateVersion:
            there = _version(tx.rows, tenant, version.template, version.id)
            tx.do(
                SQL["change_version"],
                (
                    version.name,
                    version.subject,
                    version.preheader,
                    version.html,
                    version.plain,
                    int(version.plain_given),
                    version.editor,
                    version.updated_at,
                    tenant,
                    version.id,
                ),
            )
            _touch(tx, tenant, version.template, version.updated_at)
            if there.active:
                _raise_revision(tx, tenant)
            return _version(tx.rows, tenant, version.template, version.id)

        return await self._desk.write(job)

    async def activate_version(
        self, tenant: int, template: str, version: int, now: int, *, active: bool
    ) -> TemplateVersion:
        """See Templates. What is so already changes nothing; with ``active`` False the template has no active version."""

        def job(tx: Writing) -> TemplateVersion:
            there = _version(tx.rows, tenant, template, version)
            if there.active is active:
                return there
            tx.do(SQL["deactivate"], (tenant, template))
            if active:
                tx.do(SQL["activate"], (tenant, version))
            _touch(tx, tenant, template, now)
            _raise_revision(tx, tenant)
            return _version(tx.rows, tenant, template, version)

        return await self._desk.write(job)

    async def delete_version(self, tenant: int, template: str, version: int, now: int) -> None:
        """See Templates."""

        def job(tx: Writing) -> None:
            if _version(tx.rows, tenant, template, version).active:
                raise Invalid(ACTIVE_STAYS)
            tx.do(SQL["delete_version"], (now, tenant, version))
            _touch(tx, tenant, template, now)
            _raise_revision(tx, tenant)

        await self._desk.write(job)


def _insert_version(tx: Writing, tenant: int, version: TemplateVersion) -> None:
    if version.active:
        tx.do(SQL["deactivate"], (tenant, version.template))
    if version.simple:
        version = msgspec.structs.replace(version, number=_next_number(tx, tenant, version.template))
    tx.do(SQL["insert_version"], (tenant, *values_of(version)))


def _next_number(tx: Writing, tenant: int, template: str) -> int:
    found = tx.one(SQL["last_number"], (tenant, template))
    assert found is not None
    return int(found[0]) + 1


def _touch(tx: Writing, tenant: int, ident: str, now: int) -> None:
    tx.do(SQL["touch_template"], (now, tenant, ident, now))


def _raise_revision(tx: Writing, tenant: int) -> None:
    if not tx.do(SQL["raise_revision"], (tenant,)):
        raise NotFound("Tenant not found")


def _refuse_name(tx: Writing, tenant: int, name: str, ident: str) -> None:
    """Raises Conflict when a template other than ``ident`` has the name."""
    if tx.one(SQL["name_taken"], (tenant, name, ident)) is not None:
        raise Conflict(f"A template named {name} exists already")


def _require(tx: Writing, tenant: int, ident: str) -> None:
    if tx.one(SQL["template"], (tenant, ident)) is None:
        raise NotFound("Template not found")


def _template(run: Run, tenant: int, ident: str) -> Template:
    found = run(SQL["template"], (tenant, ident))
    if not found:
        raise NotFound("Template not found")
    return _template_from(run, tenant, found[0])


def _template_from(run: Run, tenant: int, row: tuple[Any, ...]) -> Template:
    ident, name, generation, created_at, updated_at = row
    # Each change of a simple template leaves a version behind that nobody lists: a hundred of them must not be read for the one.
    which = "newest_version" if generation == "simple" else "versions"
    return Template(
        id=ident,
        name=name,
        generation=generation,
        created_at=created_at,
        updated_at=updated_at,
        versions=tuple(version_from(v) for v in run(SQL[which], (tenant, ident))),
    )


def _version(run: Run, tenant: int, template: str, ident: int) -> TemplateVersion:
    found = run(SQL["version"], (tenant, template, ident))
    if not found:
        raise NotFound("Template version not found")
    return version_from(found[0])
