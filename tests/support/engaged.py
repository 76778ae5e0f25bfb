"""A store that only takes opens and clicks, and says no when a test wants it to."""

from collections.abc import Callable, Sequence
from typing import cast

from postclock.core.clock import Clock
from postclock.mail.tracking import Tokens
from postclock.runtime.metrics import Metrics
from postclock.service.tracking import Engagements
from postclock.store.interface import Messages
from postclock.store.records import Engagement

TOKENS = Tokens(bytes(range(32)))


class Engaged:
    """store.interface.Messages, as far as tracking needs it. ``trouble`` is raised, one a call; ``meanwhile`` happens while it writes, one a call."""

    def __init__(self) -> None:
        self.groups: list[list[Engagement]] = []
        self.trouble: list[Exception] = []
        self.meanwhile: list[Callable[[], None]] = []

    @property
    def all(self) -> list[Engagement]:
        """What was taken, in order."""
        return [item for group in self.groups for item in group]

    async def engage(self, items: Sequence[Engagement], now: int) -> int:
        """Take a group."""
        if self.trouble:
            raise self.trouble.pop(0)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        self.groups.append(list(items))
        return len(items)


def engagements(store: Engaged, clock: Clock, metrics: Metrics | None = None) -> Engagements:
    """The service over such a store."""
    return Engagements(cast(Messages, store), TOKENS, clock, metrics or Metrics())
