"""The connections to one host: kept, bounded, warmed, and left alone while the host is in trouble.

A message asks for a connection and waits its turn; a host that refuses is not knocked at again before its time, however
many messages wait for it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from postclock.core.clock import Clock
from postclock.core.outcome import Outcome, Phase, Trouble
from postclock.courier.interface import Delivery, Envelope, HostUnavailable, OnPoint
from postclock.courier.session import Session, StaleConnection

BACKOFF_FIRST: Final = 1.0
BACKOFF_MOST: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many connections a host gets, how many messages each of them, and after how many idle seconds one is closed."""

    connections: int = 32
    messages: int = 1_000
    idle: float = 60.0
    goodbye: float = 5.0


class PooledConnection:
    """A lent session. A kept one that turns out to be gone before MAIL was answered is replaced once, by a fresh one."""

    __slots__ = ("_aborted", "_pool", "_replacing", "session")

    def __init__(self, pool: "HostPool", session: Session) -> None:
        self._pool = pool
        self.session = session
        self._aborted = False
        self._replacing: asyncio.Timeout | None = None

    @property
    def dot_sent(self) -> bool:
        """See ``interface.Connection``."""
        return self.session.dot_sent

    async def deliver(
        self, envelope: Envelope, content: bytes | memoryview, on_point: OnPoint | None = None
    ) -> Delivery:
        """See ``interface.Connection``."""
        try:
            delivery = await self.session.deliver(envelope, content, on_point)
        except StaleConnection:
            try:
                await self._renew()
            except HostUnavailable as gone:
                return self._pool.unserved(envelope, gone)
            delivery = await self.session.deliver(envelope, content, on_point)
        self._pool.note(delivery)
        return delivery

    async def _renew(self) -> None:
        # Opening may take minutes: an abort must end it, and a fresh session must not carry away what was given up.
        if not self._aborted:
            try:
                async with asyncio.timeout(None) as self._replacing:
                    self.session = await self._pool.replace(self.session)
            except TimeoutError:
                pass  # only an abort sets its end
            finally:
                self._replacing = None
        if self._aborted:
            self.session.abort()
            raise HostUnavailable(Trouble.ABORTED.value)

    def abort(self) -> None:
        """See ``interface.Connection``."""
        self._aborted = True
        self.session.abort()
        if self._replacing is not None:
            self._replacing.reschedule(0)


class HostPool:
    """``open_one`` opens a session or raises HostUnavailable. All methods belong to one event loop."""

    def __init__(
        self, open_one: Callable[[], Awaitable[Session]], *, host: str, clock: Clock, limits: PoolLimits | None = None
    ) -> None:
        self._open_one = open_one
        self._host = host
        self._clock = clock
        self._limits = limits or PoolLimits()
        self._idle: deque[Session] = deque()
        self._sessions: set[Session] = set()
        self._opening = 0
        # A waiter gets a session, or None: a place, to open one itself.
        self._waiters: deque[asyncio.Future[Session | None]] = deque()
        self._failures = 0
        self._closed_until = 0.0
        self._last_refusal: HostUnavailable | None = None
        self._reaper: asyncio.TimerHandle | None = None
        self._shut = False

    @property
    def open_connections(self) -> int:
        """Connections that exist, lent ones included."""
        return len(self._sessions)

    @property
    def idle_connections(self) -> int:
        """Connections that wait to be lent."""
        return len(self._idle)

    @property
    def idle(self) -> tuple[Session, ...]:
        """Those connections."""
        return tuple(self._idle)

    async def acquire(self) -> PooledConnection:
        """A connection, usable at once. Waits in line while all are lent; raises HostUnavailable."""
        while True:
            if self._shut:
                raise HostUnavailable("the courier is closed")
            session = self._take_idle() if not self._waiters else None
            if session is not None:
                return PooledConnection(self, session)
            if self._may_open() and not self._waiters:
                self._opening += 1
            else:
                self._refuse_if_hopeless()
                session = await self._wait_in_line()
                if session is not None:
                    return PooledConnection(self, session)
            try:
                return PooledConnection(self, await self._open())
            except HostUnavailable:
                if not self._sessions and not self._opening:
                    raise
                # The host takes no more but serves those that exist (a limit of connections): wait for one of them.

    def release(self, connection: PooledConnection) -> None:
        """Take a connection back; one that is broken or has served its number is dropped."""
        session = connection.session
        if session not in self._sessions:
            return
        if self._shut or not session.usable or session.served >= self._limits.messages:
            self._drop(session)
            self._grant()
            return
        session.kept = True
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(session)
                return
        self._keep(session)

    async def warm(self, n: int) -> None:
        """Open connections until ``n`` exist (within the limit), side by side; failures are silent."""
        missing = min(n, self._limits.connections) - len(self._sessions) - self._opening
        if missing <= 0 or self._shut or not self._may_open():
            return
        if self._failures:
            missing = 1
        async with asyncio.TaskGroup() as tasks:
            for _ in range(missing):
                tasks.create_task(self._open_ahead())

    async def close(self) -> None:
        """Quit idle connections, abort lent ones, wait until every socket is closed."""
        self._shut = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        self._fail_waiters(HostUnavailable("the courier is closed"))
        sessions = list(self._sessions)
        for session in self._idle:
            session.quit()
        self._idle.clear()
        for session in sessions:
            session.abort()
        if not sessions:
            return
        _, late = await asyncio.wait([s.wire.lost for s in sessions], timeout=self._limits.goodbye)
        if late:
            for session in sessions:
                session.wire.cut()
            await asyncio.wait(late, timeout=self._limits.goodbye)

    async def replace(self, stale: Session) -> Session:
        """A fresh session in the place of a lent one that is gone; raises HostUnavailable."""
        self._sessions.discard(stale)
        if self._shut:
            raise HostUnavailable("the courier is closed")
        if self._failures and self._clock.monotonic() < self._closed_until:
            self._grant()  # the last connection may have gone: nobody else would tell those in line
            raise self._refusal()
        self._opening += 1
        return await self._open()

    def unserved(self, envelope: Envelope, gone: HostUnavailable) -> Delivery:
        """The delivery of a message for which no connection was left: deferred, and the host's fault."""
        outcome = Outcome(
            state="deferred", phase=Phase.CONNECT, reply=gone.reply, reason=gone.reason, host_trouble=True
        )
        return Delivery(
            outcomes=(outcome,) * len(envelope.recipients),
            reply=gone.reply,
            data_at_ms=None,
            replied_at_ms=self._clock.now_ms(),
            host=self._host,
        )

    def note(self, delivery: Delivery) -> None:
        """Learn from a delivery whether the host is well."""
        if delivery.host_trouble:
            text = next(o.text for o in delivery.outcomes if o.host_trouble)
            self._trip(HostUnavailable(text, delivery.reply, phase=Phase.MAIL), self._clock.monotonic())
        elif self._failures and delivery.reply is not None:
            self._failures = 0
            self._closed_until = 0.0
            self._grant()

    # Inside.

    def _may_open(self) -> bool:
        if len(self._sessions) + self._opening >= self._limits.connections:
            return False
        if not self._failures:
            return True
        # After a failure one connection at a time knocks, and none before its time.
        return not self._opening and self._clock.monotonic() >= self._closed_until

    def _refuse_if_hopeless(self) -> None:
        if not self._sessions and not self._opening and self._last_refusal is not None and not self._may_open():
            raise self._refusal()

    def _refusal(self) -> HostUnavailable:
        last = self._last_refusal
        assert last is not None, "only asked after a failure"
        wait = max(0.0, self._closed_until - self._clock.monotonic())
        retry_at_ms = self._clock.now_ms() + int(wait * 1000)
        return HostUnavailable(last.reason, last.reply, phase=last.phase, retry_at_ms=retry_at_ms)

    async def _wait_in_line(self) -> Session | None:
        waiter: asyncio.Future[Session | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise

    def _give_back(self, granted: Session | None) -> None:
        if granted is None:
            self._opening -= 1
            self._grant()
        else:
            self.release(PooledConnection(self, granted))

    async def _open(self) -> Session:
        """Open one; the place was already counted in ``_opening``."""
        began = self._clock.monotonic()
        try:
            session = await self._open_one()
        except HostUnavailable as refusal:
            self._opening -= 1
            self._trip(refusal, began)
            self._grant()
            raise self._refusal() from refusal
        except BaseException:
            self._opening -= 1
            self._grant()
            raise
        self._opening -= 1
        if self._shut:
            session.abort()
            raise HostUnavailable("the courier is closed")
        self._sessions.add(session)
        session.wire.on_lost = lambda: self._lost(session)
        self._grant()
        return session

    async def _open_ahead(self) -> None:
        if not self._may_open():
            return  # the places went to messages meanwhile
        self._opening += 1
        try:
            session = await self._open()
        except HostUnavailable:
            return
        self.release(PooledConnection(self, session))

    def _trip(self, refusal: HostUnavailable, began: float) -> None:
        self._last_refusal = refusal
        if self._failures and began < self._closed_until:
            return  # sixteen that failed side by side are one failure, not sixteen
        wait = min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._closed_until = self._clock.monotonic() + wait

    def _take_idle(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()  # the last used: the others grow old and are closed
            if session.usable:
                return session
            self._sessions.discard(session)
        return None

    def _keep(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        session.idle_since = loop.time()
        self._idle.append(session)
        if self._reaper is None:
            self._reaper = loop.call_later(self._limits.idle, self._reap)

    def _reap(self) -> None:
        self._reaper = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        old = [s for s in self._idle if now - s.idle_since >= self._limits.idle]
        for session in old:
            self._idle.remove(session)
            self._drop(session)
        if self._idle:
            oldest = min(s.idle_since for s in self._idle)
            self._reaper = loop.call_at(oldest + self._limits.idle, self._reap)

    def _drop(self, session: Session) -> None:
        self._sessions.discard(session)
        if session.usable:
            session.quit()
        else:
            session.abort()

    def _lost(self, session: Session) -> None:
        """The socket closed. A lent session is dropped when it is given back."""
        if session in self._idle:
            self._idle.remove(session)
            self._sessions.discard(session)
            self._grant()

    def _grant(self) -> None:
        """Give free places to those in line; when nobody will ever serve them, tell them."""
        while self._waiters and self._may_open():
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._opening += 1
                waiter.set_result(None)
        if self._waiters and not self._sessions and not self._opening and self._last_refusal is not None:
            self._fail_waiters(self._refusal())

    def _fail_waiters(self, refusal: HostUnavailable) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(refusal)
