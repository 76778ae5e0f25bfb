"""The flow of mail inside the engine: what is claimed, what is ready, and how much of it there may be.

Lanes share it: a part of the room is kept for each, and the order of departures favours lane 0, so that a password reset goes
out at once while somebody's million drains, and the million still moves.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

from postclock.core.clock import Clock
from postclock.engine.prepare import Prepared

LANES: Final = (0, 1, 2)
KEPT: Final = 0.15
"""The part of the room kept for each lane."""
REFILL: Final = 100
"""A crowded lane claims again when it has so much room: many small claims would cost a commit each."""
TURNS: Final = (0, 0, 1, 0, 1, 2)
"""Which lane is asked first, in turn; an empty one gives its turn to the lowest that has something."""
NAP: Final = 1.0
"""Seconds after which everything that waits looks again, whatever it was told."""


class Flow:
    """Counts room per lane, holds prepared mail until its second, hands it to the workers in turn."""

    def __init__(self, clock: Clock, room: int, room_bytes: int) -> None:
        self._clock = clock
        self._room = room
        self._room_bytes = room_bytes
        self._in = [0, 0, 0]
        self._bytes = 0
        self._early: list[tuple[int, int, Prepared]] = []
        self._sequence = 0
        self._ready: tuple[deque[Prepared], ...] = (deque(), deque(), deque())
        self._turn = 0
        self._some = asyncio.Condition()
        self._early_changed = asyncio.Event()
        self._crowded: set[int] = set()
        self.on_room: Callable[[], None] = lambda: None
        """Called when a lane that was crowded has room again."""
        self.closed = False
        self.held = False
        """Scheduled mail does not leave: a forward clock jump is being watched."""
        self.look: Callable[[], None] = lambda: None
        """Called before anything early is let through: the clock's own watch."""

    def room_to_claim(self, lane: int) -> int:
        """How many more may be claimed in a lane now; 0 while it is crowded, and ``on_room`` tells when it is no longer."""
        room = self._room_of(lane)
        if room < min(REFILL, self._in[lane]):
            self._crowded.add(lane)
            return 0
        if not room:
            self._crowded.add(lane)
        return room

    def _room_of(self, lane: int) -> int:
        if self._bytes >= self._room_bytes:
            return 0
        kept_for_others = int(self._room * KEPT) * (len(LANES) - 1)
        return max(0, min(self._room - kept_for_others - self._in[lane], self._room - sum(self._in)))

    @property
    def inside(self) -> int:
        """Claimed and not yet recorded."""
        return sum(self._in)

    def enter(self, lane: int) -> None:
        """One claimed."""
        self._in[lane] += 1

    def leave(self, lane: int) -> None:
        """One recorded, given back or forgotten."""
        self._in[lane] -= 1
        self._look_for_room()

    def weigh(self, octets: int) -> None:
        """Prepared octets come (positive) or go."""
        self._bytes += octets
        if octets < 0:
            self._look_for_room()

    def _look_for_room(self) -> None:
        if not self._crowded:
            return
        roomy = {lane for lane in self._crowded if self._room_of(lane) >= max(1, min(REFILL, self._in[lane]))}
        if roomy:
            self._crowded -= roomy
            self.on_room()

    async def add(self, prepared: Prepared) -> None:
        """A mail is prepared: it goes to the workers at its time."""
        start = prepared.claimed.start_at
        self.look()
        if start > self._clock.now_ms() or self._is_held(prepared):
            self._sequence += 1
            heapq.heappush(self._early, (start, self._sequence, prepared))
            if self._early[0][2] is prepared:
                self._early_changed.set()
        else:
            await self._offer(prepared)

    def _is_held(self, prepared: Prepared) -> bool:
        return prepared.claimed.lane != 0 and self.held

    async def _offer(self, prepared: Prepared) -> None:
        async with self._some:
            self._ready[prepared.claimed.lane].append(prepared)
            self._some.notify()

    async def take(self) -> Prepared | None:
        """The next mail to depart; None when the flow is closed."""
        async with self._some:
            while not self.closed:
                first = TURNS[self._turn % len(TURNS)]
                self._turn += 1
                for lane in (first, *LANES):
                    if self._ready[lane]:
                        return self._ready[lane].popleft()
                await self._some.wait()
            return None

    async def run_gate(self) -> None:
        """Let mail through at its time, on the millisecond; a loop of the supervisor."""
        while not self.closed:
            if self._early:
                self.look()
            now = self._clock.now_ms()
            while self._early and self._early[0][0] <= now and not self._is_held(self._early[0][2]):
                await self._offer(heapq.heappop(self._early)[2])
            wait = NAP
            if self._early and not self.held:
                wait = min(NAP, max((self._early[0][0] - now) / 1000, 0.0005))
            self._early_changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._early_changed.wait()
            except TimeoutError:
                continue

    def wake(self) -> None:
        """The clock was moved, or a hold was set: look again."""
        self._early_changed.set()

    async def close(self) -> list[Prepared]:
        """Nothing leaves any more; what was prepared and did not go."""
        self.closed = True
        left = [p for lane in self._ready for p in lane] + [p for _, _, p in self._early]
        for lane in self._ready:
            lane.clear()
        self._early.clear()
        self._early_changed.set()
        async with self._some:
            self._some.notify_all()
        return left
