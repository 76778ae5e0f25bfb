"""A way to the database that can fail: connections are refused or cut, and answers to COMMIT are lost after the server gave them."""

import asyncio
import contextlib
import socket
import struct
from typing import Final
from urllib.parse import parse_qs, unquote, urlencode, urlsplit, urlunsplit

COMMITTED: Final = b"C" + (4 + 7).to_bytes(4, "big") + b"COMMIT\x00"
"""The server's word that a transaction is durable (PostgreSQL's protocol, "CommandComplete")."""
READ_OCTETS: Final = 1 << 16
DEFAULT_PORT: Final = 5432
RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on loopback and hands everything on to the database of ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._links: set[_Link] = set()
        self._refusing = False
        self._server: asyncio.Server | None = None
        self.port = 0
        self.commits_lost = 0
        self.to_lose = 0

    @property
    def url(self) -> str:
        """The database's URL by way of this proxy; without TLS, or no answer would be recognized."""
        parts = urlsplit(self._url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items() if name not in ("host", "port")}
        user = parts.netloc.rpartition("@")[0]
        place = f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}"
        return urlunsplit((parts.scheme, place, parts.path, urlencode(query | {"sslmode": "disable"}), ""))

    async def listen(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more and cut everything."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def refuse(self) -> None:
        """The database is gone: what is open is cut, what comes is cut at once."""
        self._refusing = True
        self.cut()

    def let_in(self) -> None:
        """The database is back."""
        self._refusing = False

    def cut(self) -> None:
        """Reset every connection."""
        for link in tuple(self._links):
            link.cut()

    def lose_commits(self, n: int) -> None:
        """The answers to the next ``n`` COMMITs are lost; their connections break."""
        self.to_lose = n

    def takes_commit(self) -> bool:
        """Whether the answer to a COMMIT that passes now is to be lost."""
        if self.to_lose <= 0:
            return False
        self.to_lose -= 1
        self.commits_lost += 1
        return True

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            upstream = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), upstream)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._url)
        query = parse_qs(parts.query)
        port = int(query.get("port", [str(parts.port or DEFAULT_PORT)])[-1])
        host = unquote(query.get("host", [parts.hostname or "127.0.0.1"])[-1])
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection of the service and its counterpart."""

    def __init__(self, proxy: Proxy, near: _Ends, far: _Ends) -> None:
        self._proxy = proxy
        self._near = near
        self._far = far

    async def run(self) -> None:
        """Hand on, both ways, until one side ends."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._up())
            group.create_task(self._down())

    def cut(self) -> None:
        """Reset both sides."""
        for _, writer in (self._near, self._far):
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.family != socket.AF_UNIX:
                with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed already
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _up(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the other side was cut meanwhile (uvloop)
            while octets := await self._near[0].read(READ_OCTETS):
                self._far[1].write(octets)
                await self._far[1].drain()
        self.cut()

    async def _down(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while octets := await self._far[0].read(READ_OCTETS):
                if COMMITTED in octets and self._proxy.takes_commit():
                    break  # it took place; nobody hears of it
                self._near[1].write(octets)
                await self._near[1].drain()
        self.cut()
