"""A ledger of which only the lives matter: who beats, who is ended, what a rescue finds; and a database that goes away."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from postclock.core.errors import Busy
from postclock.store.records import Life, Owner, Rescued


@dataclass
class Living:
    """What Heartbeat and Housekeeping ask of a ledger, over lives that a test writes down. The rest has nothing to do."""

    owner: Owner = field(default_factory=lambda: Owner(1, 1, 1))
    beats: dict[int, int] = field(default_factory=lambda: {1: 0})
    held: dict[int, int] = field(default_factory=dict)
    """Rows that each owner holds."""
    api: set[int] = field(default_factory=set)
    ended: list[int] = field(default_factory=list)
    away: bool = False
    """Whether the database is: everything raises Busy."""
    trouble: dict[str, list[Exception]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    on_rescue: Callable[[], Awaitable[None]] | None = None

    def ask(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.away:
            raise Busy("the database is away")
        if self.trouble.get(name):
            raise self.trouble[name].pop(0)

    async def beat(self, now: int) -> bool:
        del now
        self.ask("beat")
        if self.owner.id not in self.beats:
            return False
        self.beats[self.owner.id] += 1
        return True

    async def lives(self) -> list[Life]:
        self.ask("lives")
        return [Life(owner, 1, beat, owner in self.api) for owner, beat in self.beats.items()]

    async def end_life(self, life: Life, now: int) -> bool:
        del now
        self.ask("end_life")
        if self.beats.get(life.owner) != life.beat:
            return False
        del self.beats[life.owner]
        self.ended.append(life.owner)
        return True

    async def rescue(self, now: int, limit: int, uncertain_wait: int, settle_after: int) -> Rescued:
        del now, uncertain_wait, settle_after
        self.ask("rescue")
        if self.on_rescue is not None:
            await self.on_rescue()
        for owner, rows in self.held.items():
            if owner not in self.beats and rows:
                taken = min(limit, rows)
                self.held[owner] -= taken
                return Rescued(taken, 1)
        return Rescued(0, 0)
