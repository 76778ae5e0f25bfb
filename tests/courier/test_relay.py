"""The relay's address as it is written, what it asks of the line, and mail through it."""

import pytest

from postclock.courier.auth import Credentials
from postclock.courier.interface import HostUnavailable
from postclock.courier.relay import RelayAddress, RelayCourier
from postclock.courier.tls import Security
from postclock.runtime.clock import SystemClock
from tests.courier.parts import MAIL, ONE, states, trusting
from tests.support import misbehaving as m
from tests.support import scripted_server
from tests.support.tls import another_authority, authority


@pytest.mark.parametrize(
    ("url", "address", "security"),
    [
        ("relay://mail.example.com:2525", RelayAddress(host="mail.example.com", port=2525), Security.OPPORTUNISTIC),
        ("relay://mail.example.com", RelayAddress(host="mail.example.com", port=25), Security.OPPORTUNISTIC),
        (
            "relays://mail.example.com",
            RelayAddress(host="mail.example.com", port=465, implicit_tls=True),
            Security.IMPLICIT,
        ),
        (
            "relay://me:p%40ss%2Fw%25@mail.example.com:587",
            RelayAddress(host="mail.example.com", port=587, credentials=Credentials(user="me", password="p@ss/w%")),
            Security.VERIFIED,
        ),
        (
            "relay://me@example.com:pw@[::1]:25",
            RelayAddress(host="::1", port=25, credentials=Credentials(user="me@example.com", password="pw")),
            Security.OPPORTUNISTIC,
        ),
        (
            "relay://me:pw@127.0.0.2:25",
            RelayAddress(host="127.0.0.2", port=25, credentials=Credentials(user="me", password="pw")),
            Security.OPPORTUNISTIC,
        ),
    ],
)
def test_an_address_is_read(url: str, address: RelayAddress, security: Security) -> None:
    """With a password only verified TLS will do, or this machine."""
    assert RelayAddress.parse(url) == address
    assert address.server.security is security


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("", "is written relay://"),
        ("mail.example.com:25", "is written relay://"),
        ("smtp://mail.example.com:25", "is written relay://"),
        ("relay://", "host is missing"),
        ("relay://me:hunter2@:25", "host is missing"),
        ("relay://mail.example.com:0", "from 1 to 65535"),
        ("relay://mail.example.com:65536", "from 1 to 65535"),
        ("relay://mail.example.com:smtp", "from 1 to 65535"),
        ("relay://mail.example.com:25/path", "nothing after its port"),
        ("relay://mail.example.com:25?x=1", "nothing after its port"),
        ("relay://me:hunter2/x@mail.example.com:25", "percent-encoded"),
        ("relay://me:hunter2#x@mail.example.com:25", "percent-encoded"),
        ("relay://hunter2@mail.example.com:25", "needs a password"),
        ("relay://:hunter2@mail.example.com:25", "needs a password"),
        ("relay://me:hunter2%0d%0aMAIL@mail.example.com:25", "control character"),
    ],
)
def test_a_bad_address_is_told_without_its_password(url: str, because: str) -> None:
    """One sentence that says what to write."""
    with pytest.raises(ValueError, match=because) as caught:
        RelayAddress.parse(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


async def send(courier: RelayCourier) -> list[str]:
    route = courier.route("example.net")
    connection = await courier.acquire(route)
    try:
        return [*states(await connection.deliver(ONE, MAIL))]
    finally:
        courier.release(connection)


async def test_mail_goes_through_the_relay() -> None:
    """All domains share one route, and its connections can be warmed."""
    async with scripted_server.serving(m.behaves) as server:
        courier = RelayCourier(
            RelayAddress.parse(f"relay://127.0.0.1:{server.port}"), hostname="client.test", clock=SystemClock()
        )
        await courier.start()
        assert courier.route("example.net") == courier.route("example.org")
        await courier.warm(courier.route("example.net"), 2)
        assert await send(courier) == ["accepted"]
        assert len(server.peers) == 2
        await courier.close()
    assert server.bodies == [MAIL]


async def test_tls_from_the_start_with_a_password() -> None:
    """relays:// with a certificate that holds."""

    async with scripted_server.serving(m.offers_auth("PLAIN"), tls=authority().server_context()) as server:
        courier = RelayCourier(
            RelayAddress.parse(f"relays://me:pw@localhost:{server.port}"),
            hostname="client.test",
            clock=SystemClock(),
            verified=trusting,
        )
        assert await send(courier) == ["accepted"]
        await courier.close()
    assert b"AUTH PLAIN " in server.heard


async def test_a_certificate_that_does_not_hold() -> None:
    """relays:// with another authority's: no mail, no password."""
    async with scripted_server.serving(m.offers_auth("PLAIN"), tls=another_authority().server_context()) as server:
        courier = RelayCourier(
            RelayAddress.parse(f"relays://me:pw@localhost:{server.port}"),
            hostname="client.test",
            clock=SystemClock(),
            verified=trusting,
        )
        with pytest.raises(HostUnavailable, match="TLS failed"):
            await send(courier)
        await courier.close()
    assert server.heard == b""
