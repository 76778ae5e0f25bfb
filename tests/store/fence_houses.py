"""Where the fence stands: one store of either kind with several owners at work in it, each of which may freeze.

On PostgreSQL every owner is a store of its own, as in a process of its own. On SQLite there is one process: the others are lives
written into its file beside its own, with a ledger each.
"""

import asyncio
import copy
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import asyncpg

from postclock.core.clock import Clock
from postclock.store.interface import Ledger, Messages, Store
from postclock.store.postgres import store as postgres
from postclock.store.records import Claimed, Departed, Owner, PendingRecipient
from postclock.store.sqlite.ledger import SqliteLedger
from postclock.store.sqlite.store import SqliteStore, open_store
from postclock.store.sqlite.writer import Kind
from tests.store.conftest import empty

OWNERS: Final = 3


class Flight(NamedTuple):
    """A run that departed and whose result is not recorded yet: DATA may have been sent, or may still be."""

    claimed: Claimed
    departed: Departed

    @property
    def envelope(self) -> tuple[PendingRecipient, ...]:
        """Whom it is sent to."""
        return tuple(r for r in self.claimed.recipients if r.n not in self.departed.dropped)


class Party:
    """One process: its two doors to the store, and what it holds wherever it is frozen."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.claims: list[Claimed] = []
        self.flights: list[Flight] = []
        self.doubts: list[Flight] = []
        """Recorded as uncertain by itself: the answer may still come."""

    @property
    def ledger(self) -> Ledger:
        return self.store.ledger

    @property
    def messages(self) -> Messages:
        return self.store.messages

    @property
    def owner(self) -> int:
        return self.store.ledger.owner.id


class House(Protocol):
    """A store with its owners, for one example."""

    parties: list[Party]
    is_many: bool
    """Whether owners are processes of their own."""

    def run(self, step: Coroutine[Any, Any, Any]) -> Any: ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the tables themselves, beside the store."""
        ...

    def begin_again(self, party: Party) -> None:
        """Another process in the place of a dead one."""
        ...

    def close(self) -> None: ...


Build = Callable[[Clock], House]


class SqliteHouse:
    """One process; every other owner is a life beside its own."""

    is_many = False

    def __init__(self, clock: Clock) -> None:
        self._runner = asyncio.Runner()
        self._folder = Path(tempfile.mkdtemp(prefix="postclock-fence-"))
        self._store = open_store(self._folder, clock)
        self._now = clock.now_ms()
        self._lives = count(1)
        others = [self._beside() for _ in range(1, OWNERS)]
        self.parties = [Party(cast(Store, store)) for store in (self._store, *others)]

    def _beside(self) -> SqliteStore:
        own, n, now = self._store.ledger, next(self._lives), self._now
        owner = Owner(own.owner.id + n, own.owner.epoch, own.owner.node + n)
        sql = "INSERT INTO owners (id, epoch, beat, node, started_at, beat_at) VALUES (?, ?, 0, ?, ?, ?)"
        values = (owner.id, owner.epoch, owner.node, now, now)
        self._store._writer.run_sync(Kind.record, lambda tx: tx.do(sql, values))
        other = copy.copy(self._store)
        other.ledger = SqliteLedger(own._desk, own._writer, owner, [])  # type: ignore[arg-type]
        return other

    def begin_again(self, party: Party) -> None:
        """See House."""
        party.store = cast(Store, self._beside())

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(step)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """See House."""
        return self._store._readers.run_here(lambda run: run(sql))

    def close(self) -> None:
        self._store.close()
        self._runner.close()
        shutil.rmtree(self._folder)


class PostgresHouse:
    """A database with several stores at it, each with connections and a thread of its own."""

    is_many = True

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._dsn = dsn
        self._clock = clock
        self._runner = asyncio.Runner()
        self._observer: asyncpg.Connection = self._runner.run(asyncpg.connect(dsn))
        with ThreadPoolExecutor(OWNERS) as pool:
            stores = [*pool.map(lambda _: postgres.open_store(dsn, clock), range(OWNERS))]
        self.parties = [Party(cast(Store, store)) for store in stores]

    def begin_again(self, party: Party) -> None:
        """See House."""
        party.store.close()
        party.store = cast(Store, postgres.open_store(self._dsn, self._clock))

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(step)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """See House."""
        return [tuple(r) for r in self._runner.run(self._observer.fetch(sql))]

    def close(self) -> None:
        with ThreadPoolExecutor(OWNERS) as pool:
            list(pool.map(lambda party: party.store.close(), self.parties))
        self._runner.run(self._observer.close())
        self._runner.run(empty(self._dsn))
        self._runner.close()
