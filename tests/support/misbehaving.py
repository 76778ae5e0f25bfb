"""A real TCP server that speaks SMTP as badly as it is told to.

A behaviour is a small coroutine over a ``Peer``: it says lines, hears commands, closes, floods or is silent. ``Peer.heard``
keeps every octet that came, so that a test can say what the server never saw.
"""

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


# Behaviours. Named for what they do wrong.


async def behaves(peer: Peer) -> None:
    """Nothing."""
    await peer.greet()
    await peer.accept_messages()


async def no_pipelining(peer: Peer) -> None:
    """Offers no PIPELINING and minds commands that come before their turn."""
    await peer.greet("250-peer.test\r\n250 8BITMIME")
    while True:
        command = await peer.hear()
        assert peer.hears_nothing_more, f"something came behind {command}"
        if command == "DATA":
            await peer.say("354 go on")
            await peer.hear_body()
        await peer.say("250 fine")


async def helo_only(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("502 5.5.1 what is EHLO")
    assert (await peer.hear()).startswith("HELO ")
    await peer.say("250 peer.test")
    await peer.accept_messages()


# Before any message.


async def closes_at_once(peer: Peer) -> None:
    peer.cut()


async def half_a_banner(peer: Peer) -> None:
    await peer.say_octets(b"220 pee")


async def silent_at_banner(peer: Peer) -> None:
    await peer.hear_out()


async def busy_at_banner(peer: Peer) -> None:
    await peer.say("421 4.3.2 too many connections")


async def refuses_at_banner(peer: Peer) -> None:
    await peer.say("554 5.7.1 your address is on a list")


async def not_smtp(peer: Peer) -> None:
    await peer.say("HTTP/1.1 400 Bad Request")


async def floods_the_banner(peer: Peer) -> None:
    for _ in range(10_000):
        await peer.say("220-and another line")
    await peer.hear_out()


async def endless_banner_line(peer: Peer) -> None:
    for _ in range(1_000):
        await peer.say_octets(b"220 " + b"x" * 65_536)
    await peer.hear_out()


async def two_banners(peer: Peer) -> None:
    await peer.say("220 one\r\n220 two")
    await peer.hear_out()


async def two_codes_in_one_reply(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("250-peer.test\r\n550 PIPELINING")
    await peer.hear_out()


async def busy_at_ehlo(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("421 4.3.2 going down")


async def closes_at_ehlo(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()


async def half_an_ehlo_reply(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("250-peer.test\r\n250-PIPELINING")


async def silent_at_ehlo(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear_out()


async def refuses_helo_too(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("550 no")
    await peer.hear()
    await peer.say("550 no")


# In the envelope. The commands come in one write; each behaviour hears them all first unless it says otherwise.


async def closes_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()


async def silent_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.hear_out()


async def busy_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("421 4.3.2 going down")


def refuses_mail(reply: str) -> Behaviour:
    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.take_envelope()
        await peer.say(f"{reply}\r\n503 5.5.1 need MAIL\r\n503 5.5.1 need RCPT")
        await peer.accept_messages()

    return behaviour


async def refuses_mail_yet_takes_data(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("550 5.7.1 not you\r\n250 fine\r\n354 go on")
    await peer.hear_out()


async def goes_on_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("354 go on\r\n250 fine\r\n354 go on")
    await peer.hear_out()


async def half_a_reply_to_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say_octets(b"250 2.1.0 fi")


async def garbage_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("\x00\xff okay then")
    await peer.hear_out()


def answers_recipients(*replies: str, data: str = "354 go on", end: str = "250 2.0.0 taken") -> Behaviour:
    """These replies to RCPT, that one to DATA; then hears a body when it said 354 and goes on well behaved."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.take_envelope()
        await peer.say("\r\n".join(["250 2.1.0 fine", *replies, data]))
        if data.startswith("354"):
            await peer.hear_body()
            await peer.say(end)
        await peer.accept_messages()

    return behaviour


def closes_after_replies(*replies: str) -> Behaviour:
    """These replies to the pipelined commands, then the line breaks."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.take_envelope()
        await peer.say("\r\n".join(replies))

    return behaviour


async def silent_at_rcpt(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("250 fine")
    await peer.hear_out()


async def silent_at_data(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("250 fine\r\n250 fine")
    await peer.hear_out()


async def takes_data_for_done(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("250 fine\r\n250 fine\r\n250 done")
    await peer.hear_out()


# In the body and after it.


async def answers_before_the_body(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("250 fine\r\n250 fine\r\n354 go on\r\n250 taken before it was sent")
    await peer.hear_out()


def answers_in_the_body(reply: str) -> Behaviour:
    """Reads a little of a large body, then answers and reads no more."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.accept_envelope()
        await peer.hear_octets(1_000)
        await peer.say(reply)
        await peer.hear_out()

    return behaviour


async def closes_in_the_body(peer: Peer) -> None:
    await peer.greet()
    await peer.accept_envelope()
    await peer.hear_octets(1_000)
    peer.cut()


class Stalls:
    """Reads the envelope and then nothing of the body until ``go_on`` is set; says when it has begun to stall."""

    def __init__(self) -> None:
        self.stalling = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.greet()
        await peer.accept_envelope()
        self.stalling.set()
        await self.go_on.wait()
        await peer.hear_body()
        await peer.say("250 2.0.0 taken")


def ends_with(octets: bytes) -> Behaviour:
    """Takes a whole body, answers it by these octets and closes."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.accept_envelope()
        await peer.hear_body()
        if octets:
            await peer.say_octets(octets)

    return behaviour


async def silent_after_the_dot(peer: Peer) -> None:
    await peer.greet()
    await peer.accept_envelope()
    await peer.hear_body()
    await peer.hear_out()


async def answers_the_dot_twice(peer: Peer) -> None:
    await peer.greet()
    await peer.accept_envelope()
    await peer.hear_body()
    await peer.say("250 2.0.0 taken\r\n250 2.0.0 taken again")
    await peer.hear_out()


# Between messages.


class DropsKept:
    """The first connection takes one message and then, when told to, closes, or says ``farewell`` and waits; later ones
    behave."""

    def __init__(self, farewell: bytes = b"") -> None:
        self._farewell = farewell
        self.leave = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.greet()
        if peer.number:
            await peer.accept_messages()
        await peer.accept_envelope()
        await peer.hear_body()
        await peer.say("250 2.0.0 taken")
        await self.leave.wait()
        if self._farewell:
            await peer.say_octets(self._farewell)
            await peer.hear_out()


class ClosesKeptAtMail:
    """The first connection takes one message and answers the next by ``farewell`` or by closing; later ones behave."""

    def __init__(self, farewell: bytes = b"") -> None:
        self._farewell = farewell

    async def __call__(self, peer: Peer) -> None:
        await peer.greet()
        if peer.number:
            await peer.accept_messages()
        await peer.accept_envelope()
        await peer.hear_body()
        await peer.say("250 2.0.0 taken")
        await peer.take_envelope()
        if self._farewell:
            await peer.say_octets(self._farewell)


# TLS and AUTH.


class OffersTls:
    """STARTTLS with that context. ``ahead`` is sent in the clear right behind the 220; ``refusal`` in its place."""

    def __init__(self, context: ssl.SSLContext, *, ahead: bytes = b"", refusal: str = "", auth: str = "") -> None:
        self._context = context
        self._ahead = ahead
        self._refusal = refusal
        self._auth = auth

    async def __call__(self, peer: Peer) -> None:
        await peer.greet("250-peer.test\r\n250-PIPELINING\r\n250 STARTTLS")
        command = await peer.hear()
        if command != "STARTTLS":
            await self._without(peer, command)
            return
        if self._refusal:
            await peer.say(self._refusal)
            await peer.accept_messages()
        await peer.say_octets(b"220 go\r\n" + self._ahead)
        await peer.start_tls(self._context)
        await peer.hear()
        await peer.say("250-peer.test\r\n" + (f"250-AUTH {self._auth}\r\n" if self._auth else "") + "250 PIPELINING")
        if self._auth:
            await _authenticate(peer)
        await peer.accept_messages()

    async def _without(self, peer: Peer, command: str) -> None:
        raise AssertionError(f"expected STARTTLS, heard {command}")


async def _authenticate(peer: Peer) -> None:
    command = await peer.hear()
    if command == "AUTH LOGIN":
        await peer.say("334 VXNlcm5hbWU6")
        await peer.hear()
        await peer.say("334 UGFzc3dvcmQ6")
        await peer.hear()
    await peer.say("235 2.7.0 welcome")


def offers_auth(mechanisms: str) -> Behaviour:
    """Lets anybody log in, in the clear."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet(f"250-peer.test\r\n250-PIPELINING\r\n250 AUTH {mechanisms}")
        await _authenticate(peer)
        await peer.accept_messages()

    return behaviour


def refuses_auth(reply: str) -> Behaviour:
    async def behaviour(peer: Peer) -> None:
        await peer.greet("250-peer.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN")
        await peer.hear()
        if reply:
            await peer.say(reply)
        await peer.hear_out()

    return behaviour


def offers(*extensions: str) -> Behaviour:
    """Well behaved, with these extensions alone."""

    async def behaviour(peer: Peer) -> None:
        lines = ["peer.test", *extensions]
        await peer.greet("\r\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]))
        await peer.accept_messages()

    return behaviour
