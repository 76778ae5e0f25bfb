"""Suppressions: bounces, spam reports and unsubscribes, looked at once more when a mail departs.

A list may grow to millions: listings go by an index, and a whole list is removed in slices.
"""

from collections.abc import Sequence
from typing import Any, Final

from postclock.core.suppression import LISTS, Suppression, SuppressionList
from postclock.store.queries import load
from postclock.store.tables.desk import Desk, Run, Writing

SQL: Final = load("postclock.store.tables.sql", "suppressions")
REMOVED_AT_ONCE: Final = 1000
"""How many entries one group removes when a whole list goes: others' mail is written in between."""
_LATEST: Final = (1 << 63) - 1  # the largest integer that a column keeps


class StoredSuppressions:
    """store.registers.Suppressions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def suppress(self, tenant: int, mode: int, entry: Suppression) -> Suppression:
        """See Suppressions."""
        await self._desk.write(lambda tx: tx.do(SQL["suppress"], _values(tenant, mode, entry)))
        return entry

    async def suppress_all(self, tenant: int, mode: int, entries: Sequence[Suppression]) -> None:
        """See Suppressions."""
        rows = [_values(tenant, mode, entry) for entry in entries]
        await self._desk.write(lambda tx: tx.many(SQL["suppress"], rows), len(rows), bulk=True)

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

    async def suppressed_anywhere(
        self, tenant: int, mode: int, before: tuple[int, str] | None, limit: int
    ) -> list[Suppression]:
        """See Suppressions. Each list by its index; of what they give together the newest are taken."""
        position = (_LATEST, "") if before is None else before

        def read(run: Run) -> list[Suppression]:
            found = [
                _entry_from(row)
                for kind in LISTS
                for row in run(SQL["newest"], (tenant, mode, kind, position[0], *position, limit))
            ]
            return sorted(found, key=lambda e: (e.created_at, e.address), reverse=True)[:limit]

        return await self._desk.read(read)

    async def unsuppress_anywhere(self, tenant: int, mode: int, address: str) -> int:
        """See Suppressions."""
        return await self._desk.write(lambda tx: tx.do(SQL["remove_anywhere"], (tenant, mode, address)))

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


def _values(tenant: int, mode: int, entry: Suppression) -> tuple[Any, ...]:
    return (
        tenant,
        mode,
        entry.address,
        entry.list,
        entry.created_at,
        entry.reason,
        entry.bounce_type,
        entry.status,
    )


def _entry_from(row: tuple[Any, ...]) -> Suppression:
    address, kind, created_at, reason, bounce_type, status = row
    return Suppression(
        address=address, list=kind, created_at=created_at, reason=reason, bounce_type=bounce_type, status=status
    )
