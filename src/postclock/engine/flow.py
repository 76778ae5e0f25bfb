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
"""The part of the room kept for each lane; the rest is shared."""
URGENT_OCTETS: Final = 1.25
"""Lane 0 may fill so much of the octets: large bulk mail must not keep a password reset from being made."""
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
        self._some = asyncio.Semaphore(0)
        """As many as lie ready."""
        self._early_changed = asyncio.Event()
        self._crowded: set[int] = set()
        self._too_heavy = False
        self.on_room: Callable[[], None] = lambda: None
        """Called when a lane that was crowded has room again, or octets that were too many have gone."""
        self.closed = False
        self.held = False
        """Scheduled mail does not leave: a forward clock jump is being watched."""
        self.look: Callable[[], None] = lambda: None
        """Called before anything early is let through: the clock's own watch."""

    def room_to_claim(self, lane: int) -> int:
        """How many more may be claimed in a lane now; 0 while it is crowded, and ``on_room`` tells when it is no longer."""
        room = self._room_of(lane)
        if room < max(1, min(REFILL, self._in[lane])):
            self._crowded.add(lane)
            return 0
        return room

    def _room_of(self, lane: int) -> int:
        if self._is_full(lane):
            return 0
        kept = int(self._room * KEPT)
        shared = self._room - kept * len(LANES) - sum(max(0, n - kept) for n in self._in)
        return max(0, kept - self._in[lane]) + max(0, shared)

    def _is_full(self, lane: int) -> bool:
        return self._bytes >= self._room_bytes * (1 if lane else URGENT_OCTETS)

    def is_too_heavy(self, lane: int) -> bool:
        """Whether nothing more may be prepared in a lane now; when it is so, ``on_room`` tells when it no longer is."""
        full = self._is_full(lane)
        self._too_heavy = self._too_heavy or full
        return full

    @property
    def octets(self) -> int:
        """Octets of prepared mail inside."""
        return self._bytes

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
        if not self._crowded and not self._too_heavy:
            return
        roomy = {lane for lane in self._crowded if self._room_of(lane) >= max(1, min(REFILL, self._in[lane]))}
        lighter = self._too_heavy and not self._is_full(1)
        if roomy or lighter:
            self._crowded -= roomy
            self._too_heavy = self._too_heavy and not lighter
            self.on_room()

    def add(self, prepared: Prepared) -> bool:
        """A mail is prepared: it goes to the workers at its time. False when the flow is closed: it is to be given back."""
        if self.closed:
            return False
        start = prepared.claimed.start_at
        now = self._looked()
        if start > now or self._is_held(prepared):
            self._wait(prepared)
            if self._early[0][2] is prepared:
                self._early_changed.set()
        else:
            self._offer(prepared)
        return True

    def _looked(self) -> int:
        # The time is read first: a clock that jumps right after it is not believed, one that jumped before it is seen.
        now = self._clock.now_ms()
        self.look()
        return now

    def _wait(self, prepared: Prepared) -> None:
        self._sequence += 1
        heapq.heappush(self._early, (prepared.claimed.start_at, self._sequence, prepared))

    def _is_held(self, prepared: Prepared) -> bool:
        # A further attempt waits as well: what is uncertain must not be sent again before its time by a clock that jumped.
        return self.held and (prepared.claimed.lane != 0 or prepared.claimed.attempt > 1)

    def _offer(self, prepared: Prepared) -> None:
        self._ready[prepared.claimed.lane].append(prepared)
        self._some.release()

    async def take(self) -> Prepared | None:
        """The next mail to depart; None when the flow is closed."""
        await self._some.acquire()
        if self.closed:
            self._some.release()  # for whoever else waits here
            return None
        first = TURNS[self._turn % len(TURNS)]
        self._turn += 1
        return next(self._ready[lane].popleft() for lane in (first, *LANES) if self._ready[lane])

    async def run_gate(self) -> None:
        """Let mail through at its time, on the millisecond; a loop of the supervisor."""
        while not self.closed:
            self._let_through()
            wait = NAP
            first = self._next_start()
            if first is not None:
                wait = min(NAP, max((first - self._clock.now_ms()) / 1000, 0.0005))
            self._early_changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._early_changed.wait()
            except TimeoutError:
                continue

    def _let_through(self) -> None:
        if not self._early:
            return
        now = self._looked()
        back = []
        while self._early and self._early[0][0] <= now:
            prepared = heapq.heappop(self._early)[2]
            if self._is_held(prepared):
                back.append(prepared)
            else:
                self._offer(prepared)
        for prepared in back:
            self._wait(prepared)

    def _next_start(self) -> int | None:
        if not self.held:
            return self._early[0][0] if self._early else None
        return min((start for start, _, p in self._early if not self._is_held(p)), default=None)

    def pull(self, beyond_ms: int) -> list[Prepared]:
        """Take out what starts later than that: the clock went back, and it must not fill the room for so long.

        What may have been delivered stays: given back it would be ready at once, before its wait is over.
        """
        far = [p for start, _, p in self._early if start > beyond_ms and not p.claimed.exposed]
        self._early = [entry for entry in self._early if entry[0] <= beyond_ms or entry[2].claimed.exposed]
        heapq.heapify(self._early)
        return far

    def wake(self) -> None:
        """The clock was moved, or a hold was set: look again."""
        self._early_changed.set()

    def close(self) -> list[Prepared]:
        """Nothing leaves any more; what was prepared and did not go."""
        self.closed = True
        left = [p for lane in self._ready for p in lane] + [p for _, _, p in self._early]
        for lane in self._ready:
            lane.clear()
        self._early.clear()
        self._early_changed.set()
        self._some.release()
        return left
