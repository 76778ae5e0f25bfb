"""A real SMTP peer that says what a test tells it to: a script per connection, over sockets, with or without TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

EHLO_REPLY = "250-peer.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 31457280"
PLAIN_EHLO_REPLY = "250 peer.test"


class Gone(Exception):
    """The client closed or cut the line."""


class Peer:
    """The server's side of one conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._reader = reader
        self._writer = writer
        self.number = number
        """0 for the first connection this server got, 1 for the second."""
        self.heard = bytearray()
        self.bodies: list[bytes] = []
        """Whole bodies: what came before a final dot, dots undone."""
        self.ended = asyncio.Event()

    async def say(self, text: str) -> None:
        """Send lines; the last CRLF is added."""
        await self.say_octets(text.encode() + b"\r\n")

    async def say_octets(self, data: bytes) -> None:
        """Send octets as they are."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Gone from error

    async def hear(self) -> str:
        """One command line, without its CRLF."""
        try:
            line = await self._reader.readuntil(b"\r\n")
        except asyncio.IncompleteReadError as error:
            self.heard += error.partial
            raise Gone from error
        except OSError as error:
            raise Gone from error
        self.heard += line
        return line[:-2].decode()

    @property
    def hears_nothing_more(self) -> bool:
        """Whether no octet came behind the command heard last (pipelined ones come in one segment with it)."""
        return not self._reader._buffer  # type: ignore[attr-defined]

    async def hear_body(self) -> bytes:
        """Everything up to the final dot, kept in ``bodies`` with its dots undone."""
        lines: list[bytes] = []
        while True:
            try:
                line = await self._reader.readuntil(b"\r\n")
            except asyncio.IncompleteReadError as error:
                self.heard += error.partial
                raise Gone from error
            except OSError as error:
                raise Gone from error
            self.heard += line
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        body = b"".join(lines)
        self.bodies.append(body)
        return body

    async def hear_octets(self, n: int) -> bytes:
        """At most ``n`` octets, whatever they are."""
        try:
            data = await self._reader.read(n)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self.heard += data
        return data

    async def hear_out(self) -> None:
        """Say nothing any more and hear everything until the client is gone."""
        while True:
            await self.hear_octets(65_536)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """The handshake, from the server's side."""
        try:
            await self._writer.start_tls(context)
        except OSError as error:
            raise Gone from error

    def cut(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    # Longer pieces of good behaviour, to reach the point where the bad begins.

    async def greet(self, ehlo: str = EHLO_REPLY) -> None:
        """Banner and EHLO."""
        await self.say("220 peer.test ESMTP")
        await self.hear()
        await self.say(ehlo)

    async def take_envelope(self) -> list[str]:
        """Hear MAIL, RCPT ... DATA and answer none of it."""
        commands = [await self.hear()]
        while not commands[-1].startswith("DATA"):
            commands.append(await self.hear())
        return commands

    async def accept_envelope(self) -> None:
        """Say yes to MAIL, RCPT ... DATA, each as it comes."""
        while True:
            command = await self.hear()
            if command == "DATA":
                await self.say("354 go on")
                return
            await self.say("250 2.1.0 fine")

    async def accept_messages(self) -> None:
        """Take one message after the other until the client goes."""
        while True:
            await self.accept_envelope()
            await self.hear_body()
            await self.say(f"250 2.0.0 taken {len(self.bodies)}")


Behaviour = Callable[[Peer], Awaitable[None]]


class Server:
    """A listening server; ``peers`` are its conversations so far."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None) -> None:
        self._behaviour = behaviour
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, limit=1 << 21)
        self.port = self._server.sockets[0].getsockname()[1]

    async def connected(self, n: int) -> None:
        """Wait until ``n`` connections have come."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.peers) >= n)

    async def all_ended(self) -> None:
        """Wait until every conversation so far is over."""
        for peer in tuple(self.peers):
            await peer.ended.wait()

    @property
    def heard(self) -> bytes:
        """All octets of all conversations."""
        return b"".join(bytes(p.heard) for p in self.peers)

    @property
    def bodies(self) -> list[bytes]:
        """All whole messages of all conversations."""
        return [body for p in self.peers for body in p.bodies]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer, len(self.peers))
        async with self._news:
            self.peers.append(peer)
            self._news.notify_all()
        try:
            await self._behaviour(peer)
        except (Gone, asyncio.CancelledError):
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.transport.abort() if task.cancelling() else writer.close()
            peer.ended.set()
            self._tasks.discard(task)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._server.wait_closed()


@asynccontextmanager
async def serving(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server with that behaviour, on 127.0.0.1; a failure inside the behaviour fails the test."""
    server = Server(behaviour, tls)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
    assert not server.failures, server.failures
