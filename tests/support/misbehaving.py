"""A real TCP server that speaks SMTP as badly as it is told to.

A behaviour is a small coroutine over a ``Peer``: it says lines, hears commands, closes, floods or is silent. ``Peer.heard``
keeps every octet that came, so that a test can say what the server never saw.
"""

import asyncio
import ssl

from tests.support.scripted_server import Behaviour, Peer

# Behaviours. Named for what they do wrong.


async def behaves(peer: Peer) -> None:
    """Nothing."""
    await peer.greet()
    await peer.accept_messages()


async def no_pipelining(peer: Peer) -> None:
    """Offers no PIPELINING and minds commands that come before their turn."""
    await peer.greet("250-peer.test\r\n250 8BITMIME")
    while True:
        command = await peer.hear()
        assert peer.hears_nothing_more, f"something came behind {command}"
        if command == "DATA":
            await peer.say("354 go on")
            await peer.hear_body()
        await peer.say("250 fine")


async def helo_only(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("502 5.5.1 what is EHLO")
    assert (await peer.hear()).startswith("HELO ")
    await peer.say("250 peer.test")
    await peer.accept_messages()


# Before any message.


async def closes_at_once(peer: Peer) -> None:
    peer.cut()


async def half_a_banner(peer: Peer) -> None:
    await peer.say_octets(b"220 pee")


async def silent_at_banner(peer: Peer) -> None:
    await peer.hear_out()


async def busy_at_banner(peer: Peer) -> None:
    await peer.say("421 4.3.2 too many connections")


async def refuses_at_banner(peer: Peer) -> None:
    await peer.say("554 5.7.1 your address is on a list")


async def not_smtp(peer: Peer) -> None:
    await peer.say("HTTP/1.1 400 Bad Request")


async def floods_the_banner(peer: Peer) -> None:
    for _ in range(10_000):
        await peer.say("220-and another line")
    await peer.hear_out()


async def endless_banner_line(peer: Peer) -> None:
    for _ in range(1_000):
        await peer.say_octets(b"220 " + b"x" * 65_536)
    await peer.hear_out()


async def two_banners(peer: Peer) -> None:
    await peer.say("220 one\r\n220 two")
    await peer.hear_out()


async def two_codes_in_one_reply(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("250-peer.test\r\n550 PIPELINING")
    await peer.hear_out()


async def busy_at_ehlo(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("421 4.3.2 going down")


async def closes_at_ehlo(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()


async def half_an_ehlo_reply(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("250-peer.test\r\n250-PIPELINING")


async def silent_at_ehlo(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear_out()


async def refuses_helo_too(peer: Peer) -> None:
    await peer.say("220 peer.test")
    await peer.hear()
    await peer.say("550 no")
    await peer.hear()
    await peer.say("550 no")


# In the envelope. The commands come in one write; each behaviour hears them all first unless it says otherwise.


async def closes_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()


async def silent_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.hear_out()


async def busy_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("421 4.3.2 going down")


def refuses_mail(reply: str) -> Behaviour:
    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.take_envelope()
        await peer.say(f"{reply}\r\n503 5.5.1 need MAIL\r\n503 5.5.1 need RCPT")
        await peer.accept_messages()

    return behaviour


async def refuses_mail_yet_takes_data(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("550 5.7.1 not you\r\n250 fine\r\n354 go on")
    await peer.hear_out()


async def goes_on_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("354 go on\r\n250 fine\r\n354 go on")
    await peer.hear_out()


async def half_a_reply_to_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say_octets(b"250 2.1.0 fi")


async def garbage_at_mail(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("\x00\xff okay then")
    await peer.hear_out()


def answers_recipients(*replies: str, data: str = "354 go on", end: str = "250 2.0.0 taken") -> Behaviour:
    """These replies to RCPT, that one to DATA; then hears a body when it said 354 and goes on well behaved."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.take_envelope()
        await peer.say("\r\n".join(["250 2.1.0 fine", *replies, data]))
        if data.startswith("354"):
            await peer.hear_body()
            await peer.say(end)
        await peer.accept_messages()

    return behaviour


def closes_after_replies(*replies: str) -> Behaviour:
    """These replies to the pipelined commands, then the line breaks."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.take_envelope()
        await peer.say("\r\n".join(replies))

    return behaviour


async def silent_at_rcpt(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("250 fine")
    await peer.hear_out()


async def silent_at_data(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("250 fine\r\n250 fine")
    await peer.hear_out()


async def takes_data_for_done(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("250 fine\r\n250 fine\r\n250 done")
    await peer.hear_out()


# In the body and after it.


async def answers_before_the_body(peer: Peer) -> None:
    await peer.greet()
    await peer.take_envelope()
    await peer.say("250 fine\r\n250 fine\r\n354 go on\r\n250 taken before it was sent")
    await peer.hear_out()


def answers_in_the_body(reply: str) -> Behaviour:
    """Reads a little of a large body, then answers and reads no more."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.accept_envelope()
        await peer.hear_octets(1_000)
        await peer.say(reply)
        await peer.hear_out()

    return behaviour


async def closes_in_the_body(peer: Peer) -> None:
    await peer.greet()
    await peer.accept_envelope()
    await peer.hear_octets(1_000)
    peer.cut()


class Stalls:
    """Reads the envelope and then nothing of the body until ``go_on`` is set; says when it has begun to stall."""

    def __init__(self) -> None:
        self.stalling = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.greet()
        await peer.accept_envelope()
        self.stalling.set()
        await self.go_on.wait()
        await peer.hear_body()
        await peer.say("250 2.0.0 taken")


def ends_with(octets: bytes) -> Behaviour:
    """Takes a whole body, answers it by these octets and closes."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet()
        await peer.accept_envelope()
        await peer.hear_body()
        if octets:
            await peer.say_octets(octets)

    return behaviour


async def silent_after_the_dot(peer: Peer) -> None:
    await peer.greet()
    await peer.accept_envelope()
    await peer.hear_body()
    await peer.hear_out()


async def answers_the_dot_twice(peer: Peer) -> None:
    await peer.greet()
    await peer.accept_envelope()
    await peer.hear_body()
    await peer.say("250 2.0.0 taken\r\n250 2.0.0 taken again")
    await peer.hear_out()


# Between messages.


class DropsKept:
    """The first connection takes one message and then, when told to, closes, or says ``farewell`` and waits; later ones
    behave."""

    def __init__(self, farewell: bytes = b"") -> None:
        self._farewell = farewell
        self.leave = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.greet()
        if peer.number:
            await peer.accept_messages()
        await peer.accept_envelope()
        await peer.hear_body()
        await peer.say("250 2.0.0 taken")
        await self.leave.wait()
        if self._farewell:
            await peer.say_octets(self._farewell)
            await peer.hear_out()


class ClosesKeptAtMail:
    """The first connection takes one message and answers the next by ``farewell`` or by closing; later ones behave."""

    def __init__(self, farewell: bytes = b"") -> None:
        self._farewell = farewell

    async def __call__(self, peer: Peer) -> None:
        await peer.greet()
        if peer.number:
            await peer.accept_messages()
        await peer.accept_envelope()
        await peer.hear_body()
        await peer.say("250 2.0.0 taken")
        await peer.take_envelope()
        if self._farewell:
            await peer.say_octets(self._farewell)


# TLS and AUTH.


class OffersTls:
    """STARTTLS with that context. ``ahead`` is sent in the clear right behind the 220; ``refusal`` in its place."""

    def __init__(self, context: ssl.SSLContext, *, ahead: bytes = b"", refusal: str = "", auth: str = "") -> None:
        self._context = context
        self._ahead = ahead
        self._refusal = refusal
        self._auth = auth

    async def __call__(self, peer: Peer) -> None:
        await peer.greet("250-peer.test\r\n250-PIPELINING\r\n250 STARTTLS")
        command = await peer.hear()
        if command != "STARTTLS":
            await self._without(peer, command)
            return
        if self._refusal:
            await peer.say(self._refusal)
            await peer.accept_messages()
        await peer.say_octets(b"220 go\r\n" + self._ahead)
        await peer.start_tls(self._context)
        await peer.hear()
        await peer.say("250-peer.test\r\n" + (f"250-AUTH {self._auth}\r\n" if self._auth else "") + "250 PIPELINING")
        if self._auth:
            await _authenticate(peer)
        await peer.accept_messages()

    async def _without(self, peer: Peer, command: str) -> None:
        raise AssertionError(f"expected STARTTLS, heard {command}")


async def _authenticate(peer: Peer) -> None:
    command = await peer.hear()
    if command == "AUTH LOGIN":
        await peer.say("334 VXNlcm5hbWU6")
        await peer.hear()
        await peer.say("334 UGFzc3dvcmQ6")
        await peer.hear()
    await peer.say("235 2.7.0 welcome")


def offers_auth(mechanisms: str) -> Behaviour:
    """Lets anybody log in, in the clear."""

    async def behaviour(peer: Peer) -> None:
        await peer.greet(f"250-peer.test\r\n250-PIPELINING\r\n250 AUTH {mechanisms}")
        await _authenticate(peer)
        await peer.accept_messages()

    return behaviour


def refuses_auth(reply: str) -> Behaviour:
    async def behaviour(peer: Peer) -> None:
        await peer.greet("250-peer.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN")
        await peer.hear()
        if reply:
            await peer.say(reply)
        await peer.hear_out()

    return behaviour


def offers(*extensions: str) -> Behaviour:
    """Well behaved, with these extensions alone."""

    async def behaviour(peer: Peer) -> None:
        lines = ["peer.test", *extensions]
        await peer.greet("\r\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]))
        await peer.accept_messages()

    return behaviour
