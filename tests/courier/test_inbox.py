"""Mail to the built-in catch-all: over a real socket into a bounded box."""

import asyncio
import smtplib
from collections.abc import AsyncIterator

import pytest

from postclock.courier.box import Arrival, Box
from postclock.courier.inbox import InboxCourier
from postclock.courier.interface import Envelope, HostUnavailable
from postclock.runtime.clock import SystemClock
from tests.courier.parts import MAIL, ONE, states


async def send(courier: InboxCourier, envelope: Envelope = ONE, content: bytes = MAIL) -> list[str]:
    connection = await courier.acquire(courier.route("example.net"))
    try:
        return [*states(await connection.deliver(envelope, content))]
    finally:
        courier.release(connection)


@pytest.fixture
async def inbox() -> AsyncIterator[InboxCourier]:
    courier = InboxCourier(hostname="client.test", clock=SystemClock())
    await courier.start()
    yield courier
    await courier.close()


async def test_a_mail_arrives_in_the_box(inbox: InboxCourier) -> None:
    """With its envelope, its octets and what its header says."""
    content = (
        b"Message-ID: <1@example.com>\r\nFrom: =?utf-8?q?J=C3=B6rg?= <j@example.com>\r\nTo: one@example.net\r\n"
        b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n and more\r\n\r\n.\r\nBody\r\n"
    )
    before = SystemClock().now_ms()
    assert await send(inbox, content=content) == ["accepted"]
    (arrival,) = inbox.box.list()
    assert (arrival.mail_from, arrival.rcpt_tos) == ("sender@example.com", ("one@example.net",))
    assert arrival.content == content
    assert (arrival.message_id, arrival.subject) == ("<1@example.com>", "Grüße and more")
    assert (arrival.from_, arrival.to) == ("Jörg <j@example.com>", "one@example.net")
    assert before <= arrival.arrived_at_ms <= SystemClock().now_ms()


@pytest.mark.parametrize(
    ("envelope", "content"),
    [
        (Envelope(mail_from="", recipients=("a@example.net",)), MAIL),
        (Envelope(mail_from="sé@example.com", recipients=("jörg@example.net", "b@example.net")), MAIL),
        (
            Envelope(mail_from="s@example.com", recipients=("a@example.net",), eight_bit=True),
            "x: y\r\n\r\nß\r\n".encode(),
        ),
        (Envelope(mail_from="s@example.com", recipients=('"a b"@example.net',)), b"long: " + b"x" * 200_000 + b"\r\n"),
        (Envelope(mail_from="b+" + "0" * 42 + "@example.com", recipients=("a@" + "x." * 90 + "example",)), MAIL),
    ],
)
async def test_it_takes_everything(inbox: InboxCourier, envelope: Envelope, content: bytes) -> None:
    """The null return path, SMTPUTF8, 8-bit content, quoted local parts, long lines and long addresses."""
    assert await send(inbox, envelope, content) == ["accepted"] * len(envelope.recipients)
    (arrival,) = inbox.box.list()
    assert (arrival.mail_from, arrival.rcpt_tos) == (envelope.mail_from, envelope.recipients)
    assert arrival.content == content


async def test_it_offers_what_the_session_likes(inbox: InboxCourier) -> None:
    """Pipelining included; the size is declared."""
    connection = await inbox.acquire("inbox")
    offers = connection.session.capabilities  # type: ignore[attr-defined]
    assert offers.pipelining
    assert offers.smtputf8
    assert offers.eight_bit_mime
    assert offers.size == 30 * 1024 * 1024
    inbox.release(connection)


async def test_another_client_may_use_it_too(inbox: InboxCourier) -> None:
    """The standard library's."""

    def by_smtplib() -> None:
        with smtplib.SMTP("127.0.0.1", inbox.port, local_hostname="other.test") as client:
            client.sendmail("s@example.com", ["a@example.net"], MAIL)

    await asyncio.to_thread(by_smtplib)
    assert [a.content for a in inbox.box.list()] == [MAIL]


async def test_many_at_once(inbox: InboxCourier) -> None:
    """All arrive, each once."""
    results = await asyncio.gather(*(send(inbox, content=b"n: %d\r\n\r\n" % n) for n in range(200)))
    assert results == [["accepted"]] * 200
    assert len({a.content for a in inbox.box.list(limit=1000)}) == 200


async def test_before_it_starts_there_is_no_connection() -> None:
    """And closing it then is nothing."""
    courier = InboxCourier(hostname="client.test", clock=SystemClock())
    with pytest.raises(HostUnavailable):
        await courier.acquire("inbox")
    await courier.close()


# The box.


def filled(box: Box, n: int, octets: int = 10) -> list[Arrival]:
    return [box.add("s@example.com", ("a@example.net",), b"x" * octets, 1_000 + i) for i in range(n)]


def test_the_box_keeps_the_newest() -> None:
    """A thousand mails or a hundred mebibytes by default; here three, or 100 octets."""
    box = Box(max_mails=3)
    filled(box, 5)
    assert [a.sequence for a in box.list()] == [5, 4, 3]
    assert box.get(1) is None
    box = Box(max_octets=100)
    filled(box, 5, octets=40)
    assert [a.sequence for a in box.list()] == [5, 4]
    filled(box, 1, octets=101)
    assert len(box) == 0


def test_the_box_is_listed_in_pages() -> None:
    """Newest first, from where the last page ended."""
    box = Box()
    filled(box, 5)
    assert [a.sequence for a in box.list(limit=2)] == [5, 4]
    assert [a.sequence for a in box.list(limit=2, before=4)] == [3, 2]
    assert (arrival := box.get(3)) is not None
    assert arrival.arrived_at_ms == 1_002


def test_the_box_is_emptied() -> None:
    """Sequences go on, so that nobody takes a new mail for an old one."""
    box = Box()
    filled(box, 2)
    box.clear()
    assert box.list() == ()
    assert filled(box, 1)[0].sequence == 3


def test_listeners_hear_arrivals() -> None:
    """Until they unsubscribe."""
    box = Box()
    heard: list[int] = []
    unsubscribe = box.subscribe(lambda arrival: heard.append(arrival.sequence))
    filled(box, 2)
    unsubscribe()
    unsubscribe()
    filled(box, 1)
    assert heard == [1, 2]


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"Subject\r\n", b"Subject: =?x?q?y?=\r\n", b"\xff: \0\r\n\r\n", b"x" * 300_000]
)
def test_any_header_can_be_shown(content: bytes) -> None:
    """What cannot be decoded is shown as it is."""
    arrival = Box().add("", (), content, 0)
    assert isinstance(arrival.subject + arrival.from_ + arrival.to + arrival.message_id, str)
