"""The built-in catch-all: a real SMTP server on loopback that takes everything, and the courier that delivers to it.

For trying the service out: mail goes through the same conversation as to any relay, ends in a bounded box and can go nowhere.
"""

import asyncio
import logging
from typing import Any, Final

from aiosmtpd.smtp import SMTP

from postclock.core.clock import Clock
from postclock.courier.box import Box
from postclock.courier.interface import Connection, HostUnavailable
from postclock.courier.pool import PoolLimits
from postclock.courier.relay import RelayAddress, RelayCourier
from postclock.courier.timeouts import Timeouts

MAX_MAIL: Final = 30 * 1024 * 1024
"""The SIZE it declares; the largest message accepted over HTTP is 20 MB, base64 adds a third."""
ROUTE: Final = "inbox"


class _Conversation(SMTP):
    """aiosmtpd's protocol, with lines as long as they come and its transport where the server can close it."""

    line_length_limit = 1024 * 1024

    def __init__(self, catcher: "_Catcher", open_ones: set["_Conversation"]) -> None:
        # A host name is given because the default would ask the DNS for one, in the loop.
        super().__init__(
            catcher, data_size_limit=MAX_MAIL, enable_SMTPUTF8=True, hostname="inbox.localhost", ident="Postclock inbox"
        )
        self._open_ones = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open_ones.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._open_ones.discard(self)
        super().connection_lost(error)

    def cut(self) -> "asyncio.Task[None] | None":
        """Close the socket at once; the task that then ends."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
        task: asyncio.Task[None] | None = self._handler_coroutine
        return task


class _Catcher:
    """aiosmtpd's hooks. Their names and arguments are its own."""

    def __init__(self, box: Box, clock: Clock) -> None:
        self._box = box
        self._clock = clock

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """Say that pipelining works: commands are read one by one from a buffer, so it always did."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep the mail."""
        mail_from = "" if envelope.mail_from == "<>" else envelope.mail_from
        arrival = self._box.add(mail_from, tuple(envelope.rcpt_tos), bytes(envelope.content), self._clock.now_ms())
        return f"250 2.0.0 caught as {arrival.sequence}"


class CatchAll:
    """The server: loopback only, any free port."""

    def __init__(self, box: Box, clock: Clock) -> None:
        self._catcher = _Catcher(box, clock)
        self._server: asyncio.Server | None = None
        self._conversations: set[_Conversation] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen; ``port`` is set after it."""
        # It logs every command with its address at level INFO.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Conversation(self._catcher, self._conversations), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut every conversation."""
        if self._server is None:
            return
        self._server.close()
        tasks = [task for c in tuple(self._conversations) if (task := c.cut()) is not None]
        if tasks:
            await asyncio.wait(tasks)
        await self._server.wait_closed()
        self._server = None


class InboxCourier:
    """A relay courier pointed at the built-in server. ``box`` holds what arrived."""

    def __init__(
        self,
        *,
        hostname: str,
        clock: Clock,
        box: Box | None = None,
        timeouts: Timeouts | None = None,
        limits: PoolLimits | None = None,
    ) -> None:
        self.box = box or Box()
        self._server = CatchAll(self.box, clock)
        self._hostname = hostname
        self._clock = clock
        self._timeouts = timeouts
        self._limits = limits
        self._relay: RelayCourier | None = None

    @property
    def port(self) -> int:
        """Where the server listens on 127.0.0.1; 0 before ``start``."""
        return self._server.port

    def route(self, domain: str) -> str:
        """One route: everything ends in the box."""
        del domain
        return ROUTE

    async def acquire(self, route: str) -> Connection:
        """See ``interface.Courier``."""
        if self._relay is None:
            raise HostUnavailable("the inbox is not open")
        return await self._relay.acquire(route)

    def release(self, connection: Connection) -> None:
        """See ``interface.Courier``."""
        if self._relay is not None:
            self._relay.release(connection)

    async def warm(self, route: str, n: int) -> None:
        """See ``interface.Courier``."""
        if self._relay is not None:
            await self._relay.warm(route, n)

    async def start(self) -> None:
        """Open the server."""
        await self._server.start()
        self._relay = RelayCourier(
            RelayAddress(host="127.0.0.1", port=self._server.port),
            hostname=self._hostname,
            clock=self._clock,
            timeouts=self._timeouts,
            limits=self._limits,
            route=ROUTE,
        )

    async def close(self) -> None:
        """Close the connections, then the server."""
        if self._relay is not None:
            await self._relay.close()
        await self._server.close()
