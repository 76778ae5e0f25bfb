"""Connecting, EHLO, TLS and AUTH: whatever fails is the host's trouble, and a password goes where it may and nowhere else."""

import asyncio
import ssl
from base64 import b64decode, b64encode
from contextlib import suppress

import pytest

from postclock.core.outcome import Phase
from postclock.courier.auth import Credentials
from postclock.courier.interface import HostUnavailable
from postclock.courier.opening import Server, open_session
from postclock.courier.session import Session
from postclock.courier.timeouts import Timeouts
from postclock.courier.tls import Security
from postclock.runtime.clock import SystemClock
from tests.courier.parts import MAIL, ONE, PATIENT, SHORT, states, trusting
from tests.support import misbehaving as m
from tests.support import scripted_server
from tests.support.tls import another_authority, authority

SECRET = Credentials(user="postclock", password="hunter2")


async def opened(
    server: scripted_server.Server,
    security: Security = Security.OPPORTUNISTIC,
    credentials: Credentials | None = None,
    *,
    host: str = "127.0.0.1",
    timeouts: Timeouts = PATIENT,
) -> Session:
    return await open_session(
        Server(host=host, port=server.port, security=security, credentials=credentials),
        hostname="client.test",
        clock=SystemClock(),
        timeouts=timeouts,
        verified=trusting,
    )


async def refused(
    behaviour: scripted_server.Behaviour,
    security: Security = Security.OPPORTUNISTIC,
    credentials: Credentials | None = None,
    *,
    host: str = "127.0.0.1",
    timeouts: Timeouts = PATIENT,
    tls: ssl.SSLContext | None = None,
) -> tuple[HostUnavailable, scripted_server.Server]:
    async with scripted_server.serving(behaviour, tls=tls) as server:
        with pytest.raises(HostUnavailable) as caught:
            await opened(server, security, credentials, host=host, timeouts=timeouts)
        await server.all_ended()
    return caught.value, server


async def deliver_and_quit(session: Session) -> None:
    assert states(await session.deliver(ONE, MAIL)) == ["accepted"]
    session.quit()
    await session.wire.lost


@pytest.mark.parametrize(
    ("behaviour", "phase", "code"),
    [
        (m.closes_at_once, Phase.CONNECT, None),
        (m.half_a_banner, Phase.CONNECT, None),
        (m.busy_at_banner, Phase.CONNECT, 421),
        (m.refuses_at_banner, Phase.CONNECT, 554),
        (m.not_smtp, Phase.CONNECT, None),
        (m.floods_the_banner, Phase.CONNECT, None),
        (m.endless_banner_line, Phase.CONNECT, None),
        (m.two_codes_in_one_reply, Phase.EHLO, None),
        (m.busy_at_ehlo, Phase.EHLO, 421),
        (m.closes_at_ehlo, Phase.EHLO, None),
        (m.half_an_ehlo_reply, Phase.EHLO, None),
        (m.refuses_helo_too, Phase.EHLO, 550),
    ],
)
async def test_a_host_that_cannot_be_opened(
    behaviour: scripted_server.Behaviour, phase: Phase, code: int | None
) -> None:
    """It is unavailable, with its own words where there were any, and no message was named to it."""
    unavailable, server = await refused(behaviour)
    assert unavailable.phase is phase
    assert (unavailable.reply.code if unavailable.reply else None) == code
    assert phase.value in unavailable.reason
    assert b"MAIL" not in server.heard


async def test_two_banners_are_one_too_many() -> None:
    """What nobody asked for ends the conversation, whenever the second one is read."""
    unavailable, server = await refused(m.two_banners)
    assert "spoke out of turn" in unavailable.reason
    assert b"MAIL" not in server.heard


@pytest.mark.parametrize(("behaviour", "phase"), [(m.silent_at_banner, Phase.CONNECT), (m.silent_at_ehlo, Phase.EHLO)])
async def test_a_silent_host_runs_out_of_time(behaviour: scripted_server.Behaviour, phase: Phase) -> None:
    """The banner and EHLO have their own times."""
    unavailable, _ = await refused(behaviour, timeouts=SHORT)
    assert unavailable.phase is phase
    assert "no reply in time" in unavailable.reason


async def test_nobody_listens() -> None:
    """A refused connection is the host's trouble."""
    async with scripted_server.serving(m.behaves) as server:
        pass
    with pytest.raises(HostUnavailable) as caught:
        await opened(server)
    assert caught.value.phase is Phase.CONNECT


# TLS.


@pytest.mark.parametrize("security", [Security.OPPORTUNISTIC, Security.VERIFIED])
async def test_starttls_encrypts_the_rest(security: Security) -> None:
    """After it EHLO is said again, and mail goes through."""
    async with scripted_server.serving(m.OffersTls(authority().server_context())) as server:
        session = await opened(server, security, host="localhost")
        assert session.wire.transport.get_extra_info("ssl_object") is not None
        await deliver_and_quit(session)
        await server.all_ended()
    assert server.bodies == [MAIL]
    assert server.heard.count(b"EHLO client.test") == 2


async def test_tls_from_the_first_octet() -> None:
    """No STARTTLS: the banner already comes encrypted."""
    async with scripted_server.serving(m.behaves, tls=authority().server_context()) as server:
        await deliver_and_quit(await opened(server, Security.IMPLICIT, host="localhost"))
    assert server.bodies == [MAIL]


@pytest.mark.parametrize(
    ("context", "because"),
    [
        (another_authority().server_context(), "unable to get local issuer certificate"),
        (authority().server_context("elsewhere.test"), "Hostname mismatch"),
    ],
)
async def test_a_bad_certificate_is_refused_where_it_matters(context: ssl.SSLContext, because: str) -> None:
    """Verified: unavailable, with the reason, before any login. Opportunistic: not looked at."""
    unavailable, server = await refused(m.OffersTls(context), Security.VERIFIED, SECRET, host="localhost")
    assert unavailable.phase is Phase.STARTTLS
    assert because in unavailable.reason
    assert b"AUTH" not in server.heard
    async with scripted_server.serving(m.OffersTls(context)) as server:
        await deliver_and_quit(await opened(server))


async def test_a_bad_certificate_on_an_implicit_line() -> None:
    """The connection itself fails."""
    context = another_authority().server_context()
    unavailable, _ = await refused(m.closes_at_once, Security.IMPLICIT, host="localhost", tls=context)
    assert unavailable.phase is Phase.CONNECT
    assert "TLS failed" in unavailable.reason


@pytest.mark.parametrize("ahead", [b"250 injected\r\n", b"250-half an inj"])
async def test_octets_ahead_of_the_handshake_are_refused(ahead: bytes) -> None:
    """A reply smuggled in before the encryption would be read as if it came within it."""
    behaviour = m.OffersTls(authority().server_context(), ahead=ahead)
    unavailable, server = await refused(behaviour, Security.VERIFIED, host="localhost")
    assert unavailable.phase is Phase.STARTTLS
    assert server.heard == b"EHLO client.test\r\nSTARTTLS\r\n"


async def test_a_refused_starttls() -> None:
    """Verified: unavailable. Opportunistic: on in the clear, as with a server that does not offer it."""
    behaviour = m.OffersTls(authority().server_context(), refusal="454 4.7.0 not now")
    unavailable, _ = await refused(behaviour, Security.VERIFIED, host="localhost")
    assert unavailable.phase is Phase.STARTTLS
    assert str(unavailable.reply) == "454 4.7.0 not now"
    async with scripted_server.serving(behaviour) as server:
        await deliver_and_quit(await opened(server))
    assert server.bodies == [MAIL]


async def test_starttls_that_is_not_offered() -> None:
    """Verified: unavailable, and the password stays at home."""
    unavailable, server = await refused(m.offers_auth("PLAIN"), Security.VERIFIED, SECRET, host="localhost")
    assert "STARTTLS" in unavailable.reason
    assert b"AUTH" not in server.heard


# AUTH.


async def test_plain_is_sent_in_one_step() -> None:
    """User and password in one command."""
    async with scripted_server.serving(m.offers_auth("LOGIN PLAIN")) as server:
        await deliver_and_quit(await opened(server, credentials=SECRET))
    line = bytes(server.heard).split(b"\r\n")[1]
    assert b64decode(line.removeprefix(b"AUTH PLAIN ")) == b"\0postclock\0hunter2"
    assert server.bodies == [MAIL]


async def test_login_over_verified_tls() -> None:
    """Where PLAIN is not offered; only what was offered inside TLS counts."""
    async with scripted_server.serving(m.OffersTls(authority().server_context(), auth="LOGIN")) as server:
        await deliver_and_quit(await opened(server, Security.VERIFIED, SECRET, host="localhost"))
    assert b64encode(b"postclock") + b"\r\n" + b64encode(b"hunter2") + b"\r\n" in server.heard


@pytest.mark.parametrize(
    ("reply", "code"),
    [("535 5.7.8 wrong", 535), ("454 4.7.0 not now", 454), ("334 more", 334), ("250 what", 250), ("", None)],
)
async def test_a_failed_login_is_the_hosts_trouble(reply: str, code: int | None) -> None:
    """With a clear reason that does not hold the password."""
    timeouts = SHORT if not reply else PATIENT
    unavailable, _ = await refused(m.refuses_auth(reply), credentials=SECRET, timeouts=timeouts)
    assert unavailable.phase is Phase.AUTH
    assert (unavailable.reply.code if unavailable.reply else None) == code
    assert "AUTH" in unavailable.reason
    assert "hunter2" not in unavailable.reason + repr(SECRET)


async def test_no_known_mechanism() -> None:
    """CRAM-MD5 alone is not enough."""
    unavailable, server = await refused(m.offers_auth("CRAM-MD5"), credentials=SECRET)
    assert "no login that we know" in unavailable.reason
    assert b"AUTH" not in server.heard


async def test_a_password_never_travels_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is judged by the address reached; anything else needs verified TLS."""
    monkeypatch.setattr("postclock.courier.opening._is_loopback", lambda wire: False)
    unavailable, server = await refused(m.offers_auth("PLAIN"), credentials=SECRET)
    assert "verified TLS" in unavailable.reason
    assert b"AUTH" not in server.heard
    behaviour = m.OffersTls(another_authority().server_context(), auth="PLAIN")
    unavailable, server = await refused(behaviour, credentials=SECRET)
    assert "verified TLS" in unavailable.reason
    assert b"AUTH" not in server.heard


async def test_a_cancelled_opening_leaves_no_socket() -> None:
    """The server sees the end of the line."""
    async with scripted_server.serving(m.silent_at_ehlo) as server:
        opening = asyncio.create_task(opened(server))
        await server.connected(1)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        await server.all_ended()
    assert opening.cancelled()
