"""A real DNS server over UDP on 127.0.0.1, in a thread of its own, that answers as it is told: records, NXDOMAIN, SERVFAIL, silence.

with DnsServer() as server:
    server.txt("pc1._domainkey.example.org", "v=DKIM1; ...")
    resolver = Resolver(server.address)
"""

import asyncio
import threading
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

SILENCE = "silence"
Kind = str
"""A record type (TXT, MX, ...)."""


class DnsServer:
    """The server. Names without records are NXDOMAIN. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[tuple[str, str]] = []
        """(name, type) of every question, in order."""
        self._records: dict[tuple[str, Kind], dns.rrset.RRset] = {}
        self._failing: dict[str, dns.rcode.Rcode | str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None

    @property
    def address(self) -> str:
        """The value for POSTCLOCK_DNS."""
        return f"127.0.0.1:{self.port}"

    def txt(self, name: str, *texts: str | bytes, ttl: int = 300) -> None:
        """Publish TXT records in the place of those there are, each cut into strings of 255 octets; none: take them away."""
        rows = []
        for text in texts:
            octets = text.encode() if isinstance(text, str) else text
            rows.append(" ".join(f'"{_quoted(octets[i : i + 255])}"' for i in range(0, max(1, len(octets)), 255)))
        self._put(name, "TXT", ttl, rows)

    def mx(self, name: str, *hosts: tuple[int, str], ttl: int = 300) -> None:
        """Publish MX records."""
        self._put(name, "MX", ttl, [f"{preference} {host}." for preference, host in hosts])

    def a(self, name: str, *addresses: str, ttl: int = 300) -> None:
        """Publish addresses."""
        self._put(name, "A", ttl, list(addresses))

    def aaaa(self, name: str, *addresses: str, ttl: int = 300) -> None:
        """Publish IPv6 addresses."""
        self._put(name, "AAAA", ttl, list(addresses))

    def cname(self, name: str, target: str, ttl: int = 300) -> None:
        """Publish an alias."""
        self._put(name, "CNAME", ttl, [f"{target}."])

    def fail(self, name: str, rcode: str = "SERVFAIL") -> None:
        """Answer every question about a name with an error, or with SILENCE."""
        self._failing[_key(name)] = SILENCE if rcode == SILENCE else dns.rcode.from_text(rcode)

    def mend(self, name: str) -> None:
        """Answer about the name as usual again."""
        self._failing.pop(_key(name), None)

    def _put(self, name: str, kind: Kind, ttl: int, rows: list[str]) -> None:
        if rows:
            self._records[_key(name), kind] = dns.rrset.from_text_list(_key(name), ttl, "IN", kind, rows)
        else:
            self._records.pop((_key(name), kind), None)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), name="dns", daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._thread is not None
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _main(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        transport, _ = await self._loop.create_datagram_endpoint(lambda: _Datagrams(self), ("127.0.0.1", 0))
        self.port = transport.get_extra_info("sockname")[1]
        ready.set()
        await self._over.wait()
        transport.close()

    def answer(self, wire: bytes) -> bytes | None:
        """The answer to a question; None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name.rstrip("."), kind))
        response = dns.message.make_response(query, recursion_available=True)
        failure = self._failing.get(name)
        if failure == SILENCE:
            return None
        if isinstance(failure, dns.rcode.Rcode):
            response.set_rcode(failure)
            return response.to_wire()
        alias = self._records.get((name, "CNAME"))
        if alias is not None and kind != "CNAME":
            response.answer.append(alias)
            name = alias[0].to_text().rpartition(" ")[2].lower()
        found = self._records.get((name, kind))
        if found is not None:
            response.answer.append(found)
        elif alias is None and name != "." and not any(there == name for there, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire(max_size=65_535)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        answer = self._server.answer(data)
        if answer is not None:
            self._transport.sendto(answer, address)


def _key(name: str) -> str:
    return dns.name.from_text(name).to_text().lower()


def _quoted(octets: bytes) -> str:
    return "".join(chr(o) if 32 <= o < 127 and o not in b'"\\' else f"\\{o:03d}" for o in octets)
