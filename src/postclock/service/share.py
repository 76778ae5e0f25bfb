"""The part of every rate limit that this process holds: limits are ceilings for all API processes together."""

from collections.abc import Sequence

from postclock.store.records import Life


class Share:
    """1 / (live API processes, this one included). It stays as it was last seen while the store cannot be read."""

    def __init__(self, own: int) -> None:
        self._own = own
        self._processes = 1

    def seen(self, lives: Sequence[Life]) -> None:
        """Every life that goes on, as it was just read. May be called from another thread than the share is asked in."""
        self._processes = 1 + sum(life.api and life.owner != self._own for life in lives)

    def __call__(self) -> float:
        """Above 0 and at most 1."""
        return 1 / self._processes
