"""Logging in at a relay: AUTH PLAIN or LOGIN (RFC 4954, RFC 4616).

Only called on a line that may carry a password: see ``opening``.
"""

from base64 import b64encode
from dataclasses import dataclass, field

from postclock.core.outcome import Phase
from postclock.courier.capabilities import Capabilities
from postclock.courier.interface import HostUnavailable
from postclock.courier.unavailable import must
from postclock.courier.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user and its password; the password is never shown."""

    user: str
    password: str = field(repr=False)


async def log_in(wire: Wire, offers: Capabilities, credentials: Credentials, seconds: float) -> None:
    """Log in, each reply within ``seconds``; raises HostUnavailable when that fails."""
    user, password = credentials.user.encode(), credentials.password.encode()
    if "PLAIN" in offers.auth:
        # With the initial response in the command: one round trip (RFC 4954 section 4).
        steps = [b"AUTH PLAIN " + b64encode(b"\0" + user + b"\0" + password)]
    elif "LOGIN" in offers.auth:
        steps = [b"AUTH LOGIN", b64encode(user), b64encode(password)]
    else:
        raise HostUnavailable("the server offers no login that we know (PLAIN, LOGIN)", phase=Phase.AUTH)
    for step in steps[:-1]:
        must(wire, Phase.AUTH, await wire.ask(step + b"\r\n", seconds), 334)
    must(wire, Phase.AUTH, await wire.ask(steps[-1] + b"\r\n", seconds), 235)
