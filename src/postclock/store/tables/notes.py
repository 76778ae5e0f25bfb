"""The store's own notes, and the overview: how much waits, for whom and why."""

from typing import Final

from postclock.core.errors import Busy
from postclock.store.queries import load
from postclock.store.tables.desk import Desk, Run, Words, Writing
from postclock.store.views import Overview

SQL: Final = load("postclock.store.tables.sql", "notes")
OVERVIEW_SECONDS: Final = 10.0
"""How long the overview may count: it walks through everything that waits."""


class StoreNotes:
    """The part of store.interface.Store that is neither a door nor a life."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def is_ready(self) -> bool:
        """See Store."""
        try:
            return await self._desk.read(lambda run: note(run, "version") is not None)
        except Busy:
            return False

    async def meta(self, key: str) -> str | None:
        """See Store."""
        return await self._desk.read(lambda run: note(run, key))

    async def set_meta(self, key: str, value: str) -> None:
        """See Store."""

        def job(tx: Writing) -> None:
            tx.do(SQL["set"], (key, value))

        await self._desk.write(job)

    async def meta_once(self, key: str, value: str) -> str:
        """See Store."""

        def job(tx: Writing) -> str:
            there = tx.one(SQL["get"], (key,))
            if there is None:
                tx.do(SQL["set"], (key, value))
            return value if there is None else str(there[0])

        return await self._desk.write(job)

    async def overview(self) -> Overview:
        """See Store."""
        words = self._desk.words
        return await self._desk.read(lambda run: _overview(run, words), seconds=OVERVIEW_SECONDS)


def note(run: Run, key: str) -> str | None:
    """The value of one note; None when there is none."""
    found = run(SQL["get"], (key,))
    return str(found[0][0]) if found else None


def _overview(run: Run, words: Words) -> Overview:
    def by(name: str) -> dict[str, int]:
        return {str(k): int(n) for k, n in run(words.fill(SQL[name]))}

    waiting, parked, uncertain, flying = run(SQL["waiting"])[0]
    return Overview(
        waiting=waiting,
        parked=parked,
        uncertain=uncertain,
        in_flight=flying,
        oldest_due=run(SQL["oldest"])[0][0],
        by_host=by("by_host"),
        by_domain=by("by_domain"),
        by_tenant=by("by_tenant"),
        by_reason=by("by_reason"),
    )
