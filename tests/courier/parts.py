"""What the courier's tests share: sessions to a test server, a message to send, a clock that is moved by hand."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from postclock.core.outcome import State
from postclock.courier.interface import Delivery, Envelope
from postclock.courier.opening import Server, open_session
from postclock.courier.session import Session
from postclock.courier.timeouts import Timeouts
from postclock.runtime.clock import SystemClock
from tests.support.scripted_server import Behaviour, serving
from tests.support.scripted_server import Server as TestServer
from tests.support.tls import authority

PATIENT = Timeouts()
SHORT = Timeouts(
    connect=5, banner=0.05, command=0.05, handshake=5, auth=0.05, mail=0.05, rcpt=0.05, data=0.05, block=0.05, dot=0.05
)
ONE = Envelope(mail_from="sender@example.com", recipients=("one@example.net",))
TWO = Envelope(mail_from="sender@example.com", recipients=("one@example.net", "two@example.net"))
MAIL = b"Subject: hello\r\n\r\nBody.\r\n"


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


def trusting() -> ssl.SSLContext:
    """What the product uses in the place of the system's authorities here."""
    return authority().client_context()


@asynccontextmanager
async def session_to(behaviour: Behaviour, timeouts: Timeouts = PATIENT) -> AsyncIterator[tuple[Session, TestServer]]:
    """An open session to a server with that behaviour."""
    async with serving(behaviour) as server:
        session = await open_session(
            Server(host="127.0.0.1", port=server.port),
            hostname="client.test",
            clock=SystemClock(),
            timeouts=timeouts,
        )
        try:
            yield session, server
        finally:
            session.abort()
            await session.wire.lost


async def delivered(
    behaviour: Behaviour, envelope: Envelope = ONE, content: bytes = MAIL, timeouts: Timeouts = PATIENT
) -> tuple[Delivery, TestServer]:
    """One delivery to a server with that behaviour, and the server when all is over."""
    async with session_to(behaviour, timeouts) as (session, server):
        delivery = await session.deliver(envelope, content)
        session.abort()
        await server.all_ended()
    return delivery, server


def states(delivery: Delivery) -> list[State]:
    return [o.state for o in delivery.outcomes]
