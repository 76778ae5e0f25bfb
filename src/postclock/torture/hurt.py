"""The hand that hurts: carries the plan out, blow by blow, and notes when something was being hurt or recovered."""

import contextlib
import resource
import signal
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Final

import asyncpg

from postclock.core.clock import Clock
from postclock.runtime.log import get_logger
from postclock.torture.database import Database
from postclock.torture.history import Contact
from postclock.torture.load import Load
from postclock.torture.plan import HOUR_MS, Kind, Pain, SinkPain
from postclock.torture.processes import Place, Processes
from postclock.torture.proxy import Proxy
from postclock.torture.sink import Sink

SETTLING_MS: Final = 1_500
"""So long after a blow, and half as long as the blow lasted, its backlog is worked off; lateness in it is the blow's."""
POINT_SECONDS: Final = 6.0
"""Patience with a life that was told to end at a point; then it ends by SIGKILL."""
ROOM_OCTETS: Final = 32 << 10
"""What the embedded store's process may still write of any file while its disk is full."""
LOST_COMMITS: Final = 3
HOLD_MS: Final = 63_000
"""A step of the clock forward holds scheduled departures until it has stood for a minute."""
_log = get_logger("torture")


def until_it_flows(spans: Iterable[tuple[int, int]], contacts: Mapping[str, Contact]) -> tuple[tuple[int, int], ...]:
    """The spans with their ends moved to the next mail that came: after an outage the service rests before it tries again."""
    came = sorted(contact.seen_at for contact in contacts.values())
    found = []
    for begin, end in spans:
        at = bisect_left(came, end)
        found.append((begin, max(end, came[at] if at < len(came) else end)))
    return tuple(found)


class Hurt:
    """Carries out plans. ``proxy`` and ``database`` are None on the embedded store."""

    def __init__(
        self,
        *,
        clock: Clock,
        dice: Random,
        processes: Processes,
        load: Load,
        sink: Sink,
        proxy: Proxy | None,
        database: Database | None,
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._processes = processes
        self._load = load
        self._sink = sink
        self._proxy = proxy
        self._database = database
        self.spans: list[tuple[int, int]] = []
        self._stepped_at: list[int] = []
        """When the clock came forward again after it had been back: a step forward, which holds scheduled departures."""
        self.done: Counter[str] = Counter()
        self.never_came_back = False

    async def carry_out(self, pains: Sequence[Pain], until: float) -> None:
        """Blow after blow until the monotonic moment ``until``; everything runs when it ends."""
        for pain in pains:
            if self._clock.monotonic() + pain.calm + pain.seconds > until:
                continue
            await self._clock.sleep(pain.calm)
            begun = self._clock.now_ms()
            _log.info("hurting", kind=pain.kind, point=pain.point, seconds=round(pain.seconds, 1))
            await self._blows[pain.kind](pain)
            if not await self._processes.all_up():
                self.never_came_back = True
                return
            self._note(begun, pain.kind)

    async def carry_out_at_sink(self, pains: Sequence[SinkPain], until: float) -> None:
        """The sink's moods, one after the other; it behaves when this ends."""
        try:
            for pain in pains:
                if self._clock.monotonic() + pain.calm + pain.seconds > until:
                    continue
                await self._clock.sleep(pain.calm)
                begun = self._clock.now_ms()
                if pain.mood is None:
                    self._sink.vanish()
                else:
                    self._sink.mood = pain.mood
                await self._clock.sleep(pain.seconds)
                await self._behave(is_back=pain.mood is None)
                self._note(begun, "sink gone" if pain.mood is None else f"sink: {pain.mood.act} at {pain.mood.stage}")
        finally:
            self._sink.mood = None

    def _note(self, begun: int, what: str) -> None:
        now = self._clock.now_ms()
        self.spans.append((begun, now + SETTLING_MS + (now - begun) // 2))
        self.done[what] += 1

    async def _behave(self, *, is_back: bool) -> None:
        self._sink.mood = None
        if is_back:
            await self._sink.listen()

    @property
    def _blows(self) -> dict[Kind, Callable[[Pain], Awaitable[None]]]:
        return {
            "kill": self._kill,
            "kill at": self._kill_at,
            "terminate": self._terminate,
            "freeze": self._freeze,
            "clock ahead": self._clock_ahead,
            "clock back": self._clock_back,
            "disk full": self._disk_full,
            "database outage": self._database_outage,
            "connections cut": self._cut,
            "commit answers lost": self._lose_commits,
        }

    def _victim(self) -> Place:
        return self._dice.choice(self._processes.places)

    async def _kill(self, pain: Pain) -> None:
        del pain
        await self._end(self._victim(), signal.SIGKILL)

    async def _end(self, place: Place, number: signal.Signals, seconds: float = 20.0) -> None:
        life = place.process
        self._processes.send(place, number)
        if not await self._processes.ended(place, life, seconds):
            self._processes.send(place, signal.SIGKILL)
            await self._processes.ended(place, life, seconds)

    async def _kill_at(self, pain: Pain) -> None:
        """The present life ends, and the next one ends itself where it is told to."""
        accepts = pain.point == "accept_committed"
        fitting = [p for p in self._processes.places if (p.serves if accepts else "api" not in p.args)]
        place = self._dice.choice(fitting)
        place.die_at = pain.point
        await self._end(place, signal.SIGKILL)
        patience = self._clock.monotonic() + POINT_SECONDS
        # Not before it runs: a life that still has to end would be replaced in the midst of the next blow.
        while not (place.dies and place.process) and place.url is None and self._clock.monotonic() < patience:
            await self._clock.sleep(0.01)
        if place.dies and not await self._processes.ended(place, place.process, POINT_SECONDS):
            await self._end(place, signal.SIGKILL)

    async def _terminate(self, pain: Pain) -> None:
        del pain
        await self._end(self._victim(), signal.SIGTERM, 30.0)

    async def _freeze(self, pain: Pain) -> None:
        place = self._victim()
        self._processes.send(place, signal.SIGSTOP)
        await self._clock.sleep(pain.seconds)
        self._processes.send(place, signal.SIGCONT)
        await self._clock.sleep(1.0)

    async def _clock_ahead(self, pain: Pain) -> None:
        """An hour ahead, and back. Nothing is scheduled meanwhile: it would be in the service's past, and rightly go at once."""
        self._load.may_schedule.clear()
        try:
            while self._load.scheduling:
                await self._clock.sleep(0.05)
            await self._shift(HOUR_MS, pain.seconds)
        finally:
            self._load.may_schedule.set()

    async def _clock_back(self, pain: Pain) -> None:
        await self._shift(-HOUR_MS, pain.seconds)
        self._stepped_at.append(self._clock.now_ms())

    @property
    def holds(self) -> list[tuple[int, int]]:
        """When scheduled mail waited for the clock to be trusted; a lone process forgets that when it ends."""
        places, exits = len(self._processes.places), self._processes.ends.at
        return [
            (at, min([at + HOLD_MS, *(exited + SETTLING_MS for exited in exits if places == 1 and exited > at)]))
            for at in self._stepped_at
        ]

    async def _shift(self, offset_ms: int, seconds: float) -> None:
        self._processes.shift.shift(offset_ms)
        try:
            await self._clock.sleep(seconds)
        finally:
            self._processes.shift.shift(0)
        await self._clock.sleep(1.0)

    async def _disk_full(self, pain: Pain) -> None:
        if self._database is not None:
            with contextlib.suppress(asyncpg.PostgresError, OSError):
                await self._database.fill()
            try:
                await self._clock.sleep(pain.seconds)
            finally:
                await self._database.relieve()
            return
        [place] = self._processes.places
        if place.process is None or place.process.returncode is not None:
            return
        pid = place.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM_OCTETS, before[1]))
        try:
            await self._clock.sleep(pain.seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it may have ended meanwhile
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    async def _database_outage(self, pain: Pain) -> None:
        if self._proxy is None:
            return
        self._proxy.refuse()
        try:
            await self._clock.sleep(pain.seconds)
        finally:
            self._proxy.let_in()
        await self._clock.sleep(1.0)

    async def _cut(self, pain: Pain) -> None:
        del pain
        if self._proxy is not None:
            self._proxy.cut()
            await self._clock.sleep(1.0)

    async def _lose_commits(self, pain: Pain) -> None:
        del pain
        if self._proxy is not None:
            self._proxy.lose_commits(LOST_COMMITS)
            await self._clock.sleep(2.0)
            self._proxy.lose_commits(0)
