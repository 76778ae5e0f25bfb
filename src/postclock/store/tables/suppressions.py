"""Suppressions: bounces, spam reports and unsubscribes, looked at once more when a mail departs.

A list may grow to millions: listings go by an index, and a whole list is removed in slices.
"""

from typing import Any, Final

from postclock.core.suppression import Suppression, SuppressionList
from postclock.store.queries import load
from postclock.store.tables.desk import Desk, Run, Writing

SQL: Final = load("postclock.store.tables.sql", "suppressions")
REMOVED_AT_ONCE: Final = 1000
"""How many entries one group removes when a whole list goes: others' mail is written in between."""
_LATEST: Final = (1 << 63) - 1  # the largest integer that a column keeps


class StoredSuppressions:
    """store.interface.Suppressions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def suppress(self, tenant: int, mode: int, entry: Suppression) -> Suppression:
        """See Suppressions."""
        values = (
            tenant,
            mode,
            entry.address,
            entry.list,
            entry.created_at,
            entry.reason,
            entry.bounce_type,
            entry.status,
        )
        await self._desk.write(lambda tx: tx.do(SQL["suppress"], values))
        return entry

    async def suppressions(
        self,
        tenant: int,
        mode: int,
        kind: SuppressionList,
        *,
        limit: int,
        offset: int,
        start_at: int | None,
        end_at: int | None,
        email: str | None,
    ) -> tuple[list[Suppression], int]:
        """See Suppressions. Both ends of the time are inside; ``email`` is a compared form, in full."""
        earliest = 0 if start_at is None else start_at
        latest = _LATEST if end_at is None else end_at

        def one(run: Run, address: str) -> tuple[list[Suppression], int]:
            rows = run(SQL["one"], (tenant, mode, kind, address))
            found = [e for e in map(_entry_from, rows) if earliest <= e.created_at <= latest]
            return found[offset : offset + limit], len(found)

        def read(run: Run) -> tuple[list[Suppression], int]:
            if email is not None:
                return one(run, email)
            which = (tenant, mode, kind, earliest, latest)
            page = [_entry_from(row) for row in run(SQL["page"], (*which, limit, offset))]
            return page, run(SQL["total"], which)[0][0]

        return await self._desk.read(read)

    async def suppression(self, tenant: int, mode: int, kind: SuppressionList, address: str) -> Suppression | None:
        """See Suppressions."""

        def read(run: Run) -> Suppression | None:
            found = run(SQL["one"], (tenant, mode, kind, address))
            return _entry_from(found[0]) if found else None

        return await self._desk.read(read)

    async def unsuppress(self, tenant: int, mode: int, kind: SuppressionList, address: str | None) -> int:
        """See Suppressions. A whole list goes in slices, oldest first; when it fails midway, what went is gone."""
        if address is not None:
            return await self._desk.write(lambda tx: tx.do(SQL["remove"], (tenant, mode, kind, address)))

        def job(tx: Writing) -> int:
            return tx.do(SQL["remove_some"], (tenant, mode, kind, REMOVED_AT_ONCE))

        removed = 0
        while n := await self._desk.write(job, REMOVED_AT_ONCE, bulk=True):
            removed += n
        return removed


def _entry_from(row: tuple[Any, ...]) -> Suppression:
    address, kind, created_at, reason, bounce_type, status = row
    return Suppression(
        address=address, list=kind, created_at=created_at, reason=reason, bounce_type=bounce_type, status=status
    )
