"""What the engine reads beside its claims: the content of mail, and what a tenant's mail is prepared from."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from postclock.core.account import TenantSettings
from postclock.core.sending_domain import SealedKey
from postclock.core.template import TemplateVersion
from postclock.store.queries import load
from postclock.store.records import TenantContext
from postclock.store.tables.desk import Desk, Run
from postclock.store.tables.version_rows import VERSION_COLUMNS, version_from

SQL: Final = {
    name: sql.replace("{columns}", VERSION_COLUMNS)
    for name, sql in load("postclock.store.tables.sql", "engine").items()
}
_settings = msgspec.msgpack.Decoder(TenantSettings).decode


class LedgerReading:
    """The part of store.interface.Ledger that only reads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def submissions(self, idents: Sequence[int]) -> Mapping[int, bytes]:
        """See Ledger."""

        def read(run: Run) -> dict[int, bytes]:
            return {i: row[0] for i in idents for row in run(SQL["submission"], (i,))}

        return await self._desk.read(read)

    async def context(self, tenant: int) -> TenantContext:
        """See Ledger."""
        return await self._desk.read(lambda run: _context(run, tenant))

    async def template_version(self, tenant: int, version: int) -> TemplateVersion | None:
        """See Ledger."""

        def read(run: Run) -> TemplateVersion | None:
            found = run(SQL["version"], (version, tenant))
            return version_from(found[0]) if found else None

        return await self._desk.read(read)

    async def blob(self, tenant: int, sha256: str) -> bytes | None:
        """See Ledger."""

        def read(run: Run) -> bytes | None:
            found = run(SQL["blob"], (tenant, bytes.fromhex(sha256)))
            return found[0][0] if found else None

        return await self._desk.read(read)


def _context(run: Run, tenant: int) -> TenantContext:
    (status, revision, settings) = run(SQL["tenant"], (tenant,))[0]
    keys: dict[str, tuple[SealedKey, ...]] = {}
    for (domain,) in run(SQL["domains"], (tenant,)):
        sealed = (
            SealedKey(
                id=r[0], domain=domain, selector=r[1], algorithm=r[2], sealed=r[3], record=r[4], published_at=r[5]
            )
            for r in run(SQL["keys"], (tenant, domain))
        )
        keys[domain] = tuple(key for key in sealed if key.signs)
    templates: dict[str, TemplateVersion | None] = {row[0]: None for row in run(SQL["templates"], (tenant,))}
    for row in run(SQL["active"], (tenant,)):
        version = version_from(row)
        if version.template in templates:
            templates[version.template] = version
    return TenantContext(
        tenant=tenant,
        revision=revision,
        suspended=status != 0,
        settings=_settings(settings),
        keys=keys,
        templates=templates,
    )
