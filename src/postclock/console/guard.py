"""Who may see the inbox: this machine alone. It has no password, so a request must come from loopback and name loopback.

The Host header is asked for because of DNS rebinding: a page from elsewhere whose name suddenly resolves to 127.0.0.1 comes
from a loopback peer, but still under its own name.
"""

import ipaddress
import re
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PASSED_ON: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})
"""Marks of a proxy: behind one, the peer is the proxy and says nothing about who asks."""

_LOOPBACK_HOST: Final = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)


def is_loopback_peer(address: str) -> bool:
    """Whether a peer's address is of this machine: 127.0.0.0/8, ::1, or the former written as IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped.is_loopback
    return ip.is_loopback


def is_loopback_host(host: str) -> bool:
    """Whether a Host header is 127.0.0.1, [::1] or localhost, with any port or none."""
    return _LOOPBACK_HOST.fullmatch(host) is not None


def is_own_origin(scope: Scope) -> bool:
    """Whether a request says, in its one Origin header, that it comes from a page of the host it is sent to.

    Browsers send it with every POST and no page can forge it; so a request without one is no form of ours (RFC 6454 section 7).
    """
    origins, hosts = _values(scope, b"origin"), _values(scope, b"host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    return origins[0].lower() in {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}


class LocalOnly:
    """Lets a request through to ``app`` when it is local and of this method (HEAD goes with GET).

    To others there is nothing here (404); a loopback peer under a foreign name is told what to type (403).
    """

    def __init__(self, app: ASGIApp, method: str) -> None:
        self._app = app
        self._methods = {method, "HEAD"} if method == "GET" else {method}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is None or not is_loopback_peer(client[0]) or any(n in PASSED_ON for n, _ in scope["headers"]):
            raise HTTPException(404)
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not is_loopback_host(hosts[0]):
            refusal = PlainTextResponse("The inbox answers only to http://127.0.0.1 and http://localhost.\n", 403)
            await refusal(scope, receive, send)
            return
        if scope["method"] not in self._methods:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(self._methods))})
        await self._app(scope, receive, send)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
