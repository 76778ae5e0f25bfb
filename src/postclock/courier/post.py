"""Posting webhooks over HTTP: to public addresses alone, over verified TLS, with bounds on everything that comes back.

A name is resolved anew for each connection, each address is looked at, and what was looked at is what is connected to: a name
that changes its mind in between changes nothing. Redirects are not followed.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from postclock import __version__
from postclock.courier.post_interface import Answered
from postclock.courier.post_targets import Network, fault_of, is_inside, is_public
from postclock.courier.resolver import DnsUnavailable, Resolver

TOTAL_SECONDS: Final = 30.0
"""From the look-up of the name to the end of the answer: what receivers are promised."""
CONNECT_SECONDS: Final = 10.0
MAX_ANSWER: Final = 4 * 1024
"""Octets of an answer that are read, and thrown away: with more, the connection is not used again."""
SKIM_SECONDS: Final = 2.0
"""How long the rest of an answer is waited for, once its status is there."""
MAX_ADDRESSES: Final = 16
"""Addresses of one name that are looked at."""
MAX_REASON: Final = 200
IDLE_SECONDS: Final = 4.0
"""How long a connection is kept for the next post: less than the five seconds after which common servers close it, for a post that
meets the closing has failed; and a thousand receivers would hold a thousand files open."""
LOOK_UPS: Final = 64
"""Names that the system looks up at once. Each holds a thread until it is answered, and callers choose servers that never do: the
threads are these look-ups' own, or the mail would wait for one as well."""


_NO_SUCH_NAME: Final = frozenset(
    number for name in ("EAI_NONAME", "EAI_NODATA") if (number := getattr(socket, name, None)) is not None
)


class Forbidden(OSError):
    """The target is not one that may be posted to; the message says why."""


class _System:
    """The system's resolver: the one that knows the machine's own names. Who asks for the same name waits for the same answer."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._asked: dict[str, asyncio.Future[list[Any]]] = {}

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a name; none when there is no such name. Raises OSError."""
        there = self._asked.get(host)
        if there is None:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="postclock-names")
            there = asyncio.get_running_loop().run_in_executor(
                self._threads, partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
            )
            self._asked[host] = there
            there.add_done_callback(partial(self._answered, host))
        try:
            found = await asyncio.shield(there)  # others may wait for it when this post has waited long enough
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                return []
            raise
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def _answered(self, host: str, answer: asyncio.Future[list[Any]]) -> None:
        del self._asked[host]
        if not answer.cancelled():
            answer.exception()  # looked at, also when nobody waits for it any more

    def close(self) -> None:
        """What is asked still is not waited for."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


class _Looked(AbstractResolver):
    """Resolves names, and gives out only addresses that may be connected to."""

    def __init__(self, names: Resolver | _System, may: Callable[[str], bool]) -> None:
        self._names = names
        self._may = may

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        good = [address for address in (await self._addresses(host))[:MAX_ADDRESSES] if self._may(address)]
        if (
            not good
        ):  # in the same words as a name that there is not: the receiver's owner need not learn the names inside
            raise Forbidden(f"{host} has no address that may be posted to")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in good
        ]

    async def _addresses(self, host: str) -> list[str]:
        try:
            return await self._names.addresses(host)
        except DnsUnavailable as error:
            raise OSError(str(error)) from error

    async def close(self) -> None:
        """Nothing is held."""


class HttpPoster:
    """courier.post_interface.Poster. ``dns`` empty: the system resolves names; ``trust`` replaces the system's certificates.

    Over plain http only ``allowed`` networks are posted to.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[Network] = (),
        dns: str = "",
        trust: ssl.SSLContext | None = None,
        total: float = TOTAL_SECONDS,
        connect: float = CONNECT_SECONDS,
    ) -> None:
        self._allowed = tuple(allowed)
        self._system = _System()
        self._names = Resolver(dns) if dns else self._system
        self._trust = trust
        self._timeout = aiohttp.ClientTimeout(total=total, connect=connect, sock_connect=connect)
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """See Poster."""
        fault = fault_of(url, self._allowed)
        if fault is not None:
            return Answered(status=None, reason=f"the URL {fault}")
        try:
            target = URL(url)
            async with self._session(target.scheme).post(
                target, data=body, headers=headers, allow_redirects=False
            ) as response:
                await _skim(response)
                return Answered(status=response.status, reason=_reason_of(response))
        except TimeoutError:
            return Answered(status=None, reason="no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answered(status=None, reason=_why(error))

    async def close(self) -> None:
        """See Poster."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        self._system.close()

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        if scheme not in self._sessions:
            may = self._may_plain if scheme == "http" else self._may
            self._sessions[scheme] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_Looked(self._names, may),
                    use_dns_cache=False,
                    ssl=self._trust or True,
                    limit=0,  # who posts bounds how much is posted at once
                    keepalive_timeout=IDLE_SECONDS,
                    socket_factory=lambda info: connecting(info, may),
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                headers={"User-Agent": f"Postclock/{__version__}"},
            )
        return self._sessions[scheme]

    def _may(self, address: str) -> bool:
        found = ip_address(address)
        return is_inside(found, self._allowed) or is_public(found)

    def _may_plain(self, address: str) -> bool:
        return is_inside(ip_address(address), self._allowed)


def connecting(info: tuple[Any, ...], may: Callable[[str], bool]) -> socket.socket:
    """The socket for an address (as socket.getaddrinfo tells of it), looked at last: a URL may name one without any look-up.

    Raises Forbidden.
    """
    family, kind, protocol, _, name = info
    if not may(str(name[0])):
        raise Forbidden(f"{name[0]} is not allowed")
    return socket.socket(family, kind, protocol)


async def _skim(response: aiohttp.ClientResponse) -> None:
    """Read what little an answer says, so that its connection can be used again; the status is known whatever happens here."""
    left = MAX_ANSWER
    try:
        async with asyncio.timeout(SKIM_SECONDS):
            while left > 0 and (some := await response.content.read(left)):
                left -= len(some)
    except (aiohttp.ClientError, OSError, TimeoutError):
        response.close()
    if not response.content.at_eof():
        response.close()


def _reason_of(response: aiohttp.ClientResponse) -> str:
    if 200 <= response.status < 300:
        return ""
    if 300 <= response.status < 400:
        return f"answered {response.status}: redirects are not followed"
    return f"answered {response.status}"


def _why(error: Exception) -> str:
    """What the operating system, the look-up or TLS said, without the words that HTTP puts around it."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            found: Exception = error.certificate_error
        case aiohttp.ClientConnectorError():
            found = error.os_error
        case aiohttp.ClientResponseError():  # its words have a status in them that nobody sent
            return "what was answered is not HTTP"
        case _:
            found = error
    return " ".join((str(found) or type(found).__name__).split())[:MAX_REASON]
