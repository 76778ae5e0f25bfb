"""A wire between a client and a PostgreSQL server that fails as tests say: cut, refused, frozen, or broken around a COMMIT.

with Proxy("127.0.0.1", cluster.port) as proxy:
    pool = await asyncpg.create_pool(proxy.url(cluster.dsn("postclock")))
    proxy.lose_commit_answer()
"""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

T = TypeVar("T")
HOST: Final = "127.0.0.1"
CHUNK: Final = 65_536
PATIENCE: Final = 30.0
"""Seconds for the proxy's thread to do what it is told."""

SSL_REQUEST: Final = 80_877_103
GSS_REQUEST: Final = 80_877_104
"""PostgreSQL documentation, "Message Formats": answered by one octet, N for no."""
COMMIT: Final = re.compile(rb"(?:^|;)\s*COMMIT\b(?!\s+PREPARED)", re.IGNORECASE)
"""A statement that commits, alone or among others of one message. END is left out: it closes blocks of PL/pgSQL as well."""


class Proxy:
    """The proxy, in a thread of its own. Methods return once what they promise holds; any thread may call them."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self.port = 0
        self.commits_lost = 0
        """COMMITs that the server has done and whose answer the client did not get."""
        self.commits_prevented = 0
        """COMMITs that the server has not seen."""
        self._target = target_host, target_port
        self._lose_answers = 0
        self._prevent = 0
        self._links: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._listener: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), name="proxy", daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)

    def url(self, dsn: str) -> str:
        """The DSN by way of this proxy."""
        parts = urlsplit(dsn)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}{HOST}:{self.port}"))

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    def aim(self, target_host: str, target_port: int) -> None:
        """Lead new connections to another server; those there are stay."""
        self._do(self._aim((target_host, target_port)))

    def cut(self) -> None:
        """Reset all connections, on both sides."""
        self._do(self._cut())

    def refuse(self) -> None:
        """An outage: reset all connections and refuse new ones until ``accept``."""
        self._do(self._refuse())

    def accept(self) -> None:
        """The end of an outage."""
        self._do(self._listen())

    def freeze(self) -> None:
        """Nothing passes any more, in either direction; connections stay open and new ones get no answer."""
        self._do(self._freeze(frozen=True))

    def thaw(self) -> None:
        """What waited passes, and all that comes."""
        self._do(self._freeze(frozen=False))

    def lose_commit_answer(self, n: int = 1) -> None:
        """The next ``n`` COMMITs are done by the server; instead of its answer, the client gets a reset connection.

        Told by the server's answer, so it counts only what is really committed, in whichever way the client asked. A statement outside
        a transaction block commits without such an answer and passes.
        """
        self._do(self._arm(answers=n))

    def lose_commit(self, n: int = 1) -> None:
        """The next ``n`` COMMITs do not reach the server: both sides are reset, and the transaction is rolled back.

        Told by the text of a simple query or of a statement to parse; a COMMIT that was prepared before passes.
        """
        self._do(self._arm(commits=n))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _main(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        # Never listens: it keeps the port ours while connections are refused.
        with socket.socket() as placeholder:
            placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            placeholder.bind((HOST, 0))
            self.port = placeholder.getsockname()[1]
            await self._listen()
            ready.set()
            await self._over.wait()
            await self._refuse()
            await asyncio.sleep(0)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, HOST, self.port, reuse_port=True, limit=CHUNK)

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._cut()

    async def _aim(self, target: tuple[str, int]) -> None:
        self._target = target

    async def _freeze(self, *, frozen: bool) -> None:
        if frozen:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _arm(self, *, answers: int = 0, commits: int = 0) -> None:
        self._lose_answers += answers
        self._prevent += commits

    async def _cut(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        if links:
            await asyncio.wait(links)
        await asyncio.sleep(0)  # The loop closes an aborted socket in its next turn.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        ends = [writer]
        ended_well = False
        try:
            if self._listener is None:  # Taken from the queue just before the outage.
                return
            from_server, to_server = await asyncio.open_connection(*self._target, limit=CHUNK)
            ends.append(to_server)
            talk = _Talk()
            async with asyncio.TaskGroup() as both:
                requests = both.create_task(self._pass(reader, to_server, talk.requests, self._prevents))
                answers = both.create_task(self._pass(from_server, writer, talk.answers, self._loses))
                await asyncio.wait([requests, answers], return_when=asyncio.FIRST_COMPLETED)
                requests.cancel()
                answers.cancel()
            ended_well = True
        except* (OSError, _Broken):
            pass
        finally:
            for end in ends:
                if not ended_well:
                    _reset(end)
                end.close()
            self._links.discard(link)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        whole: Callable[[bytearray], Iterator[bytes]],
        breaks: Callable[[bytes], bool],
    ) -> None:
        """Pass whole messages on until the sender has ended; _Broken at the message that breaks the connection."""
        waiting = bytearray()
        while octets := await reader.read(CHUNK):
            waiting += octets
            await self._flowing.wait()
            passing = []
            for message in whole(waiting):
                if breaks(message):
                    raise _Broken
                passing.append(message)
            writer.write(b"".join(passing))
            await writer.drain()
        await self._flowing.wait()

    def _prevents(self, request: bytes) -> bool:
        if not self._prevent or not _commits(request):
            return False
        self._prevent -= 1
        self.commits_prevented += 1
        return True

    def _loses(self, answer: bytes) -> bool:
        if not self._lose_answers or answer[:1] != b"C" or answer[5:] != b"COMMIT\0":
            return False
        self._lose_answers -= 1
        self.commits_lost += 1
        return True


class _Broken(Exception):
    """The connection is to be reset here."""


class _Talk:
    """What must be known of one connection to tell its messages apart."""

    def __init__(self) -> None:
        self._started = False
        self._short_answers = 0

    def requests(self, waiting: bytearray) -> Iterator[bytes]:
        """Take the client's whole messages off the front. Those before the session begins have no letter."""
        while message := _front(waiting, 1 if self._started else 0):
            if not self._started:
                if int.from_bytes(message[4:8]) in (SSL_REQUEST, GSS_REQUEST):
                    self._short_answers += 1
                else:
                    self._started = True
            yield message

    def answers(self, waiting: bytearray) -> Iterator[bytes]:
        """Take the server's whole messages off the front."""
        while self._short_answers and waiting:
            assert waiting[:1] == b"N", "the server would encrypt; what follows then cannot be read"
            self._short_answers -= 1
            del waiting[:1]
            yield b"N"
        while message := _front(waiting, 1):
            yield message


def _front(waiting: bytearray, letters: int) -> bytes:
    """The first message, taken off; nothing while it is not whole. Its length counts itself but not the letter before it."""
    if len(waiting) < letters + 4:
        return b""
    end = letters + int.from_bytes(waiting[letters : letters + 4])
    if len(waiting) < end:
        return b""
    message = bytes(waiting[:end])
    del waiting[:end]
    return message


def _commits(request: bytes) -> bool:
    match request[:1]:
        case b"Q":
            return COMMIT.search(request[5:-1]) is not None
        case b"P":
            return COMMIT.search(request[5:].split(b"\0")[1]) is not None
        case _:
            return False


def _reset(end: asyncio.StreamWriter) -> None:
    """Close it so that the other side gets RST and not FIN."""
    with suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.transport.abort()
