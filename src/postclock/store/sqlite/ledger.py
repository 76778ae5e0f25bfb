"""The engine's door to the SQLite store."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from postclock.core.account import TenantSettings
from postclock.core.sending_domain import SealedKey
from postclock.core.template import TemplateVersion
from postclock.store.records import Claimed, Departed, Departure, Held, Owner, Rescued, Result, TenantContext
from postclock.store.sqlite import batches, claim, depart, owners, record
from postclock.store.sqlite.readers import Readers, Run
from postclock.store.sqlite.transaction import Transaction
from postclock.store.sqlite.version_rows import VERSION_COLUMNS, version_from
from postclock.store.sqlite.writer import Kind, Writer

_VERSION = f"SELECT {VERSION_COLUMNS} FROM template_versions WHERE id = ? AND tenant = ?"  # noqa: S608
_ACTIVE = f"SELECT {VERSION_COLUMNS} FROM template_versions WHERE tenant = ? AND active = 1 AND deleted_at IS NULL"  # noqa: S608
_settings = msgspec.msgpack.Decoder(TenantSettings).decode


class SqliteLedger:
    """store.interface.Ledger."""

    def __init__(self, writer: Writer, readers: Readers, owner: Owner, listeners: list[Callable[[int], None]]) -> None:
        self._writer = writer
        self._readers = readers
        self.owner = owner
        self._listeners = listeners
        self._turns: dict[int, int] = {}

    def on_ready(self, listener: Callable[[int], None]) -> None:
        """See Ledger."""
        self._listeners.append(listener)

    async def next_ready(self, lanes: Sequence[int]) -> int | None:
        """See Ledger."""
        return await self._readers.run(lambda run: claim.next_ready(run, lanes))

    async def claim(self, limits: Sequence[tuple[int, int]], now: int, horizon: int) -> list[Claimed]:
        """See Ledger."""
        return await self._writer.run(
            Kind.claim, claim.claim(self.owner, limits, now, horizon, self._turns), sum(n for _, n in limits)
        )

    async def submissions(self, idents: Sequence[int]) -> Mapping[int, bytes]:
        """See Ledger."""

        def read(run: Run) -> dict[int, bytes]:
            return {i: row[0] for i in idents for row in run("SELECT content FROM submissions WHERE id = ?", (i,))}

        return await self._readers.run(read)

    async def depart(self, items: Sequence[Departure], now: int) -> list[Departed | Held]:
        """See Ledger."""
        return await self._writer.run(Kind.depart, depart.depart(self.owner, items, now), len(items))

    async def record(self, results: Sequence[Result], now: int) -> list[str]:
        """See Ledger."""
        return await self._writer.run(Kind.record, record.record(self.owner, results, now), len(results))

    async def release(self, items: Sequence[tuple[int, int]], now: int) -> int:
        """See Ledger."""
        return await self._writer.run(Kind.record, owners.release_claims(self.owner, list(items), now), len(items))

    async def beat(self, now: int) -> bool:
        """See Ledger."""
        return await self._writer.run(Kind.record, owners.beat(self.owner, now))

    async def rescue(self, now: int, limit: int, uncertain_wait: int, settle_after: int) -> Rescued:
        """See Ledger."""
        return await self._writer.run(
            Kind.record, owners.rescue(self.owner, now, limit, uncertain_wait, settle_after), limit
        )

    async def confirm(self, now: int, limit: int) -> int:
        """See Ledger."""
        return await self._writer.run(Kind.claim, claim.confirm(now, limit), limit)

    async def sweep(self, now: int, limit: int) -> bool:
        """See Ledger."""
        return await self._writer.run(Kind.bulk, batches.sweep(now, limit), limit)

    async def context(self, tenant: int) -> TenantContext:
        """See Ledger."""
        return await self._readers.run(lambda run: _context(run, tenant))

    async def template_version(self, tenant: int, version: int) -> TemplateVersion | None:
        """See Ledger."""

        def read(run: Run) -> TemplateVersion | None:
            found = run(_VERSION, (version, tenant))
            return version_from(found[0]) if found else None

        return await self._readers.run(read)

    async def blob(self, tenant: int, sha256: str) -> bytes | None:
        """See Ledger."""

        def read(run: Run) -> bytes | None:
            found = run("SELECT content FROM blobs WHERE tenant = ? AND sha256 = ?", (tenant, bytes.fromhex(sha256)))
            return found[0][0] if found else None

        return await self._readers.run(read)

    async def park_overdue(self, before: int, reason: str, now: int) -> int:
        """See Ledger."""

        def job(tx: Transaction) -> int:
            return claim.park_overdue(tx, before, reason, now, 1000)

        done = 0
        while n := await self._writer.run(Kind.bulk, job, 1000):
            done += n
        return done


def _context(run: Run, tenant: int) -> TenantContext:
    (status, revision, settings) = run("SELECT status, revision, settings FROM tenants WHERE id = ?", (tenant,))[0]
    keys: dict[str, tuple[SealedKey, ...]] = {}
    for (domain,) in run("SELECT domain FROM domains WHERE tenant = ? AND verified_at IS NOT NULL", (tenant,)):
        sealed = (
            SealedKey(
                id=r[0], domain=domain, selector=r[1], algorithm=r[2], sealed=r[3], record=r[4], published_at=r[5]
            )
            for r in run(
                "SELECT id, selector, algorithm, sealed, record, published_at FROM dkim_keys "
                "WHERE tenant = ? AND domain = ? AND retired_at IS NULL ORDER BY id",
                (tenant, domain),
            )
        )
        keys[domain] = tuple(key for key in sealed if key.signs)
    templates: dict[str, TemplateVersion | None] = {
        row[0]: None
        for row in run(
            "SELECT id FROM templates WHERE tenant = ? AND deleted_at IS NULL AND generation = 'dynamic'", (tenant,)
        )
    }
    for row in run(_ACTIVE, (tenant,)):
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
