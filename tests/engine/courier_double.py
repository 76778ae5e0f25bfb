"""A courier in memory: it takes what it is handed, keeps it, and answers as a test tells it to."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from postclock.core.clock import Clock
from postclock.core.outcome import Outcome, Phase, Trouble, broken, settled
from postclock.core.reply import Reply
from postclock.courier.interface import Connection, Delivery, Envelope, HostUnavailable, OnPoint

TAKEN: Final = Reply(250, "2.0.0", "taken")
LATER: Final = Reply(451, "4.3.0", "later")
NO_USER: Final = Reply(550, "5.1.1", "no such user")
CLOSING: Final = Reply(421, "4.3.2", "closing")
BROKEN: Final = broken(Phase.DOT, Trouble.LOST)
"""After the dot: nobody knows."""

Answer = Reply | Outcome | Exception


def outcome_of(answer: Reply | Outcome) -> Outcome:
    """What a reply to the final dot means."""
    if isinstance(answer, Outcome):
        return answer
    found = settled(Phase.DOT, answer)
    assert found is not None
    return found


@dataclass(frozen=True, slots=True)
class Handed:
    """One message as it was handed over; ``at_ms`` on the engine's clock."""

    envelope: Envelope
    content: bytes
    at_ms: int


@dataclass
class Double:
    """courier.interface.Courier without a socket. ``answers`` are used up one per message; then everything is taken."""

    clock: Clock
    connections: int = 64
    answers: deque[Answer] = field(default_factory=deque)
    refusals: deque[HostUnavailable] = field(default_factory=deque)
    handed: list[Handed] = field(default_factory=list)
    lent: set["DoubleConnection"] = field(default_factory=set)
    before_answer: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: conversations stop before the final dot until it is set."""
    may_open: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nobody gets a connection until it is set."""
    on_deliver: Callable[[Envelope], None] = lambda _: None
    closed: bool = False

    def __post_init__(self) -> None:
        self.before_answer.set()
        self.may_open.set()
        self._came = asyncio.Condition()

    async def came(self, n: int) -> list[Handed]:
        """All that was handed over, once there are ``n``."""
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: len(self.handed) >= n)
        return self.handed

    def addresses(self) -> list[str]:
        """To whom, in order."""
        return [r for h in self.handed for r in h.envelope.recipients]

    def route(self, domain: str) -> str:
        del domain
        return "double"

    async def acquire(self, route: str) -> Connection:
        del route
        await self.may_open.wait()
        if self.refusals:
            raise self.refusals.popleft()
        connection = DoubleConnection(self)
        self.lent.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        assert isinstance(connection, DoubleConnection)
        self.lent.remove(connection)

    async def warm(self, route: str, n: int) -> None:
        del route, n

    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        self.closed = True

    async def take(self, handed: Handed) -> None:
        async with self._came:
            self.handed.append(handed)
            self._came.notify_all()


class DoubleConnection:
    """courier.interface.Connection."""

    def __init__(self, courier: Double) -> None:
        self._courier = courier
        self._cut = asyncio.Event()
        self.dot_sent = False

    async def deliver(
        self, envelope: Envelope, content: bytes | memoryview, on_point: OnPoint | None = None
    ) -> Delivery:
        del on_point
        self.dot_sent = False
        courier = self._courier
        courier.on_deliver(envelope)
        await courier.take(Handed(envelope, bytes(content), courier.clock.now_ms()))
        if not courier.before_answer.is_set():
            waits = [asyncio.ensure_future(e.wait()) for e in (courier.before_answer, self._cut)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if self._cut.is_set():
            return self._delivery(envelope, broken(Phase.BODY, Trouble.ABORTED))
        answer = courier.answers.popleft() if courier.answers else TAKEN
        if isinstance(answer, Exception):
            raise answer
        outcome = outcome_of(answer)
        self.dot_sent = outcome.phase is Phase.DOT
        return self._delivery(envelope, outcome)

    def _delivery(self, envelope: Envelope, outcome: Outcome) -> Delivery:
        now = self._courier.clock.now_ms()
        return Delivery(
            outcomes=(outcome,) * len(envelope.recipients),
            reply=outcome.reply,
            data_at_ms=now,
            replied_at_ms=now,
            host="double.test",
            dot_sent=self.dot_sent,
        )

    def abort(self) -> None:
        self._cut.set()
