"""From a host and port to a session that takes mail: connect, banner, EHLO, STARTTLS, AUTH.

Whatever fails here is the host's trouble (HostUnavailable) and no message's: none was named yet.
"""

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from postclock.core.clock import Clock
from postclock.core.outcome import Phase, Trouble
from postclock.courier import tls
from postclock.courier.auth import Credentials, log_in
from postclock.courier.capabilities import Capabilities, capabilities
from postclock.courier.interface import HostUnavailable
from postclock.courier.session import Session
from postclock.courier.timeouts import Timeouts
from postclock.courier.tls import Security
from postclock.courier.unavailable import must, trouble_at
from postclock.courier.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where to connect and what to ask of the line. ``host`` is also the name the certificate must carry."""

    host: str
    port: int
    security: Security = Security.OPPORTUNISTIC
    credentials: Credentials | None = None


async def open_session(
    server: Server,
    *,
    hostname: str,
    clock: Clock,
    timeouts: Timeouts,
    verified: Callable[[], ssl.SSLContext] = tls.verified,
) -> Session:
    """A session past EHLO, TLS and AUTH. ``hostname`` is what we call ourselves; raises HostUnavailable."""
    loop = asyncio.get_running_loop()
    wire = Wire(loop)
    try:
        await _connect(loop, wire, server, timeouts, verified)
        offers = await _introduce(loop, wire, server, hostname, timeouts, verified)
        if server.credentials is not None:
            if not (_encrypted(wire) and server.security is not Security.OPPORTUNISTIC) and not _is_loopback(wire):
                raise HostUnavailable("the password would travel without verified TLS", phase=Phase.AUTH)
            await log_in(wire, offers, server.credentials, timeouts.auth)
    except BaseException:
        if wire.transport is not None:
            wire.cut()
        raise
    return Session(wire, host=server.host, capabilities=offers, timeouts=timeouts, clock=clock)


async def _connect(
    loop: asyncio.AbstractEventLoop,
    wire: Wire,
    server: Server,
    timeouts: Timeouts,
    verified: Callable[[], ssl.SSLContext],
) -> None:
    implicit = server.security is Security.IMPLICIT
    # The banner is expected before the socket is there: it may come in the same turn of the loop as the connection.
    wire.expect_banner(timeouts.banner)
    try:
        async with asyncio.timeout(timeouts.connect + (timeouts.handshake if implicit else 0)):
            if implicit:
                await loop.create_connection(
                    lambda: wire,
                    server.host,
                    server.port,
                    ssl=verified(),
                    server_hostname=server.host,
                    ssl_handshake_timeout=timeouts.handshake,
                    ssl_shutdown_timeout=timeouts.goodbye,
                )
            else:
                await loop.create_connection(lambda: wire, server.host, server.port)
    except TimeoutError as error:
        raise trouble_at(Phase.CONNECT, Trouble.TIMEOUT) from error
    except ssl.SSLError as error:
        raise trouble_at(Phase.CONNECT, Trouble.TLS, _why(error)) from error
    except OSError as error:
        raise trouble_at(Phase.CONNECT, Trouble.LOST, str(error)) from error
    banner = await wire.answers()
    must(wire, Phase.CONNECT, banner[0] if banner else None, 220)


async def _introduce(
    loop: asyncio.AbstractEventLoop,
    wire: Wire,
    server: Server,
    hostname: str,
    timeouts: Timeouts,
    verified: Callable[[], ssl.SSLContext],
) -> Capabilities:
    offers = await _ehlo(wire, hostname, timeouts)
    if server.security is Security.IMPLICIT:
        return offers
    if not offers.starttls:
        if server.security is Security.VERIFIED:
            raise HostUnavailable("the server does not offer STARTTLS", phase=Phase.STARTTLS)
        return offers
    reply = await wire.ask(b"STARTTLS\r\n", timeouts.command)
    if server.security is Security.OPPORTUNISTIC and reply is not None and reply.code >= 400 and reply.code != 421:
        return offers  # it may refuse; we did not insist (RFC 3207 section 4)
    must(wire, Phase.STARTTLS, reply, 220)
    # Octets after that 220 were written by somebody before the encryption began and would be read as if within it.
    if not wire.silent():
        raise trouble_at(Phase.STARTTLS, Trouble.TLS, "the server sent octets ahead of the handshake")
    context = verified() if server.security is Security.VERIFIED else tls.opportunistic()
    try:
        transport = await loop.start_tls(
            wire.transport,
            wire,
            context,
            server_hostname=server.host,
            ssl_handshake_timeout=timeouts.handshake,
            ssl_shutdown_timeout=timeouts.goodbye,
        )
    except TimeoutError as error:
        raise trouble_at(Phase.STARTTLS, Trouble.TIMEOUT) from error
    except (ssl.SSLError, OSError) as error:
        raise trouble_at(Phase.STARTTLS, Trouble.TLS, _why(error)) from error
    if transport is None or not wire.silent():
        if transport is not None:
            transport.abort()
        raise trouble_at(Phase.STARTTLS, wire.trouble or Trouble.TLS, wire.detail or "the line broke")
    wire.transport = transport
    return await _ehlo(wire, hostname, timeouts)  # what was offered in the clear counts no more (RFC 3207 4.2)


async def _ehlo(wire: Wire, hostname: str, timeouts: Timeouts) -> Capabilities:
    reply = await wire.ask(f"EHLO {hostname}\r\n".encode(), timeouts.command)
    if reply is not None and reply.code == 250:
        return capabilities(reply)
    if reply is not None and reply.code >= 500:
        # A server from before 1993, or one that plays it (RFC 5321 3.2): no extension then.
        must(wire, Phase.EHLO, await wire.ask(f"HELO {hostname}\r\n".encode(), timeouts.command), 250)
        return Capabilities()
    must(wire, Phase.EHLO, reply, 250)
    return Capabilities()


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error) or type(error).__name__


def _encrypted(wire: Wire) -> bool:
    return wire.transport.get_extra_info("ssl_object") is not None


def _is_loopback(wire: Wire) -> bool:
    """By the address we really reached, not by its name."""
    peer = wire.transport.get_extra_info("peername")
    return bool(peer) and ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback
