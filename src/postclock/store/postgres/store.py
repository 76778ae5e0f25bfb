"""The PostgreSQL store, composed: a thread for the database, a line of writers for each purpose, readers, a pulse, one owner."""

import asyncio
import contextlib
from pathlib import Path
from random import SystemRandom
from typing import Final

import asyncpg

from postclock.core.clock import Clock
from postclock.core.errors import Busy, PostclockError
from postclock.core.ids import MAX_NODE, week_of
from postclock.runtime.clock import SystemClock
from postclock.runtime.log import get_logger
from postclock.runtime.server_clock import ServerClock
from postclock.store.inspection import Inspection
from postclock.store.postgres import migrate, owners
from postclock.store.postgres.claiming import Floors
from postclock.store.postgres.connection import LOST, READING, WRITING, History, busy_of, connect
from postclock.store.postgres.desk import PostgresDesk
from postclock.store.postgres.inspect import inspect
from postclock.store.postgres.ledger import PostgresLedger
from postclock.store.postgres.line import Line
from postclock.store.postgres.loop_thread import LoopThread
from postclock.store.postgres.messages import PostgresMessages
from postclock.store.postgres.pulse import Pulse
from postclock.store.postgres.readers import Readers
from postclock.store.postgres.transactor import Transactor
from postclock.store.postgres.weeks import ensure_weeks, known_weeks
from postclock.store.records import Owner
from postclock.store.tables.accounts import StoredAccounts
from postclock.store.tables.desk import Run
from postclock.store.tables.domains import StoredDomains
from postclock.store.tables.metering import StoredMetering
from postclock.store.tables.notes import StoreNotes, note
from postclock.store.tables.outbox import StoredOutbox
from postclock.store.tables.suppressions import StoredSuppressions
from postclock.store.tables.templates import StoredTemplates

RESULTS, CLAIMS, ACCEPTS, SLOW = range(owners.WRITERS)
TIME_SECONDS: Final = 1.0
"""How often the server is asked for the time."""
END_SECONDS: Final = 8.0
"""How long what is under way at the end may take: a connection that is just being opened, for one."""
TIME_ASKED: Final = 5
"""How often at the start: the quickest answer says most."""
STILL_SECONDS: Final = 10
"""A beat that stands still for so long tells of a process that was killed."""
HISTORY_FILE: Final = "history"
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8"
_log = get_logger("store")


class CannotOpen(PostclockError):
    """The database cannot be worked with; the message says why."""


class PostgresStore(StoreNotes):
    """store.interface.Store over one database."""

    def __init__(
        self, dsn: str, thread: LoopThread, history: History, owner: Owner, last_beat: int | None, clock: ServerClock
    ) -> None:
        hand = SystemClock()
        self.clock = clock
        """The server's time."""
        self.last_beat = last_beat
        """When any process was last heard of (UTC milliseconds); None for a new store."""
        self.dsn = dsn
        self._thread = thread
        self._history = history
        self._owner = owner
        self._hand = hand
        self._weeks: set[int] = set()
        self._pulse_thread = LoopThread()
        self._pulse = Pulse(self._pulse_thread, dsn, hand, history, lambda at: self.ledger.heard(at))
        self._readers = Readers(dsn, history, connections=4, settings=READING)
        self._seekers = Readers(dsn, history, connections=3, settings=WRITING)
        """For the ledger's own readings, by ids and along an index."""
        lines = [
            Line(dsn, hand, history, owner, number, loop=thread.loop, on_ready=self._ready, before=self._ensure_weeks)
            for number in (RESULTS, CLAIMS, ACCEPTS)
        ]
        self._lines = lines
        self._slow = Transactor(dsn, hand, history, owner.id, SLOW)
        desk = PostgresDesk(thread, self._readers, self._slow, self._ready_elsewhere)
        super().__init__(desk)
        self._desk_of_store = desk
        self.ledger = PostgresLedger(
            dsn=dsn, history=history, thread=thread, desk=desk, readers=self._seekers, results=lines[RESULTS], claims=lines[CLAIMS],
            pulse=self._pulse, owner=owner,
            floors=Floors(hand),
        )  # fmt: skip
        self.messages = PostgresMessages(desk, thread, self._seekers, lines[RESULTS], lines[ACCEPTS], owner)
        self.accounts = StoredAccounts(desk)
        self.domains = StoredDomains(desk)
        self.templates = StoredTemplates(desk)
        self.metering = StoredMetering(desk)
        self.suppressions = StoredSuppressions(desk)
        self.outbox = StoredOutbox(desk)
        self._ending = asyncio.Event()
        self._loops = [thread.begin(work) for work in (line.run() for line in lines)]
        self._loops += [self._pulse_thread.begin(work) for work in (self._pulse.run_telling(), self._follow_time())]
        if owner.epoch:
            self._loops.append(self._pulse_thread.begin(self._pulse.run_listening()))

    def _ready(self, at: int) -> None:
        self.ledger.heard(at)
        self._pulse.tell(at)

    def _ready_elsewhere(self, at: int) -> None:
        self._thread.loop.call_soon_threadsafe(self._ready, at)

    async def _ensure_weeks(self, weeks: set[int]) -> None:
        missing = weeks - self._weeks
        if not missing:
            return
        try:
            connection = await connect(self.dsn, self._history)
            try:
                await ensure_weeks(connection, missing)
                self._weeks |= missing
            finally:
                await connection.close()
        except (asyncpg.PostgresError, *LOST) as error:
            raise busy_of(error) from error

    async def _follow_time(self) -> None:
        while not self._ending.is_set():
            try:
                await self._pulse.run(lambda c: ask_time(c, self._hand, self.clock))
            except Busy:
                pass  # the own hand carries the time on
            except Exception:  # noqa: BLE001  (the clock must be followed on)
                _log.exception("the server's time was not read")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TIME_SECONDS):
                    await self._ending.wait()

    def note(self, key: str) -> str | None:
        """``meta`` for the assembly, which puts a process together before there is an event loop."""

        def read(run: Run) -> str | None:
            return note(run, key)

        return self._thread.run(self._desk_of_store.read_here(read))

    def is_alone(self) -> bool:
        """Whether no process works on it. What was killed and nobody buried keeps a life: that is watched, and then ended."""
        return self._thread.run(self._is_alone())

    async def _is_alone(self) -> bool:
        before = await self.ledger.lives()
        for _ in range(STILL_SECONDS if before else 0):
            await self._hand.sleep(1)
            if not set(await self.ledger.lives()) <= set(before):
                return False
        ended = [await self.ledger.end_life(life, self.clock.now_ms()) for life in await self.ledger.lives()]
        return all(ended)

    def close(self) -> None:
        """See Store."""
        self._thread.run(self._close())
        self._desk_of_store.close()
        self._pulse_thread.stop()
        self._thread.stop()

    async def _close(self) -> None:
        await asyncio.gather(*(line.close() for line in self._lines))
        self._pulse_thread.loop.call_soon_threadsafe(self._ending.set)
        await self._slow.close()
        try:
            await self._pulse.call(self._end)
        except Busy as busy:
            _log.warning("the end of this life was not noted: another process will find out", reason=str(busy))
        await self._pulse_thread.call(self._pulse.close())
        await self._readers.close()
        await self._seekers.close()
        _, left = await asyncio.wait([asyncio.wrap_future(loop) for loop in self._loops], timeout=END_SECONDS)
        if left:
            _log.warning("closed while something was still under way", tasks=len(left))

    async def _end(self, connection: asyncpg.Connection) -> None:
        if self._owner.epoch:
            await owners.end_own(connection, self._owner)
        else:
            await owners.drop_marks(connection, self._owner.id)


async def ask_time(connection: asyncpg.Connection, hand: Clock, clock: ServerClock) -> None:
    """Ask the server for the time, once."""
    asked = hand.monotonic()
    server_ms = await connection.fetchval(_NOW)
    clock.heard(server_ms, asked, hand.monotonic())


def open_store(dsn: str, clock: Clock | None = None, *, data: Path | None = None, api: bool = True) -> PostgresStore:
    """The store for ``serve``: begins a life. ``clock`` None: the server's. ``data``: where the history that was seen is kept.

    Raises CannotOpen when the database does not answer, SchemaMismatch when its schema and this application do not fit.
    """
    return _open(dsn, clock, data, lives=True, api=api)


def open_beside(dsn: str, clock: Clock | None = None, *, data: Path | None = None) -> PostgresStore:
    """The store for a command: no life, no claims. Raises as open_store."""
    return _open(dsn, clock, data, lives=False, api=False)


def inspect_store(dsn: str, *, thorough: bool) -> Inspection:
    """A look at the store that changes nothing."""
    thread = LoopThread()
    try:
        return thread.run(inspect(dsn, thorough=thorough))
    finally:
        thread.stop()


def migrate_store(dsn: str) -> int:
    """Bring the schema up to date; how many migrations ran. Raises CannotOpen, SchemaMismatch."""
    thread = LoopThread()

    async def work() -> int:
        connection = await connect(dsn, History())
        try:
            return await migrate.migrate(connection)
        finally:
            await connection.close()

    try:
        return thread.run(work())
    except (asyncpg.PostgresError, Busy, *LOST) as error:
        raise CannotOpen(f"the database cannot be migrated: {error}") from error
    finally:
        thread.stop()


def _open(dsn: str, clock: Clock | None, data: Path | None, *, lives: bool, api: bool) -> PostgresStore:
    thread = LoopThread()
    history = History(None if data is None else data / HISTORY_FILE)
    try:
        server = ServerClock(SystemClock())
        owner, last, weeks = thread.run(_begin(dsn, history, server, clock, lives=lives, api=api))
    except BaseException as error:
        thread.stop()
        if isinstance(error, (asyncpg.PostgresError, Busy, *LOST)):
            raise CannotOpen(f"the database cannot be worked with: {str(error) or type(error).__name__}") from error
        raise
    store = PostgresStore(dsn, thread, history, owner, last, server)
    store._weeks = weeks
    return store


async def _begin(
    dsn: str, history: History, server: ServerClock, clock: Clock | None, *, lives: bool, api: bool
) -> tuple[Owner, int | None, set[int]]:
    connection = await connect(dsn, history, settings=dict(WRITING))
    try:
        await migrate.require(connection)
        for _ in range(TIME_ASKED):
            await ask_time(connection, SystemClock(), server)
        now = (clock or server).now_ms()
        await ensure_weeks(connection, range(week_of(now), week_of(now) + 3))
        weeks = await known_weeks(connection)
        if lives:
            return *(await owners.register(connection, now, api=api)), weeks
        nobody = Owner(-1 - SystemRandom().getrandbits(62), 0, MAX_NODE)
        async with connection.transaction():
            await owners.add_marks(connection, nobody.id, now)
        return nobody, None, weeks
    finally:
        await connection.close()
