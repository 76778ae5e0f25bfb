"""The failing way to a database: what passes, what is refused, and a COMMIT whose answer nobody hears."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from postclock.torture.proxy import COMMITTED, Proxy


def query(text: str) -> bytes:
    """A simple query as it goes over the line."""
    octets = text.encode() + b"\x00"
    return b"Q" + (4 + len(octets)).to_bytes(4, "big") + octets


class Database:
    """Answers a COMMIT as a server does, whatever else comes by "done"; and keeps it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while octets := await reader.read(1024):
            self.heard.append(octets)
            writer.write(COMMITTED if b"commit" in octets.lower() and b"'" not in octets else b"done")
        writer.close()


@contextlib.asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, Database]]:
    database = Database()
    server = await asyncio.start_server(database, "127.0.0.1", 0)
    proxy = Proxy(f"postgresql://user:pa%2Fss@127.0.0.1:{server.sockets[0].getsockname()[1]}/mail?application_name=x")
    await proxy.listen()
    try:
        yield proxy, database
    finally:
        proxy.close()
        server.close()


async def ask(proxy: Proxy, text: str) -> bytes:
    """What comes back; empty when the line broke."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(query(text))
        return await reader.read(1024)
    except OSError:
        return b""
    finally:
        writer.close()


async def test_it_hands_on() -> None:
    """Both ways; COMMITs too, unless they are to be lost."""
    async with proxied() as (proxy, database):
        assert await ask(proxy, "SELECT 1") == b"done"
        assert await ask(proxy, "COMMIT") == COMMITTED
        assert database.heard == [query("SELECT 1"), query("COMMIT")]


@pytest.mark.parametrize("text", ["COMMIT", "UPDATE groups SET seq = 7; COMMIT", "commit;"])
async def test_an_answer_is_lost(text: str) -> None:
    """The database hears the COMMIT and answers it; the caller's line breaks. The next one is answered again."""
    async with proxied() as (proxy, database):
        proxy.lose_commits(1)
        assert await ask(proxy, "SELECT 'COMMIT'") == b"done"
        assert await ask(proxy, text) == b""
        assert database.heard[-1] == query(text)
        assert proxy.commits_lost == 1
        assert await ask(proxy, text) == COMMITTED


async def test_an_outage() -> None:
    """Open connections break, new ones as well; afterwards everything is as before."""
    async with proxied() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(query("SELECT 1"))
        assert await reader.read(1024) == b"done"
        proxy.refuse()
        with contextlib.suppress(OSError):
            assert await reader.read(1024) == b""
        writer.close()
        assert await ask(proxy, "SELECT 1") == b""
        proxy.let_in()
        assert await ask(proxy, "SELECT 1") == b"done"


def test_the_url_leads_through_it() -> None:
    """User, password, database and options stay; the place is the proxy's, and TLS is off."""
    proxy = Proxy("postgresql://user:pa%2Fss@db.example:5433/mail?application_name=x&sslmode=require")
    proxy.port = 7
    assert proxy.url == "postgresql://user:pa%2Fss@127.0.0.1:7/mail?application_name=x&sslmode=disable"
    socketed = Proxy("postgresql://postgres:@/postgres?host=/tmp/pg&port=5433")
    socketed.port = 7
    assert socketed.url == "postgresql://postgres:@127.0.0.1:7/postgres?sslmode=disable"
