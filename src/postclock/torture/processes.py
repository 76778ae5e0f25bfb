"""The service's processes: started, watched, killed, frozen, started again. Whatever ends is started anew until ``stop``."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from postclock.core.clock import Clock
from postclock.runtime.shifted_clock import ClockFile

START_SECONDS: Final = 60.0
"""A process that finds no database waits for it: an outage may last half of this."""
COMMAND_SECONDS: Final = 60.0
END_SECONDS: Final = 20.0
PAUSE_SECONDS: Final = 0.2
"""Between a start that failed and the next."""
KILLED: Final = -signal.SIGKILL
TERMINATED: Final = -signal.SIGTERM
"""SIGTERM before it had begun to listen to signals."""


class CannotRun(RuntimeError):
    """The service cannot be started or made ready; the message says why."""


@dataclass(slots=True, kw_only=True)
class Place:
    """One process and those that follow it in its place."""

    name: str
    args: tuple[str, ...]
    url: str | None = None
    """Where it listens; None while it does not run."""
    process: Process | None = None
    die_at: str | None = None
    """The point at which the next life ends itself."""
    dies: bool = False
    """Whether the present life was told to end itself somewhere."""
    is_told: bool = False
    """Whether a SIGTERM is on its way."""
    is_frozen: bool = False

    @property
    def serves(self) -> bool:
        """Whether it has an API."""
        return "engine" not in self.args


@dataclass(slots=True, kw_only=True)
class Ends:
    """How lives ended."""

    kills: int = 0
    terminations: int = 0
    at: list[int] = field(default_factory=list)
    """When, in UTC milliseconds."""
    by_themselves: list[str] = field(default_factory=list)
    """Exits that nobody asked for, in words."""


class Processes:
    """All of them. ``folder`` holds their logs; ``environment`` their settings and nothing else of this process's."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], clock: Clock, shift: ClockFile, roles: Sequence[str]
    ) -> None:
        self._folder = folder
        self._environment = _bare(environment)
        self._clock = clock
        self.shift = shift
        self.ends = Ends()
        self.stopping = False
        self.start_offset_ms = 0
        """What the clocks of lives that start from now on are off by."""
        self._turn = 0
        names = [f"{role or 'serve'}{n}" for n, role in enumerate(roles)]
        self.places = [
            Place(name=name, args=("--only", role) if role else ()) for name, role in zip(names, roles, strict=True)
        ]

    def where(self) -> str | None:
        """The URL of a process with an API that is up, in turn; None when none is."""
        up = [place.url for place in self.places if place.serves and place.url is not None]
        self._turn += 1
        return up[self._turn % len(up)] if up else None

    async def command(self, *args: str) -> Any:
        """Run another command to its end; its JSON. Raises CannotRun."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "postclock", *args, "--json",
            env=self._environment, cwd=self._folder, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            raise CannotRun(f"postclock {args[0]}: no end after {COMMAND_SECONDS:.0f} s") from None
        if process.returncode != 0:
            raise CannotRun(f"postclock {args[0]}: {err.decode('utf-8', 'replace').strip()[-500:]}")
        return msgspec.json.decode(out) if out.strip() else None

    async def keep(self, place: Place) -> None:
        """Start it again and again, until ``stopping``."""
        while not self.stopping:
            # A new life cannot know that the clock was moved under its predecessor.
            self.shift.shift(self.start_offset_ms)
            process = await self._start(place)
            status = await process.wait()
            place.url = place.process = None
            self._note(place, status)
            place.is_told = place.is_frozen = False
            if status not in (KILLED, 0):
                await self._clock.sleep(PAUSE_SECONDS)

    async def _start(self, place: Place) -> Process:
        die_at, place.die_at = place.die_at, None
        place.dies = die_at is not None
        with (self._folder / f"{place.name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "postclock", "serve", *place.args, "--json",
                "--clock-file", str(self.shift.path), *(("--die-at", die_at) if die_at else ()),
                env=self._environment, cwd=self._folder, stdin=DEVNULL, stdout=PIPE, stderr=log,
            )  # fmt: skip
        place.process = process
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                place.url = await _told_url(process.stdout)
        except TimeoutError:
            process.kill()
        return process

    def _note(self, place: Place, status: int) -> None:
        self.ends.at.append(self._clock.now_ms())
        if status == KILLED:
            self.ends.kills += 1
        elif place.is_told and status in (0, TERMINATED):
            self.ends.terminations += 1
        else:
            self.ends.by_themselves.append(f"{place.name}: exit {status}{' after SIGTERM' if place.is_told else ''}")

    def send(self, place: Place, number: signal.Signals) -> None:
        """A signal, if it runs."""
        if place.process is not None and place.process.returncode is None:
            place.is_told = place.is_told or number == signal.SIGTERM
            place.is_frozen = number == signal.SIGSTOP
            with contextlib.suppress(ProcessLookupError):
                place.process.send_signal(number)

    async def all_up(self, seconds: float = START_SECONDS) -> bool:
        """Wait until every one listens; False when that takes longer."""
        ends = self._clock.monotonic() + seconds
        while any(place.url is None or place.is_told for place in self.places):
            if self._clock.monotonic() > ends:
                return False
            await self._clock.sleep(0.02)
        return True

    async def ended(self, place: Place, process: Process | None, seconds: float) -> bool:
        """Wait until this life of a place is over; False when that takes longer."""
        ends = self._clock.monotonic() + seconds
        while process is not None and place.process is process:
            if self._clock.monotonic() > ends:
                return False
            await self._clock.sleep(0.01)
        return True

    async def restart(self, *, ahead_ms: int) -> bool:
        """SIGTERM to all, and new lives whose clocks are so far ahead; False when they do not come up."""
        self.start_offset_ms = ahead_ms
        lives = [(place, place.process) for place in self.places]
        for place in self.places:
            self.send(place, signal.SIGTERM)
        for place, process in lives:
            await self._gone(place, process)
        return await self.all_up()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that takes long."""
        self.stopping = True
        lives = [(place, place.process) for place in self.places]
        for place in self.places:
            self.send(place, signal.SIGCONT)
            self.send(place, signal.SIGTERM)
        for place, process in lives:
            await self._gone(place, process)

    async def _gone(self, place: Place, process: Process | None) -> None:
        if not await self.ended(place, process, END_SECONDS):
            self.send(place, signal.SIGKILL)
            await self.ended(place, process, END_SECONDS)

    def kill_all(self) -> None:
        """What the end of this process must not leave behind."""
        self.stopping = True
        for place in self.places:
            self.send(place, signal.SIGKILL)


async def _told_url(stdout: asyncio.StreamReader) -> str | None:
    """Where a process says that it listens, after whatever else it says (that it waits for its store); None: it ended."""
    while line := await stdout.readline():
        with contextlib.suppress(msgspec.DecodeError):
            told = msgspec.json.decode(line)
            if isinstance(told, dict) and "url" in told and "waiting" not in told:
                return str(told["url"])
    return None


def _bare(settings: Mapping[str, str]) -> dict[str, str]:
    """An environment with these settings alone: no variable or postclock.toml of the caller's reaches the service."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        **settings,
    }
