"""The body of a message: it arrives as it is or not at all, and ``dot_sent`` says which."""

import asyncio

import pytest

from postclock.core.outcome import Phase
from postclock.courier.interface import Point
from postclock.courier.session import Session
from tests.courier.parts import MAIL, ONE, SHORT, delivered, session_to, states
from tests.support import misbehaving as m
from tests.support import scripted_server

BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 4 * 16_384 + b"\r\n"
HUGE = b"Subject: huge\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_972


@pytest.mark.parametrize(
    "content",
    [
        b".\r\n",
        b"..\r\n.\r\n...\r\nx.\r\n.",
        b"no newline at the end",
        b"",
        b"\r\n",
        b"x" * 100_000 + b"\r\n." + b"y" * 100_000,
        (b"." + b"z" * 70 + b"\r\n") * 5_000,
        b"." * 200_000,
        (b"ab\r\n.c\r\n") * 40_000 + b".end",
        BIG,
    ],
    ids=lambda c: f"{c[:8]!r}-{len(c)}",
)
async def test_a_body_arrives_as_it_is(content: bytes) -> None:
    """Leading dots, long lines, a missing last line end (which is added), small and in pieces."""
    delivery, server = await delivered(m.behaves, ONE, content)
    assert states(delivery) == ["accepted"]
    ended = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert server.bodies == [ended]


async def test_a_body_may_be_a_memoryview() -> None:
    """The composer hands over a view of its buffer."""
    async with session_to(m.behaves) as (session, server):
        assert states(await session.deliver(ONE, memoryview(MAIL))) == ["accepted"]
    assert server.bodies == [MAIL]


@pytest.mark.parametrize(
    ("behaviour", "state", "host_trouble"),
    [
        (m.closes_in_the_body, "deferred", False),
        (m.answers_in_the_body("552 5.3.4 enough"), "bounced", False),
        (m.answers_in_the_body("451 4.3.0 no room"), "deferred", False),
        (m.answers_in_the_body("421 4.3.2 going down"), "deferred", True),
        (m.answers_in_the_body("250 taken"), "deferred", False),
    ],
)
async def test_a_large_body_stopped_on_its_way_never_completes(
    behaviour: scripted_server.Behaviour, state: str, host_trouble: bool
) -> None:
    """The line breaks or the server answers early: the dot is not sent, so nothing is uncertain."""
    delivery, server = await delivered(behaviour, ONE, HUGE)
    (outcome,) = delivery.outcomes
    assert (outcome.state, outcome.phase, outcome.host_trouble) == (state, Phase.BODY, host_trouble)
    assert not delivery.dot_sent
    assert server.bodies == []
    assert b"\r\n.\r\n" not in server.heard


async def test_a_reader_that_stalls_runs_out_of_time() -> None:
    """Room to write does not come within the block time: a deferral."""
    stalls = m.Stalls()
    async with session_to(stalls, SHORT) as (session, server):
        delivery = await session.deliver(ONE, HUGE)
        assert states(delivery) == ["deferred"]
        assert delivery.outcomes[0].phase is Phase.BODY
        stalls.go_on.set()
        await server.all_ended()
    assert server.bodies == []


async def test_an_aborted_large_body_never_completes_at_the_server() -> None:
    """20 MB to a slow reader, given up half-way; the server then reads all there is and finds no final dot."""
    stalls = m.Stalls()
    async with session_to(stalls) as (session, server):
        sending = asyncio.create_task(session.deliver(ONE, HUGE))
        await stalls.stalling.wait()
        session.abort()
        delivery = await sending
        assert states(delivery) == ["deferred"]
        assert "given up by us" in delivery.outcomes[0].text
        assert not session.dot_sent
        stalls.go_on.set()
        await server.all_ended()
    assert server.bodies == []
    assert len(server.heard) < len(HUGE)
    assert not server.heard.endswith(b"\r\n.\r\n")


async def test_a_slow_reader_gets_all_of_a_large_body() -> None:
    """It stalls for a while and then reads on."""
    stalls = m.Stalls()
    async with session_to(stalls) as (session, server):
        sending = asyncio.create_task(session.deliver(ONE, BIG))
        await stalls.stalling.wait()
        stalls.go_on.set()
        assert states(await sending) == ["accepted"]
    assert server.bodies == [BIG]


async def test_cancelling_cuts_the_line() -> None:
    """The owner gave up: the caller knows from ``dot_sent`` that nothing can have been taken."""
    stalls = m.Stalls()
    async with session_to(stalls) as (session, server):
        sending = asyncio.create_task(session.deliver(ONE, HUGE))
        await stalls.stalling.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not session.dot_sent
        assert not session.usable
        stalls.go_on.set()
        await server.all_ended()
    assert server.bodies == []


async def test_cancelling_after_the_dot_shows_that_it_was_sent() -> None:
    """While the final reply is waited for, ``dot_sent`` is true."""
    async with session_to(m.silent_after_the_dot) as (session, server):
        reached = asyncio.Event()
        sending = asyncio.create_task(
            session.deliver(ONE, MAIL, lambda point: reached.set() if point == "dot_sent" else None)
        )
        await reached.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert session.dot_sent
        await server.all_ended()


@pytest.mark.parametrize("content", [MAIL, BIG])
async def test_the_points_are_passed_in_order(content: bytes) -> None:
    """The hook sees four points, and ``dot_sent`` turns true at the third."""
    seen: list[tuple[Point, bool]] = []
    async with session_to(m.behaves) as (session, server):
        await session.deliver(ONE, content, lambda point: seen.append((point, session.dot_sent)))
    assert seen == [("mail_sent", False), ("data_half", False), ("dot_sent", True), ("reply_read", True)]
    assert server.bodies == [content]


@pytest.mark.parametrize(
    ("at", "state"),
    [("mail_sent", "deferred"), ("data_half", "deferred"), ("dot_sent", "uncertain"), ("reply_read", "accepted")],
)
async def test_an_abort_at_each_point(at: Point, state: str) -> None:
    """Before the dot a deferral and no message at the server; after it, uncertain; after the reply, accepted."""

    def hook(session: Session, point: Point) -> None:
        if point == at:
            session.abort()

    async with session_to(m.behaves) as (session, server):
        delivery = await session.deliver(ONE, MAIL, lambda point: hook(session, point))
        await server.all_ended()
    assert states(delivery) == [state]
    if state == "deferred":
        assert server.bodies == []
        assert b"\r\n.\r\n" not in server.heard
