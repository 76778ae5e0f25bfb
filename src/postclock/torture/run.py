"""One run from its seed to its outcome: a folder of its own, sink, processes, load, blows, drain, questions, audit."""

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from postclock.core.clock import Clock
from postclock.runtime.entropy import Entropy
from postclock.runtime.shifted_clock import ClockFile
from postclock.torture.audit import audit
from postclock.torture.caller import Caller
from postclock.torture.database import Database
from postclock.torture.drain import ask_all, ask_batches, drain, unacknowledged
from postclock.torture.history import History
from postclock.torture.hurt import Hurt, until_it_flows
from postclock.torture.load import DOMAIN, Load
from postclock.torture.plan import dice_of, plan, sink_plan
from postclock.torture.processes import CannotRun, Place, Processes
from postclock.torture.proxy import Proxy
from postclock.torture.report import Outcome, make_report
from postclock.torture.sink import Sink

WAIT: Final = "3s"
"""The final reply's timeout and the uncertain wait: short, so that what is sent again is sent again within the run."""
SCOPES: Final = "mail.send,mail.schedule,mail.cancel,messages.read"
WARM_UP_SECONDS: Final = 1.0
SPARE_SECONDS: Final = 900.0
"""Beyond its minutes a run has so long to start, drain and ask; then it ends in an error. Nothing waits for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was asked for. ``store`` is ``sqlite`` or a PostgreSQL URL; ``rate`` is mails a second."""

    minutes: float
    seed: int
    store: str
    processes: int
    rate: float

    @property
    def seconds(self) -> float:
        """How long it hurts."""
        return self.minutes * 60

    @property
    def is_database(self) -> bool:
        """Whether it runs over PostgreSQL."""
        return self.store != "sqlite"

    @property
    def roles(self) -> tuple[str, ...]:
        """What each process does: everything when there is one, else APIs and engines in turn."""
        return ("",) if self.processes == 1 else tuple("api" if n % 2 else "engine" for n in range(self.processes))


async def torture(asked: Plan, clock: Clock, entropy: Entropy, say: Callable[[str], None]) -> Outcome:
    """Run it. Raises CannotRun, CannotReach or NotEmpty when it cannot begin, CannotRun when it comes to no end."""
    if asked.is_database:
        await Database(asked.store).check_empty()
    folder = Path(tempfile.mkdtemp(prefix="postclock-torture-"))
    is_good = False  # until then the folder may be needed to find out why
    try:
        async with asyncio.timeout(asked.seconds + SPARE_SECONDS):
            outcome = await _in_folder(asked, folder, clock, entropy, say)
        is_good = outcome.is_good and not outcome.is_curious
        return outcome
    except TimeoutError:
        raise CannotRun("the run came to no end in its time") from None
    finally:
        if is_good:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"kept: {folder} (the service's logs and its data)")


async def _in_folder(asked: Plan, folder: Path, clock: Clock, entropy: Entropy, say: Callable[[str], None]) -> Outcome:
    async with AsyncExitStack() as ending:
        sink = Sink(clock, dice_of(asked.seed, "sink"))
        await sink.listen()
        ending.callback(sink.vanish)
        proxy = database = None
        settings = {
            "POSTCLOCK_DATA": str(folder / "var"),
            "POSTCLOCK_LISTEN": "127.0.0.1:0",
            "POSTCLOCK_COURIER": sink.url,
            "POSTCLOCK_HOSTNAME": "torture.example",
            "POSTCLOCK_SETTLE_AFTER": "0s",
            "POSTCLOCK_FINAL_REPLY_TIMEOUT": WAIT,
            "POSTCLOCK_UNCERTAIN_WAIT": WAIT,
        }
        if asked.is_database:
            database = Database(asked.store)
            proxy = Proxy(asked.store)
            await proxy.listen()
            ending.callback(proxy.close)
            settings |= {"POSTCLOCK_STORE": proxy.url, "POSTCLOCK_SECRET_KEY": entropy.secret_hex(32)}
        shift = ClockFile(folder / "clock")
        processes = Processes(folder, settings, clock, shift, asked.roles)
        ending.callback(processes.kill_all)
        key = await _prepare(processes, asked)
        run = _Run(asked, clock, sink, processes, proxy, database, key, say)
        return await run.go()


async def _prepare(processes: Processes, asked: Plan) -> str:
    """Schema, domain and key, by the commands that an operator has."""
    if asked.is_database:
        await processes.command("migrate")
    await processes.command("domains", "add", DOMAIN, "--tenant", "default", "--trust")
    made = await processes.command("keys", "create", "--tenant", "default", "--scopes", SCOPES)
    return str(made["api_key"])


class _Run:
    """The parts of a run that has begun."""

    def __init__(
        self,
        asked: Plan,
        clock: Clock,
        sink: Sink,
        processes: Processes,
        proxy: Proxy | None,
        database: Database | None,
        key: str,
        say: Callable[[str], None],
    ) -> None:
        self._asked = asked
        self._clock = clock
        self._sink = sink
        self._processes = processes
        self._proxy = proxy
        self._say = say
        dice = dice_of(asked.seed, "plan")
        self._pains = plan(dice, asked.seconds, database=asked.is_database)
        self._sink_pains = sink_plan(dice, asked.seconds)
        self._load = Load(
            clock,
            dice_of(asked.seed, "load"),
            asked.rate,
            lambda: Caller(processes.where, key),
            horizon=int(asked.seconds / 4),
        )
        self._hurt = Hurt(
            clock=clock, dice=dice_of(asked.seed, "blows"), processes=processes, load=self._load, sink=sink, proxy=proxy, database=database,
        )  # fmt: skip
        self._troubles: list[str] = []
        self._left = 0

    async def go(self) -> Outcome:
        """Start, hurt, drain, ask, judge."""
        async with asyncio.TaskGroup() as group:
            keeping = [group.create_task(self._keep(place)) for place in self._processes.places]
            try:
                history = await self._hurt_and_ask() if await self._processes.all_up() else None
            finally:
                await self._processes.stop()
                for task in keeping:
                    task.cancel()
        if history is None:
            raise CannotRun("the service does not start; see its log")
        return self._outcome(history)

    async def _keep(self, place: Place) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self._processes.keep(place)

    async def _hurt_and_ask(self) -> History:
        clock, load = self._clock, self._load
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(load.run())
            await clock.sleep(WARM_UP_SECONDS)
            ends = clock.monotonic() + self._asked.seconds
            self._say("hurting it")
            hurting = (
                group.create_task(self._hurt.carry_out(self._pains, ends)),
                group.create_task(self._hurt.carry_out_at_sink(self._sink_pains, ends)),
            )
            await asyncio.wait(hurting)
            await clock.sleep(max(0.0, ends - clock.monotonic()))
            load.finish()
            await loading
        self._say("letting it drain")
        self._left = await drain(clock, self._processes, load)
        self._say("asking for every message")
        dice = dice_of(self._asked.seed, "questions")
        told = await ask_all(clock, load, dice)
        last_sums = await ask_batches(clock, load, dice)
        return History(
            asked=load.asked,
            contacts=self._sink.contacts,
            told=told,
            wrong_sums=load.wrong_sums,
            last_sums=last_sums,
            batches_cancelled=load.batches_cancelled,
            hurt=(*until_it_flows(self._hurt.spans, self._sink.contacts), *self._hurt.holds),
        )

    def _outcome(self, history: History) -> Outcome:
        asked, done, ends = self._asked, self._hurt.done, self._processes.ends
        findings = audit(history)
        report = make_report(
            findings, seed=asked.seed, minutes=asked.minutes, store="postgresql" if asked.is_database else "sqlite", processes=asked.processes,
            kills=ends.kills, freezes=done["freeze"], outages=done["database outage"] + done["sink gone"],
        )  # fmt: skip
        if self._left:
            self._troubles.append(f"{self._left} messages were not settled when the time was over")
        if self._hurt.never_came_back:
            self._troubles.append("a process did not come back")
        if not findings.acknowledged:
            self._troubles.append("nothing was acknowledged, so nothing was shown")
        return Outcome(
            report=report, findings=findings, notes=self._notes(history), troubles=self._troubles, is_curious=bool(ends.by_themselves or self._load.odd),
        )  # fmt: skip

    def _notes(self, history: History) -> dict[str, Any]:
        load, ends = self._load, self._processes.ends
        cancelled = sum(told.status == "cancelled" for told in history.told.values())
        notes: dict[str, Any] = {
            "arrived (copies)": self._sink.received,
            "cancelled": cancelled,
            "batches cancelled": f"{len(load.batches_cancelled)} of {len(load.batches)}",
            "batch sums read": load.sums_read,
            "never answered": unacknowledged(tuple(load.asked.values())),
            "not now": ", ".join(f"{n} x {status}" for status, n in sorted(load.refused.items())) or "-",
            "blows": ", ".join(f"{n} {kind}" for kind, n in sorted(self._hurt.done.items())),
        }
        if self._proxy is not None:
            notes["commit answers lost"] = self._proxy.commits_lost
        for said, n in load.odd.most_common(5):
            notes[f"odd answer ({n})"] = said
        if ends.by_themselves:
            notes["ended by themselves"] = "; ".join(f"{n} x {end}" for end, n in Counter(ends.by_themselves).items())
        return notes
