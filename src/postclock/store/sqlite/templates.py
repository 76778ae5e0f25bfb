"""Templates and their versions in SQLite: the words of a mail, kept apart from those it goes to.

Deleting is soft: a message that waits may still name the version it was accepted with. What a send may see raises the
tenant's revision in the same transaction, so mail prepared from the former state is made again.
"""

from typing import Any, Final

import msgspec

from postclock.core.errors import Conflict, Invalid, NotFound
from postclock.core.template import Generation, Template, TemplateVersion
from postclock.store.queries import load
from postclock.store.sqlite.readers import Readers, Run
from postclock.store.sqlite.transaction import Transaction
from postclock.store.sqlite.version_rows import VERSION_COLUMNS, version_from
from postclock.store.sqlite.writer import Kind, Writer

SQL: Final = {
    name: sql.replace("{columns}", VERSION_COLUMNS)
    for name, sql in load("postclock.store.sqlite.sql", "templates").items()
}
ACTIVE_STAYS: Final = "The active version cannot be deleted: activate another one first."


class SqliteTemplates:
    """store.interface.Templates."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def create_template(self, tenant: int, template: Template) -> Template:
        """See Templates. It may come with versions; when several are active, the last of them is."""

        def job(tx: Transaction) -> Template:
            if tx.one(SQL["id_taken"], (tenant, template.id)) is not None:
                raise Conflict(f"A template with the id {template.id} exists already")
            _refuse_name(tx, tenant, template.name, template.id)
            tx.do(
                SQL["insert_template"],
                (tenant, template.id, template.name, template.generation, template.created_at, template.updated_at),
            )
            for version in template.versions:
                _insert_version(tx, tenant, msgspec.structs.replace(version, template=template.id))
            _raise_revision(tx, tenant)
            return _template(tx.rows, tenant, template.id)

        return await self._writer.run(Kind.accept, job, 1 + len(template.versions))

    async def templates(self, tenant: int, generations: frozenset[Generation] | None = None) -> list[Template]:
        """See Templates."""

        def read(run: Run) -> list[Template]:
            return [
                _template_from(run, tenant, row)
                for row in run(SQL["templates"], (tenant,))
                if generations is None or row[2] in generations
            ]

        return await self._readers.run(read)

    async def template(self, tenant: int, ident: str) -> Template:
        """See Templates."""
        return await self._readers.run(lambda run: _template(run, tenant, ident))

    async def rename_template(self, tenant: int, ident: str, name: str, now: int) -> Template:
        """See Templates."""

        def job(tx: Transaction) -> Template:
            _require(tx, tenant, ident)
            _refuse_name(tx, tenant, name, ident)
            tx.do(SQL["rename_template"], (name, tenant, ident))
            tx.do(SQL["touch_template"], (now, tenant, ident))
            return _template(tx.rows, tenant, ident)

        return await self._writer.run(Kind.accept, job)

    async def delete_template(self, tenant: int, ident: str, now: int) -> None:
        """See Templates."""

        def job(tx: Transaction) -> None:
            _require(tx, tenant, ident)
            tx.do(SQL["delete_template"], (now, tenant, ident))
            tx.do(SQL["delete_versions"], (now, tenant, ident))
            _raise_revision(tx, tenant)

        await self._writer.run(Kind.accept, job)

    async def add_version(self, tenant: int, version: TemplateVersion) -> TemplateVersion:
        """See Templates."""

        def job(tx: Transaction) -> TemplateVersion:
            _require(tx, tenant, version.template)
            _insert_version(tx, tenant, version)
            tx.do(SQL["touch_template"], (version.updated_at, tenant, version.template))
            if version.active:
                _raise_revision(tx, tenant)
            return _version(tx.rows, tenant, version.template, version.id)

        return await self._writer.run(Kind.accept, job)

    async def change_version(self, tenant: int, version: TemplateVersion) -> TemplateVersion:
        """See Templates. Whether it is active, and when it was made, stay as they are."""

        def job(tx: Transaction) -> TemplateVersion:
            there = _version(tx.rows, tenant, version.template, version.id)
            tx.do(SQL["change_version"], _values(tenant, version))
            tx.do(SQL["touch_template"], (version.updated_at, tenant, version.template))
            if there.active:
                _raise_revision(tx, tenant)
            return _version(tx.rows, tenant, version.template, version.id)

        return await self._writer.run(Kind.accept, job)

    async def activate_version(
        self, tenant: int, template: str, version: int, now: int, *, active: bool
    ) -> TemplateVersion:
        """See Templates. What is so already changes nothing; with ``active`` False the template has no active version."""

        def job(tx: Transaction) -> TemplateVersion:
            there = _version(tx.rows, tenant, template, version)
            if there.active is active:
                return there
            tx.do(SQL["deactivate"], (tenant, template))
            if active:
                tx.do(SQL["activate"], (tenant, version))
            tx.do(SQL["touch_template"], (now, tenant, template))
            _raise_revision(tx, tenant)
            return _version(tx.rows, tenant, template, version)

        return await self._writer.run(Kind.accept, job)

    async def delete_version(self, tenant: int, template: str, version: int, now: int) -> None:
        """See Templates."""

        def job(tx: Transaction) -> None:
            if _version(tx.rows, tenant, template, version).active:
                raise Invalid(ACTIVE_STAYS)
            tx.do(SQL["delete_version"], (now, tenant, version))
            tx.do(SQL["touch_template"], (now, tenant, template))
            _raise_revision(tx, tenant)

        await self._writer.run(Kind.accept, job)


def _insert_version(tx: Transaction, tenant: int, version: TemplateVersion) -> None:
    if version.active:
        tx.do(SQL["deactivate"], (tenant, version.template))
    tx.do(SQL["insert_version"], _values(tenant, version))


def _values(tenant: int, version: TemplateVersion) -> dict[str, Any]:
    return {"tenant": tenant, **msgspec.structs.asdict(version)}


def _raise_revision(tx: Transaction, tenant: int) -> None:
    if not tx.do(SQL["raise_revision"], (tenant,)):
        raise NotFound("Tenant not found")


def _refuse_name(tx: Transaction, tenant: int, name: str, ident: str) -> None:
    """Raises Conflict when a template other than ``ident`` has the name."""
    if tx.one(SQL["name_taken"], (tenant, name, ident)) is not None:
        raise Conflict(f"A template named {name} exists already")


def _require(tx: Transaction, tenant: int, ident: str) -> None:
    if tx.one(SQL["template"], (tenant, ident)) is None:
        raise NotFound("Template not found")


def _template(run: Run, tenant: int, ident: str) -> Template:
    found = run(SQL["template"], (tenant, ident))
    if not found:
        raise NotFound("Template not found")
    return _template_from(run, tenant, found[0])


def _template_from(run: Run, tenant: int, row: tuple[Any, ...]) -> Template:
    ident, name, generation, created_at, updated_at = row
    return Template(
        id=ident,
        name=name,
        generation=generation,
        created_at=created_at,
        updated_at=updated_at,
        versions=tuple(version_from(v) for v in run(SQL["versions"], (tenant, ident))),
    )


def _version(run: Run, tenant: int, template: str, ident: int) -> TemplateVersion:
    found = run(SQL["version"], (tenant, template, ident))
    if not found:
        raise NotFound("Template version not found")
    return version_from(found[0])
