"""The stores under test. The whole folder runs over every backend named here."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, cast

import asyncpg
import pytest

from postclock.core.clock import Clock
from postclock.store.interface import Store
from postclock.store.postgres import claiming
from postclock.store.postgres import store as postgres
from postclock.store.sqlite.store import open_store
from tests.store.parts import Shop
from tests.support.clock import MovedClock
from tests.support.postgres import Cluster

Begin = Callable[[], Store]
"""Opens the store and begins a life in it; opened again, it is the same store."""


@contextmanager
def _sqlite(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Iterator[Begin]:
    yield lambda: cast(Store, open_store(folder, clock))


@contextmanager
def _postgres(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Iterator[Begin]:
    # On a busy machine a look takes longer than this, and the next claim would not look again at once, as it is meant to.
    request.getfixturevalue("monkeypatch").setattr(claiming, "LONG_SECONDS", 3600.0)
    dsn: str = request.getfixturevalue("postgres_database")
    yield lambda: cast(Store, postgres.open_store(dsn, clock))
    asyncio.run(empty(dsn))


async def empty(dsn: str) -> None:
    """A database of its own costs a test half a second, this a few milliseconds."""
    connection = await asyncpg.connect(dsn)
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace "
        "AND relname <> 'meta' ORDER BY relname = 'tenants'"
    )
    await connection.execute(";".join(f"DELETE FROM {name}" for (name,) in tables))
    await connection.execute("DELETE FROM meta WHERE key NOT IN ('version', 'oldest_app')")
    await connection.close()


BACKENDS: Final[dict[str, Callable[[pytest.FixtureRequest, Path, Clock], AbstractContextManager[Begin]]]] = {
    "sqlite": _sqlite,
    "postgres": _postgres,
}


@pytest.fixture(scope="session")
def postgres_database(postgres_cluster: Cluster) -> str:
    """A database with our schema, empty before every test."""
    dsn = postgres_cluster.create_database(f"store_{secrets.token_hex(6)}")
    postgres.migrate_store(dsn)
    return dsn


class Lives:
    """One store, life after life."""

    def __init__(self, begin: Callable[[], Store]) -> None:
        self._begin = begin
        self.store = begin()

    def end(self) -> None:
        """The process is gone; what it held stays as it is."""
        self.store.close()

    def next(self) -> Store:
        """The process is gone, and another has begun its life."""
        self.store.close()
        self.store = self._begin()
        return self.store


@pytest.fixture
def clock() -> MovedClock:
    """A clock that stands still."""
    return MovedClock()


@pytest.fixture(params=sorted(BACKENDS))
def lives(request: pytest.FixtureRequest, tmp_path: Path, clock: MovedClock) -> Iterator[Lives]:
    """An empty store that may be opened again."""
    with BACKENDS[request.param](request, tmp_path / "data", clock) as begin:
        opened = Lives(begin)
        yield opened
        opened.end()


@pytest.fixture
def store(lives: Lives) -> Store:
    """An empty store, closed afterwards."""
    return lives.store


@pytest.fixture
async def shop(lives: Lives, clock: MovedClock) -> Shop:
    """A tenant with a verified domain, and what it does with its mail."""
    return await Shop.open(lives, clock)
