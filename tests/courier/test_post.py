"""Posting webhooks: real servers on loopback, a real DNS server, and a client that goes nowhere else."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from postclock.courier.post import MAX_ANSWER, Forbidden, HttpPoster, connecting
from postclock.courier.post_targets import networks
from tests.support.dns_server import DnsServer
from tests.support.tls import another_authority, authority

NAME = "hooks.example.com"
HEADERS = {"Content-Type": "application/json", "X-Signature": "abc"}
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Receiver:
    """A server that keeps what it got."""

    def __init__(self) -> None:
        self.port = 0
        self.got: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0

    async def take(self, request: web.BaseRequest) -> None:
        self.got.append((request.method, request.path, dict(request.headers), await request.read()))


@asynccontextmanager
async def receiver(
    answer: Answer | None = None, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    found = Receiver()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await found.take(request)
        return web.Response(text="ok") if answer is None else await answer(request)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls)
    await site.start()
    found.port = runner.addresses[0][1]
    try:
        yield found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def poster(
    *allowed: str, dns: str = "", trust: ssl.SSLContext | None = None, total: float = 30.0
) -> AsyncIterator[HttpPoster]:
    made = HttpPoster(allowed=networks(allowed), dns=dns, trust=trust, total=total)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


async def test_a_post_arrives_over_verified_tls(dns: DnsServer) -> None:
    """The name from the settings' resolver, the body octet by octet, the headers as they are."""
    dns.a(NAME, "127.0.0.1")
    async with (
        receiver(tls=authority().server_context(NAME)) as server,
        poster("127.0.0.0/8", dns=dns.address, trust=authority().client_context()) as client,
    ):
        answered = await client.post(f"https://{NAME}:{server.port}/in", HEADERS, b'{"a": "\xc3\xa4"}')
        assert (answered.status, answered.reason, answered.is_taken) == (200, "", True)
        ((method, path, headers, body),) = server.got
        assert (method, path, body) == ("POST", "/in", b'{"a": "\xc3\xa4"}')
        assert headers["X-Signature"] == "abc"
        assert headers["Content-Type"] == "application/json"
        assert headers["User-Agent"].startswith("Postclock/")
        assert "Cookie" not in headers


async def test_a_certificate_that_nobody_vouches_for_is_refused(dns: DnsServer) -> None:
    """Nothing is posted to it."""
    dns.a(NAME, "127.0.0.1")
    async with (
        receiver(tls=another_authority().server_context(NAME)) as server,
        poster("127.0.0.0/8", dns=dns.address, trust=authority().client_context()) as client,
    ):
        answered = await client.post(f"https://{NAME}:{server.port}/in", HEADERS, b"{}")
        assert answered.status is None
        assert "certificate" in answered.reason
        assert server.got == []


async def test_a_name_that_leads_home_is_not_followed(dns: DnsServer) -> None:
    """Without permission nobody is reached behind a name, a literal or the machine's own names."""
    dns.a(NAME, "127.0.0.1")
    dns.aaaa("six.example.com", "::ffff:127.0.0.1")
    async with receiver(tls=authority().server_context(NAME)) as server:
        async with poster(dns=dns.address, trust=authority().client_context()) as client:
            for host in (NAME, "six.example.com", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"):
                answered = await client.post(f"https://{host}:{server.port}/", HEADERS, b"{}")
                assert answered.status is None, host
                assert answered.reason, host
        async with poster(trust=authority().client_context()) as client:
            for host in ("localhost", "127.1", "2130706433", "0x7f000001", "0"):
                answered = await client.post(f"https://{host}:{server.port}/", HEADERS, b"{}")
                assert answered.status is None, host
        assert server.got == []


async def test_a_redirect_is_not_followed(dns: DnsServer) -> None:
    """Wherever it leads: it is an answer like any other that is no 2xx."""
    dns.a(NAME, "127.0.0.1")
    async with receiver(host="127.0.0.2") as inside:

        async def lead_on(request: web.BaseRequest) -> web.StreamResponse:
            status = int(request.path.strip("/"))
            return web.Response(status=status, headers={"Location": f"http://127.0.0.2:{inside.port}/secret"})

        async with receiver(lead_on) as server, poster("127.0.0.1/32", dns=dns.address) as client:
            for status in (301, 302, 303, 307, 308):
                answered = await client.post(f"http://{NAME}:{server.port}/{status}", HEADERS, b"{}")
                assert (answered.status, answered.is_taken) == (status, False)
                assert "redirects are not followed" in answered.reason
            assert len(server.got) == 5
        assert inside.got == []


async def test_a_name_that_changes_its_mind_is_looked_at_again(dns: DnsServer) -> None:
    """What was allowed an hour ago is worth nothing: each connection asks anew."""
    dns.a(NAME, "127.0.0.1", ttl=0)

    async def close(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(headers={"Connection": "close"})

    async with receiver(close) as server, poster("127.0.0.1/32", dns=dns.address) as client:
        url = f"http://{NAME}:{server.port}/"
        assert (await client.post(url, HEADERS, b"{}")).is_taken
        dns.a(NAME, "127.0.0.2", ttl=0)
        answered = await client.post(url, HEADERS, b"{}")
        assert answered.status is None
        assert answered.reason == f"{NAME} has no address that may be posted to"
        assert len(server.got) == 1


async def test_of_several_addresses_only_those_that_may_be_are_tried(dns: DnsServer) -> None:
    """One forbidden address among them is passed over."""
    dns.a(NAME, "127.0.0.2", "127.0.0.1")
    async with (
        receiver(host="127.0.0.2") as inside,
        receiver() as server,
        poster("127.0.0.1/32", dns=dns.address) as client,
    ):
        assert (await client.post(f"http://{NAME}:{server.port}/", HEADERS, b"{}")).is_taken
        assert not (await client.post(f"http://{NAME}:{inside.port}/", HEADERS, b"{}")).is_taken
        assert inside.got == []


async def test_plain_http_goes_to_open_networks_alone(dns: DnsServer) -> None:
    """Not to the public internet, where anybody reads along."""
    dns.a(NAME, "8.8.8.8")
    async with poster("127.0.0.1/32", dns=dns.address) as client:
        answered = await client.post(f"http://{NAME}/", HEADERS, b"{}")
        assert answered.status is None
        assert "no address that may be posted to" in answered.reason


async def test_names_inside_are_not_told_from_those_that_are_not_there(dns: DnsServer) -> None:
    """A tenant who reads why a post failed learns nothing of the operator's network."""
    dns.a("db.example.com", "10.1.2.3")
    async with poster(dns=dns.address) as client:
        there = await client.post("https://db.example.com/", HEADERS, b"{}")
        nowhere = await client.post("https://no.example.com/", HEADERS, b"{}")
        assert there.reason.replace("db.", "no.") == nowhere.reason
    async with poster() as client:
        there = await client.post("https://localhost/", HEADERS, b"{}")
        nowhere = await client.post("https://nowhere.invalid/", HEADERS, b"{}")
        assert there.reason == "localhost has no address that may be posted to"
        assert "nowhere.invalid" in nowhere.reason or "resolution" in nowhere.reason  # a machine may be without any DNS


async def test_names_that_nobody_answers_hold_up_no_one_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's own threads stay free, and a name is asked for once however many posts wait for it."""
    answer = threading.Event()
    asked: list[str] = []

    def unanswered(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        answer.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unanswered)
    try:
        async with poster() as client, asyncio.TaskGroup() as group:
            hosts = [f"h{n}.example.com" for n in range(40)]
            posts = [
                group.create_task(client.post(f"https://{host}/", HEADERS, b"{}")) for host in hosts for _ in range(2)
            ]
            async with asyncio.timeout(20):
                while len(asked) < len(hosts):
                    await asyncio.to_thread(asked.copy)
            answer.set()
        assert sorted(asked) == sorted(hosts)
        assert {post.result().reason for post in posts} == {
            f"{host} has no address that may be posted to" for host in hosts
        }
    finally:
        answer.set()


async def test_an_answer_may_be_as_long_as_it_likes(dns: DnsServer) -> None:
    """Its first octets are read and thrown away; one without an end does not hold anybody up."""
    dns.a(NAME, "127.0.0.1")
    ended = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * MAX_ANSWER)
        finally:
            ended.set()

    async with receiver(endless) as server, poster("127.0.0.1/32", dns=dns.address) as client:
        assert (await client.post(f"http://{NAME}:{server.port}/", HEADERS, b"{}")).is_taken
        async with asyncio.timeout(20):
            await ended.wait()


async def test_an_answer_that_trickles_is_not_waited_for(dns: DnsServer) -> None:
    """Its status is there, and that is all that counts."""
    dns.a(NAME, "127.0.0.1")
    over = asyncio.Event()

    async def trickle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await over.wait()
        return response

    async with receiver(trickle) as server, poster("127.0.0.1/32", dns=dns.address, total=600.0) as client:
        async with asyncio.timeout(60):
            assert (await client.post(f"http://{NAME}:{server.port}/", HEADERS, b"{}")).is_taken
        over.set()


async def test_what_goes_wrong_is_told_in_a_line(dns: DnsServer) -> None:
    """No such name, nobody listening, no answer in time, an answer that is none."""
    dns.a(NAME, "127.0.0.1")

    left = asyncio.Semaphore(0)

    async def leave(writer: asyncio.StreamWriter) -> None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        left.release()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await leave(writer)

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"220 smtp.example.com ready\r\n")
        await leave(writer)

    async with poster("127.0.0.1/32", dns=dns.address) as client:
        gone = await client.post("http://nowhere.example.com/", HEADERS, b"{}")
        assert (gone.status, gone.reason != "") == (None, True)
        refused = await client.post(f"http://{NAME}:1/", HEADERS, b"{}")
        assert (refused.status, refused.reason != "") == (None, True)
        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            answered = await client.post(f"http://{NAME}:{port}/", HEADERS, b"{}")
            assert answered.status is None
            assert answered.reason == "what was answered is not HTTP"
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, poster("127.0.0.1/32", dns=dns.address, total=2.0) as client:
        port = server.sockets[0].getsockname()[1]
        assert (await client.post(f"http://{NAME}:{port}/", HEADERS, b"{}")).reason == "no answer in time"
    await left.acquire()
    await left.acquire()


def test_the_address_itself_is_looked_at_last() -> None:
    """However it came there: no socket is made for one that may not be."""
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))
    with pytest.raises(Forbidden, match=r"127\.0\.0\.1"):
        connecting(info, lambda _: False)
    connecting(info, lambda address: address == "127.0.0.1").close()
