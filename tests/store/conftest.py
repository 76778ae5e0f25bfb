"""The stores under test. The whole folder runs over every backend named here: a second one joins by one entry."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, cast

import pytest

from postclock.core.clock import Clock
from postclock.store.interface import Store
from postclock.store.sqlite.store import open_store
from tests.store.parts import Shop
from tests.support.clock import MovedClock


def _sqlite(folder: Path, clock: Clock) -> Store:
    return cast(Store, open_store(folder, clock))


BACKENDS: Final[dict[str, Callable[[Path, Clock], Store]]] = {"sqlite": _sqlite}
"""Backend to the function that opens its store and begins a life in it; opened again, it is the same store."""


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
    opened = Lives(lambda: BACKENDS[request.param](tmp_path / "data", clock))
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
