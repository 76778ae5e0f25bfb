"""Asking the DNS: each answer is remembered for as long as its TTL says. TXT records are what sending domains are verified by,
MX and address records what a recipient's domain is looked at for.

The answers come from strangers: their number and size are bounded, and so is the time that a question may take.
"""

import asyncio
import socket
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.txtbase import TXTBase

from postclock.core.errors import Busy

TRY_SECONDS: Final = 2.0  # one question to one server: a lost datagram is asked for again after this
LIFETIME_SECONDS: Final = 6.0  # all tries together; somebody waits for the answer
MAX_RECORDS: Final = 50  # TXT records of one name that are looked at; big domains have some thirty
MAX_TEXT: Final = 4096  # octets of one record: several times a DKIM key of 4096 bits
REMEMBERED: Final = 1000  # names
MOST_AT_ONCE: Final = 200  # questions; each holds a socket until it is answered, and callers name servers that never do


class DnsUnavailable(Busy):
    """The DNS gave no answer, so nothing is known about the name; the message says what happened."""


class NoResolver(DnsUnavailable):
    """Neither the settings nor the system name a resolver."""


class _Found(dns.resolver.LRUCache):
    """Remembers what was found only: who looks in vain publishes the record and asks again."""

    def put(self, key: dns.resolver.CacheKey, value: dns.resolver.Answer) -> None:
        if value.rrset is not None:
            super().put(key, value)


class Resolver:
    """``server`` is ``host:port``, or empty for the system's resolver. Nothing is looked up before the first question."""

    def __init__(
        self, server: str = "", *, try_seconds: float = TRY_SECONDS, lifetime: float = LIFETIME_SECONDS
    ) -> None:
        self._server = server
        self._try_seconds = try_seconds
        self._lifetime = lifetime
        self._made: dns.asyncresolver.Resolver | None = None
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    async def txt(self, name: str) -> list[str]:
        """The TXT records of a name, the strings of each joined; none when there is no such name. Raises DnsUnavailable."""
        answer = await self._ask(name, dns.rdatatype.TXT, f"{name}: ")
        if answer is None or answer.rrset is None:
            return []
        found = (b"".join(record.strings) for record in list(answer.rrset)[:MAX_RECORDS] if isinstance(record, TXTBase))
        return [text.decode("utf-8", "replace") for text in found if len(text) <= MAX_TEXT]

    async def mx(self, name: str) -> list[str]:
        """The hosts of a domain's MX records, ``""`` for a null MX (RFC 7505); none when it has none. Raises DnsUnavailable."""
        answer = await self._ask(name, dns.rdatatype.MX, f"{name}: ")
        if answer is None or answer.rrset is None:
            return []
        found = (record for record in list(answer.rrset)[:MAX_RECORDS] if isinstance(record, MX))
        return [record.exchange.to_text(omit_final_dot=True).strip(".").lower() for record in found]

    async def has_address(self, name: str) -> bool:
        """Whether a name has an A or an AAAA record. Raises DnsUnavailable."""
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            answer = await self._ask(name, kind, f"{name}: ")
            if answer is not None and answer.rrset is not None:
                return True
        return False

    async def is_configured(self) -> bool:
        """Whether there is a resolver to ask. Raises DnsUnavailable when the one that is named cannot be found."""
        try:
            await self._resolver()
        except NoResolver:
            return False
        return True

    async def addresses(self, name: str) -> list[str]:
        """The IPv4 and IPv6 addresses of a name; none when there is no such name. Raises DnsUnavailable."""
        found: list[str] = []
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            answer = await self._ask(name, kind, f"{name}: ")
            if answer is not None and answer.rrset is not None:
                found += [record.to_text() for record in list(answer.rrset)[:MAX_RECORDS]]
        return found

    async def answers(self) -> str:
        """Ask for what every resolver knows, the root's servers; who answered. Raises DnsUnavailable."""
        await self._ask(".", dns.rdatatype.NS, "")
        return await self._name()

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType, about: str) -> dns.resolver.Answer | None:
        resolver = await self._resolver()
        try:
            async with asyncio.timeout(self._lifetime):
                await self._room.acquire()
        except TimeoutError as error:
            raise DnsUnavailable(f"{about}too many questions wait for an answer of the DNS") from error
        try:
            return await resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return None
        except (dns.exception.DNSException, OSError) as error:
            raise DnsUnavailable(f"{about}the DNS resolver {await self._name()} {self._why(error)}") from error
        finally:
            self._room.release()

    def _why(self, error: Exception) -> str:
        match error:
            case dns.resolver.LifetimeTimeout():
                return f"did not answer in {self._lifetime:g} s"
            case dns.resolver.NoNameservers():
                # The last server's own word, such as SERVFAIL or REFUSED.
                tried = error.kwargs.get("errors") or []
                words = [str(attempt[3]) for attempt in tried if len(attempt) > 3]
                return f"gave no usable answer: {words[-1]}" if words else "gave no usable answer"
            case _:
                return f"could not be asked: {error}"

    async def _name(self) -> str:
        return self._server or ", ".join(str(server) for server in (await self._resolver()).nameservers)

    async def _resolver(self) -> dns.asyncresolver.Resolver:
        if self._made is None:
            self._made = made = await self._configured()
            made.timeout = self._try_seconds
            made.lifetime = self._lifetime
            made.cache = _Found(REMEMBERED)
        return self._made

    async def _configured(self) -> dns.asyncresolver.Resolver:
        if not self._server:
            try:
                return dns.asyncresolver.Resolver()
            except dns.resolver.NoResolverConfiguration as error:
                raise NoResolver("the system names no DNS resolver: set POSTCLOCK_DNS=host:port") from error
        host, _, port = self._server.rpartition(":")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        except OSError as error:
            raise DnsUnavailable(f"there is no DNS resolver {self._server}: {error.strerror}") from error
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.port = int(port)
        resolver.nameservers = [str(found[0][4][0])]
        return resolver
