"""All mail through one relay: ``relay://[user:password@]host:port``, or ``relays://`` for TLS from the first octet."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from postclock.core.clock import Clock
from postclock.courier import tls
from postclock.courier.auth import Credentials
from postclock.courier.interface import Connection
from postclock.courier.opening import Server, open_session
from postclock.courier.pool import HostPool, PooledConnection, PoolLimits
from postclock.courier.session import Session
from postclock.courier.timeouts import Timeouts
from postclock.courier.tls import Security

DEFAULT_PORTS: Final = {"relay": 25, "relays": 465}  # RFC 5321 4.5.4.2, RFC 8314 7.3
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAddress:
    """Where the relay is and how to log in."""

    host: str
    port: int
    implicit_tls: bool = False
    credentials: Credentials | None = field(default=None)

    @classmethod
    def parse(cls, url: str) -> "RelayAddress":
        """The address in ``url``; raises ValueError with a sentence that never holds the password."""
        scheme, separator, _ = url.partition("://")
        if not separator or scheme not in DEFAULT_PORTS:
            raise ValueError(
                "a relay is written relay://[user:password@]host:port, or relays:// for TLS from the start"
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # Its own message may quote a password that holds a "/" or a "#".
            raise ValueError(
                "the relay's port is not a number from 1 to 65535, or a special character in the password is not "
                "percent-encoded"
            ) from None
        if parts.path or parts.query or parts.fragment or "?" in url or "#" in url:
            raise ValueError(
                "a relay has nothing after its port; write / ? # @ and % in a user or password percent-encoded (%2F %3F "
                "%23 %40 %25)"
            )
        if not parts.hostname:
            raise ValueError("the relay's host is missing")
        if port == 0:
            raise ValueError("the relay's port is not a number from 1 to 65535")
        credentials = None
        if parts.username is not None:
            user, password = unquote(parts.username), unquote(parts.password or "")
            if not user or not password:
                raise ValueError("a relay with a user needs a password, written user:password@host")
            if _CONTROLS.search(user + password):
                raise ValueError("the relay's user or password has a control character in it")
            credentials = Credentials(user=user, password=password)
        return cls(
            host=parts.hostname,
            port=port or DEFAULT_PORTS[scheme],
            implicit_tls=scheme == "relays",
            credentials=credentials,
        )

    @property
    def server(self) -> Server:
        """What to ask of the line: verified TLS as soon as a password travels, unless it stays on this machine."""
        if self.implicit_tls:
            security = Security.IMPLICIT
        elif self.credentials is not None and not _names_loopback(self.host):
            security = Security.VERIFIED
        else:
            security = Security.OPPORTUNISTIC
        return Server(host=self.host, port=self.port, security=security, credentials=self.credentials)


class RelayCourier:
    """A courier with one pool of connections, to one server."""

    def __init__(
        self,
        address: RelayAddress,
        *,
        hostname: str,
        clock: Clock,
        timeouts: Timeouts | None = None,
        limits: PoolLimits | None = None,
        verified: Callable[[], SSLContext] = tls.verified,
        route: str = "relay",
    ) -> None:
        """``hostname`` is what we call ourselves in EHLO; ``verified`` gives the context that checks certificates."""
        server, patience = address.server, timeouts or Timeouts()

        async def open_one() -> Session:
            return await open_session(server, hostname=hostname, clock=clock, timeouts=patience, verified=verified)

        self._route = route
        self.pool = HostPool(open_one, host=address.host, clock=clock, limits=limits)

    def route(self, domain: str) -> str:
        """One route for every domain: all connections go to the relay."""
        del domain
        return self._route

    async def acquire(self, route: str) -> Connection:
        """See ``interface.Courier``."""
        del route
        return await self.pool.acquire()

    def release(self, connection: Connection) -> None:
        """See ``interface.Courier``."""
        self.pool.release(cast("PooledConnection", connection))

    async def warm(self, route: str, n: int) -> None:
        """See ``interface.Courier``."""
        del route
        await self.pool.warm(n)

    async def start(self) -> None:
        """See ``interface.Courier``."""

    async def close(self) -> None:
        """See ``interface.Courier``."""
        await self.pool.close()


def _names_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
