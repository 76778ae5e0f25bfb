"""A line of writers: what several callers hand in at once becomes one transaction; each hears of its own part.

Jobs of a group touch different rows. One caller's bad row fails that caller alone: the group is then run in halves. An answer
is given only after the commit; a caller who goes away meanwhile changes nothing.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, Final, TypeVar

import asyncpg

from postclock.core.clock import Clock
from postclock.core.errors import Busy, PostclockError
from postclock.runtime.log import get_logger
from postclock.store.postgres.connection import TROUBLE, WRITING, History, busy_of
from postclock.store.postgres.needs import Needs, NotLoaded
from postclock.store.postgres.transactor import Transactor
from postclock.store.postgres.unit import Unit
from postclock.store.postgres.writing import KeyTaken
from postclock.store.records import Owner
from postclock.store.steps.work import Work

T = TypeVar("T")

GROUP_ROWS: Final = 2000  # a group's bound: some 100 ms of work at the most
CROWD: Final = 3  # calls in the last group: more are on their way
LINGER_SECONDS: Final = 0.003  # so long a crowd is gathered: a commit serves more of them, and costs each less
CLOSE_SECONDS: Final = 20.0
"""How long a line may take to finish at a stop: its transaction may wait for a lock that a frozen process has."""
REPLAYS: Final = 50  # a job that asks for ever more than was loaded is at fault
_log = get_logger("store")


class Kind(IntEnum):
    """The order of jobs inside a group; each kind gets at least one job into every group."""

    record = 0
    depart = 1
    cancel = 2
    accept = 3
    bulk = 4


class _Ticket:
    __slots__ = ("alone", "error", "future", "job", "loop", "needs", "result", "rows")

    def __init__(
        self,
        job: Callable[[Work], Any],
        needs: Needs,
        rows: int,
        *,
        alone: bool,
        loop: asyncio.AbstractEventLoop,
        future: "asyncio.Future[Any]",
    ) -> None:
        self.job = job
        self.needs = needs
        self.rows = rows
        self.alone = alone
        self.loop = loop
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


def _settle(tickets: "list[_Ticket]") -> None:
    for t in tickets:
        if t.future.cancelled() or t.future.done():
            continue
        if t.error is not None:
            t.future.set_exception(t.error)
        else:
            t.future.set_result(t.result)


class Line:
    """One connection's queue, run in the store's loop. ``on_ready(ms)`` is called there after a commit that added ready rows."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        history: History,
        owner: Owner,
        number: int,
        *,
        loop: asyncio.AbstractEventLoop,
        on_ready: Callable[[int], None],
        before: Callable[[set[int]], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._owner = owner
        self._begin = begin_of(owner)
        self._loop = loop
        self._on_ready = on_ready
        self._before = before
        self._transactor = Transactor(dsn, clock, history, owner.id, number, WRITING)
        # Writers of other processes may share the slot; that costs them a wait, never a number.
        self._slot = number + 8 * (owner.node % 64)
        self._queues: tuple[deque[_Ticket], ...] = tuple(deque() for _ in Kind)
        self._some = asyncio.Event()
        self._callers = 0
        self._closing = False
        self._done = asyncio.Event()
        self.groups = 0

    async def put(
        self,
        kind: Kind,
        job: Callable[[Work], T],
        needs: Needs,
        rows: int = 1,
        *,
        alone: bool = False,
        seconds: float | None = None,
    ) -> T:
        """Run ``job`` in the next group; its result once that is durable, or the job's own error. From any loop.

        ``alone``: in a group of its own. ``seconds``: how long to wait for the answer; then Busy, and it may still come true.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        ticket = _Ticket(job, needs, rows, alone=alone, loop=loop, future=future)
        try:
            self._loop.call_soon_threadsafe(self._enqueue, kind, ticket)
        except RuntimeError:
            raise Busy("the store is closed") from None
        if seconds is None:
            return await future
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise Busy("the database has not answered yet", retry_after=5) from None

    def _enqueue(self, kind: Kind, ticket: _Ticket) -> None:
        if self._closing:
            ticket.error = Busy("the store is closing")
            self._answer([ticket])
            return
        self._queues[kind].append(ticket)
        self._some.set()

    async def run(self) -> None:
        """Serve until closed and empty; a task of the store's loop."""
        while True:
            await self._some.wait()
            if not any(self._queues):
                if self._closing:
                    break
                self._some.clear()
                continue
            if self._callers >= CROWD and not self._closing:
                await self._clock.sleep(LINGER_SECONDS)
            group = self._gather()
            await self._serve(group)
            self.groups += 1
        await self._transactor.close()
        self._done.set()

    def _gather(self) -> list[_Ticket]:
        group: list[_Ticket] = []
        touched: set[int] = set()
        rows = 0
        self._callers = len(self._queues[Kind.accept]) + len(self._queues[Kind.cancel])
        for queue in self._queues:
            first = True
            while queue and queue[0].future.cancelled():
                queue.popleft()  # its caller was told 503 before it began: through a long outage such ones would pile up
            while queue and (first or rows + queue[0].rows <= GROUP_ROWS):
                ticket = queue[0]
                if (ticket.alone and group) or not touched.isdisjoint(ticket.needs.touched):
                    break
                first = False
                group.append(queue.popleft())
                rows += ticket.rows
                touched |= ticket.needs.touched
                if ticket.alone:
                    return group
        return group

    async def _serve(self, group: list[_Ticket]) -> None:
        try:
            ready_at = await self._attempt(group)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if len(group) > 1:
                _log.warning("a group had a bad row: it is run in halves", jobs=len(group), error=str(error))
                half = len(group) // 2
                await self._serve(group[:half])
                await self._serve(group[half:])
                return
            group[0].error = error
            ready_at = None
        except PostclockError as error:
            if isinstance(error.__cause__, TROUBLE):
                _log.warning("a group failed", jobs=len(group), error=str(error.__cause__))
            self._fail(group, error)
            ready_at = None
        except Exception as error:  # noqa: BLE001  (the line must go on serving)
            _log.exception("a group failed", jobs=len(group))
            self._fail(group, busy_of(error))
            ready_at = None
        self._answer(group)
        if ready_at is not None:
            self._on_ready(ready_at)

    def _fail(self, group: list[_Ticket], error: PostclockError) -> None:
        for ticket in group:
            ticket.error = busy_of(error) if isinstance(error, Busy) else error

    async def _attempt(self, group: list[_Ticket]) -> int | None:
        weeks = set[int]().union(*(t.needs.weeks for t in group))
        if weeks:
            await self._before(weeks)
        needs = Needs()
        for ticket in group:
            needs.add(ticket.needs)

        async def body(connection: asyncpg.Connection, begun: str) -> int | None:
            while True:
                unit = Unit(connection, self._slot, self._owner, alive=is_alive(begun))
                try:
                    return await self._together(unit, group, needs)
                except KeyTaken:
                    begun = str(await connection.execute(f"ROLLBACK; {self._begin}"))

        return await self._transactor.run(body, self._begin)

    async def _together(self, unit: Unit, group: list[_Ticket], needs: Needs) -> int | None:
        wanted = needs
        for _ in range(REPLAYS):
            await unit.load(wanted)
            try:
                for ticket in group:
                    _run_one(unit, ticket)
            except NotLoaded as missing:
                unit.begin_again()
                wanted = unit.widened(missing.needs)
                needs.add(wanted)
                continue
            await unit.write()
            return unit.tally.ready_at
        raise PostclockError(f"a job asks for ever more: {wanted}")

    async def solo(self, body: Callable[[Unit], Awaitable[T]], instead: T) -> T:
        """Run a transaction of the caller's own between the groups, in the store's loop; ``instead`` when this life is over."""

        async def alive(connection: asyncpg.Connection, begun: str) -> T:
            if not is_alive(begun):
                return instead
            return await body(Unit(connection, self._slot, self._owner, alive=True))

        return await self._transactor.run(alive, self._begin)

    def _answer(self, group: list[_Ticket]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Ticket]] = {}
        for ticket in group:
            by_loop.setdefault(ticket.loop, []).append(ticket)
        for loop, tickets in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle, tickets)
            except RuntimeError:  # that loop is closed: nobody is left to hear it
                continue

    async def close(self) -> None:
        """Finish what was handed in, and close."""
        self._closing = True
        self._transactor.closing = True
        self._some.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._done.wait()


def _run_one(unit: Unit, ticket: _Ticket) -> None:
    ticket.result = ticket.error = None
    try:
        ticket.result = ticket.job(unit)
    except NotLoaded:
        raise
    except Exception as error:  # noqa: BLE001  (the caller's own error, told to the caller)
        unit.job_failed()
        ticket.error = error
    else:
        unit.job_done()


def begin_of(owner: Owner) -> str:
    """Opens a transaction in which nobody ends the owner's life; a life that is nobody's goes on."""
    if owner.epoch == 0:
        return "BEGIN; SELECT 1"
    return f"BEGIN; SELECT 1 FROM owners WHERE id = {owner.id} AND epoch = {owner.epoch} FOR KEY SHARE"  # noqa: S608  (integers of ours)


def is_alive(begun: str) -> bool:
    """Whether the life goes on, by the answer to ``begin_of``."""
    return begun == "SELECT 1"
