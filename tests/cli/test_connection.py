"""A caller's connection: heads of requests have a bound in size and in time, bodies and well-meant requests do not feel it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from postclock.cli import connection
from postclock.cli.connection import MAX_HEAD, BoundedConnection
from postclock.cli.server import quiet_server

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


async def counting(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with how many octets of body came."""
    assert scope["type"] == "http"
    size, more = 0, True
    while more:
        event = await receive()
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    text = b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """uvicorn on loopback, as ``serve`` sets it up."""
    config = uvicorn.Config(
        counting, host="127.0.0.1", port=0, http=BoundedConnection, ws="none", lifespan="off", log_config=None
    )
    config.load()
    state = uvicorn.server.ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedConnection(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def said(port: int, *pieces: bytes) -> bytes:
    """All that is answered until the server closes, or the first answer when it keeps the line open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(1000), 20)
    except ConnectionError:
        return b"cut"
    finally:
        writer.close()


@pytest.mark.parametrize(
    "endless",
    [
        [GET + b"X: ", *[b"a" * 65_536] * 64],
        [GET, *[b"X: a\r\n" * 10_000] * 64],
        [b"GET /?", *[b"a" * 65_536] * 64],
        [b"\r\n" * 32_768] * 64,
        [
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
            *[b"X: a\r\n" * 10_000] * 64,
        ],
    ],
    ids=["one header", "many headers", "the address", "empty lines", "trailers"],
)
async def test_a_head_without_end_is_cut(port: int, endless: list[bytes]) -> None:
    """A stranger is refused or cut after ``MAX_HEAD`` octets, whatever he fills the head with."""
    answer = await said(port, *endless)
    assert answer == b"cut" or answer.startswith(b"HTTP/1.1 400 "), answer


async def test_a_large_head_within_the_bound_is_taken(port: int) -> None:
    """Half of the bound in one header, twice on one connection: each head counts alone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(GET + b"X: " + b"a" * (MAX_HEAD // 2) + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_large_body_is_not_counted(port: int) -> None:
    """Bodies have bounds of their own, further in."""
    size = 20 * MAX_HEAD
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
    assert (await said(port, head, *[b"x" * MAX_HEAD] * 20)).endswith(b"\r\n\r\n%d" % size)


@pytest.mark.parametrize("start", [b"", b"GET / HT", GET], ids=["nothing", "half a line", "half a head"])
async def test_a_head_that_does_not_come_is_not_waited_for(
    port: int, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed without an answer; nobody holds one for nothing."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    assert await said(port, start) == b""


async def test_the_second_head_of_a_connection_is_not_waited_for_either(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One good request does not buy a connection for ever."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET + b"\r\n")
    assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"GET / HT")
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()


def test_an_idle_connection_is_kept_longer_than_clients_keep_theirs() -> None:
    """Whoever closes first cannot be cut off in the middle of a send: that is the client."""
    kept = httpx.Limits().keepalive_expiry
    assert kept is not None
    assert quiet_server(counting).config.timeout_keep_alive > max(kept, 60)
