"""Usage as it was charged, and the test recipients whose mail is not: read and kept beside the ledger, which does the counting."""

from collections.abc import Collection
from typing import Any, Final

from postclock.core.errors import Conflict, NotFound, Unprocessable
from postclock.core.free_recipient import FreeRecipient
from postclock.core.plan import Spent, UsageRow
from postclock.store.queries import load
from postclock.store.tables.desk import Desk, Run, Writing

SQL: Final = load("postclock.store.tables.sql", "metering")
CHANNEL: Final = "email"
"""The one that counts towards a plan."""


class StoredMetering:
    """store.metering.Metering."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def usage(self, tenant: int, month: int) -> list[UsageRow]:
        """See Metering."""
        return await self._desk.read(lambda run: _usage(run, tenant, month))

    async def spent(self, tenant: int, month: int) -> Spent:
        """See Metering."""

        def read(run: Run) -> Spent:
            rows = [row for row in _usage(run, tenant, month) if row.channel == CHANNEL]
            return Spent(
                n=sum(row.n for row in rows),
                cost_micros=sum(row.cost_micros for row in rows),
                by_key={key: cost for key, cost in run(SQL["by_keys"], (tenant, month))},  # noqa: C416  (rows, not pairs)
            )

        return await self._desk.read(read)

    async def add_tester(self, tester: FreeRecipient, most: int) -> FreeRecipient:
        """See Metering."""

        def job(tx: Writing) -> FreeRecipient:
            there = _testers(tx.rows, tester.tenant)
            if any(t.address == tester.address for t in there):
                raise Conflict("This address is a test recipient already.")
            if len(there) >= most:
                raise Unprocessable(f"There are {most} test recipients, the most that can be: delete one first.")
            t = tester
            values = (t.id, t.tenant, t.address, t.email, t.created_at, t.mailed_at, t.verified_at)
            tx.do(SQL["insert_tester"], values)
            return tester

        return await self._desk.write(job)

    async def testers(self, tenant: int) -> list[FreeRecipient]:
        """See Metering."""
        return await self._desk.read(lambda run: _testers(run, tenant))

    async def tester(self, tenant: int | None, ident: int) -> FreeRecipient:
        """See Metering."""
        return await self._desk.read(lambda run: _tester(run, tenant, ident))

    async def verified(self, tenant: int, addresses: Collection[str]) -> frozenset[str]:
        """See Metering."""
        wanted = frozenset(addresses)
        there = await self.testers(tenant)
        return frozenset(t.address for t in there if t.verified_at is not None) & wanted

    async def mail_tester(self, tenant: int, ident: int, now: int, last: int) -> FreeRecipient:
        """See Metering."""

        def job(tx: Writing) -> FreeRecipient:
            if _tester(tx.rows, tenant, ident).mailed_at <= last:
                tx.do(SQL["mail_tester"], (now, ident))
            return _tester(tx.rows, tenant, ident)

        return await self._desk.write(job)

    async def verify_tester(self, ident: int, now: int) -> FreeRecipient:
        """See Metering."""

        def job(tx: Writing) -> FreeRecipient:
            _tester(tx.rows, None, ident)
            tx.do(SQL["verify_tester"], (now, ident))
            return _tester(tx.rows, None, ident)

        return await self._desk.write(job)

    async def drop_tester(self, tenant: int, ident: int) -> None:
        """See Metering."""

        def job(tx: Writing) -> None:
            _tester(tx.rows, tenant, ident)
            tx.do(SQL["drop_tester"], (ident,))

        await self._desk.write(job)


def _usage(run: Run, tenant: int, month: int) -> list[UsageRow]:
    return [
        UsageRow(channel=channel, type=kind, n=n, cost_micros=cost, free=free)
        for channel, kind, n, cost, free in run(SQL["usage"], (tenant, month))
    ]


def _testers(run: Run, tenant: int) -> list[FreeRecipient]:
    return [_tester_from(row) for row in run(SQL["testers"], (tenant,))]


def _tester(run: Run, tenant: int | None, ident: int) -> FreeRecipient:
    found = run(SQL["tester"], (ident, tenant, tenant))
    if not found:
        raise NotFound("Test recipient not found")
    return _tester_from(found[0])


def _tester_from(row: tuple[Any, ...]) -> FreeRecipient:
    ident, tenant, email, address, created_at, mailed_at, verified_at = row
    return FreeRecipient(
        id=ident,
        tenant=tenant,
        email=email,
        address=address,
        created_at=created_at,
        mailed_at=mailed_at,
        verified_at=verified_at,
    )
