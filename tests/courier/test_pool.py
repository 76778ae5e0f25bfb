"""Kept connections: bounded, in line, replaced when gone, and a host in trouble left alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postclock.core.outcome import Phase, Trouble
from postclock.courier.interface import HostUnavailable
from postclock.courier.opening import Server, open_session
from postclock.courier.pool import HostPool, PoolLimits
from postclock.courier.session import Session
from postclock.courier.timeouts import Timeouts
from tests.courier.parts import MAIL, ONE, HandClock, states
from tests.support import misbehaving as m
from tests.support import scripted_server


@asynccontextmanager
async def pooled(
    behaviour: scripted_server.Behaviour, limits: PoolLimits | None = None
) -> AsyncIterator[tuple[HostPool, scripted_server.Server, HandClock]]:
    clock = HandClock()
    async with scripted_server.serving(behaviour) as server:

        async def open_one() -> Session:
            return await open_session(
                Server(host="127.0.0.1", port=server.port), hostname="client.test", clock=clock, timeouts=Timeouts()
            )

        pool = HostPool(open_one, host="127.0.0.1", clock=clock, limits=limits)
        try:
            yield pool, server, clock
        finally:
            await pool.close()


async def send(pool: HostPool) -> list[str]:
    connection = await pool.acquire()
    try:
        return [*states(await connection.deliver(ONE, MAIL))]
    finally:
        pool.release(connection)


def first_connections_fail(n: int, failing: scripted_server.Behaviour) -> scripted_server.Behaviour:
    async def behaviour(peer: scripted_server.Peer) -> None:
        await (failing if peer.number < n else m.behaves)(peer)

    return behaviour


async def test_a_connection_is_kept_for_the_next_message() -> None:
    """Three messages one after the other, one connection."""
    async with pooled(m.behaves) as (pool, server, _):
        for _ in range(3):
            assert await send(pool) == ["accepted"]
        assert len(server.peers) == 1
        assert (pool.open_connections, pool.idle_connections) == (1, 1)


async def test_connections_are_bounded_and_waiters_served_in_line() -> None:
    """With two connections the third and fourth wait, and are served in the order they came."""
    async with pooled(m.behaves, PoolLimits(connections=2)) as (pool, server, _):
        first, second = await pool.acquire(), await pool.acquire()
        order: list[int] = []

        async def wait(number: int) -> None:
            connection = await pool.acquire()
            order.append(number)
            pool.release(connection)

        tasks = [asyncio.create_task(wait(n)) for n in (3, 4)]
        await asyncio.sleep(0)
        assert order == []
        pool.release(second)
        await asyncio.gather(*tasks)
        assert order == [3, 4]
        pool.release(first)
        assert len(server.peers) == 2


async def test_a_waiter_that_gives_up_loses_no_connection() -> None:
    """Cancelled just as it is served, it hands the connection on."""
    async with pooled(m.behaves, PoolLimits(connections=1)) as (pool, server, _):
        held = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        pool.release(held)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await send(pool) == ["accepted"]
        assert len(server.peers) == 1


async def test_a_broken_connection_makes_room() -> None:
    """An aborted one is dropped, and who waits opens another."""
    async with pooled(m.behaves, PoolLimits(connections=1)) as (pool, server, _):
        held = await pool.acquire()
        waiting = asyncio.create_task(send(pool))
        await asyncio.sleep(0)
        held.abort()
        pool.release(held)
        assert await waiting == ["accepted"]
        assert len(server.peers) == 2


async def test_a_connection_serves_its_number_of_messages() -> None:
    """Then it says QUIT and another one is opened."""
    async with pooled(m.behaves, PoolLimits(messages=2)) as (pool, server, _):
        for _ in range(3):
            assert await send(pool) == ["accepted"]
        await server.peers[0].ended.wait()
        assert server.peers[0].heard.endswith(b"QUIT\r\n")
        assert [len(p.bodies) for p in server.peers] == [2, 1]


async def test_an_idle_connection_is_closed() -> None:
    """After the idle time it says QUIT."""
    async with pooled(m.behaves, PoolLimits(idle=0.02)) as (pool, server, _):
        await send(pool)
        await server.all_ended()
        assert server.peers[0].heard.endswith(b"QUIT\r\n")
        assert pool.open_connections == 0


async def test_warm_connections_stand_ready() -> None:
    """They have said EHLO and nothing else; messages then use them and open none."""
    async with pooled(m.behaves, PoolLimits(connections=3)) as (pool, server, _):
        await pool.warm(8)
        assert (pool.open_connections, pool.idle_connections) == (3, 3)
        await pool.warm(3)
        assert server.heard == b"EHLO client.test\r\n" * 3
        assert await send(pool) == ["accepted"]
        assert len(server.peers) == 3


@pytest.mark.parametrize("farewell", [b"", b"421 4.4.2 idle for too long\r\n", b"250 hello again\r\n"])
async def test_a_connection_dropped_while_idle_is_noticed(farewell: bytes) -> None:
    """The server closes it, with or without a word: the next message goes on a fresh one."""
    behaviour = m.DropsKept(farewell)
    async with pooled(behaviour) as (pool, server, _):
        assert await send(pool) == ["accepted"]
        (session,) = pool.idle
        behaviour.leave.set()
        await session.wire.lost
        assert pool.open_connections == 0
        assert await send(pool) == ["accepted"]
        assert [len(p.bodies) for p in server.peers] == [1, 1]


@pytest.mark.parametrize("farewell", [b"", b"421 4.4.2 idle for too long\r\n", b"503 5.5.1 say hello first\r\n"])
async def test_a_kept_connection_that_is_gone_at_mail_blames_nobody(farewell: bytes) -> None:
    """The message goes on a fresh connection; it is delivered once and deferred never."""
    async with pooled(m.ClosesKeptAtMail(farewell)) as (pool, server, _):
        assert await send(pool) == ["accepted"]
        assert await send(pool) == ["accepted"]
        assert [len(p.bodies) for p in server.peers] == [1, 1]
        assert pool.open_connections == 1


async def test_only_one_fresh_connection_is_tried() -> None:
    """When the fresh one says 421 too, the message is deferred, the host is blamed and left alone."""

    async def behaviour(peer: scripted_server.Peer) -> None:
        await (m.busy_at_mail if peer.number else m.ClosesKeptAtMail())(peer)

    async with pooled(behaviour) as (pool, server, _):
        assert await send(pool) == ["accepted"]
        connection = await pool.acquire()
        delivery = await connection.deliver(ONE, MAIL)
        pool.release(connection)
        assert states(delivery) == ["deferred"]
        assert delivery.host_trouble
        with pytest.raises(HostUnavailable):
            await pool.acquire()
        assert len(server.peers) == 2


async def test_no_fresh_connection_to_be_had() -> None:
    """The kept one is gone and the host is too: deferred, for the host's sake."""

    async def behaviour(peer: scripted_server.Peer) -> None:
        await (m.busy_at_banner if peer.number else m.ClosesKeptAtMail())(peer)

    async with pooled(behaviour) as (pool, _, _clock):
        assert await send(pool) == ["accepted"]
        connection = await pool.acquire()
        delivery = await connection.deliver(ONE, MAIL)
        pool.release(connection)
        (outcome,) = delivery.outcomes
        assert (outcome.state, outcome.phase, outcome.host_trouble) == ("deferred", Phase.CONNECT, True)
        assert delivery.data_at_ms is None
        assert not delivery.dot_sent


async def test_a_refusing_host_is_not_knocked_at_before_its_time() -> None:
    """1 s, 2 s, 4 s ... 60 s; in between every try is refused at once, with the time at which it opens."""
    async with pooled(m.busy_at_banner) as (pool, server, clock):
        for wait in (1, 2, 4, 8, 16, 32, 60, 60):
            with pytest.raises(HostUnavailable) as caught:
                await pool.acquire()
            knocks = len(server.peers)
            assert caught.value.retry_at_ms == clock.now_ms() + wait * 1000
            assert caught.value.reply is not None
            assert caught.value.reply.code == 421
            clock.seconds += wait - 0.5
            with pytest.raises(HostUnavailable):
                await pool.acquire()
            assert len(server.peers) == knocks
            clock.seconds += 0.5


async def test_a_host_that_is_well_again() -> None:
    """After its time one connection knocks; when the message is taken the failures are forgotten."""
    async with pooled(first_connections_fail(2, m.busy_at_banner)) as (pool, server, clock):
        for seconds in (1, 2):
            with pytest.raises(HostUnavailable):
                await pool.acquire()
            clock.seconds += seconds
        assert await asyncio.gather(*(send(pool) for _ in range(8))) == [["accepted"]] * 8
        assert len(server.peers) > 2


async def test_a_delivery_ends_the_count_of_failures() -> None:
    """Two failures, a message taken, another failure: 1 s again, not 4."""

    async def behaviour(peer: scripted_server.Peer) -> None:
        await (m.behaves if peer.number == 2 else m.busy_at_banner)(peer)

    async with pooled(behaviour) as (pool, _, clock):
        for seconds in (1, 2):
            with pytest.raises(HostUnavailable):
                await pool.acquire()
            clock.seconds += seconds
        assert await send(pool) == ["accepted"]
        held = await pool.acquire()
        held.abort()
        pool.release(held)
        with pytest.raises(HostUnavailable) as caught:
            await pool.acquire()
        assert caught.value.retry_at_ms == clock.now_ms() + 1000


async def test_a_gone_connection_does_not_knock_at_a_closed_host() -> None:
    """Two kept ones are gone: the first knocks in vain, the second is told at once."""

    async def behaviour(peer: scripted_server.Peer) -> None:
        if peer.number >= 2:
            await m.busy_at_banner(peer)
            return
        await peer.greet()
        await peer.take_envelope()

    async with pooled(behaviour) as (pool, server, _):
        await pool.warm(2)
        for connection in (await pool.acquire(), await pool.acquire()):
            delivery = await connection.deliver(ONE, MAIL)
            pool.release(connection)
            assert states(delivery) == ["deferred"]
            assert delivery.host_trouble
        assert len(server.peers) == 3


async def test_who_waits_for_a_connection_that_is_gone_is_told() -> None:
    """Both connections turn out to be gone while the host is closed: the message in line is not left there for ever."""

    async def behaviour(peer: scripted_server.Peer) -> None:
        if peer.number >= 2:
            await m.busy_at_banner(peer)
            return
        await peer.greet()
        await peer.take_envelope()

    async with pooled(behaviour, PoolLimits(connections=2)) as (pool, _, _clock):
        await pool.warm(2)
        lent = (await pool.acquire(), await pool.acquire())
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        for connection in lent:
            assert states(await connection.deliver(ONE, MAIL)) == ["deferred"]
            pool.release(connection)
        with pytest.raises(HostUnavailable):
            await asyncio.wait_for(waiting, 5)


async def test_an_abort_ends_the_wait_for_a_fresh_connection() -> None:
    """The kept one is gone and the fresh one does not greet: the abort is not slept through, and blames nobody."""

    async def behaviour(peer: scripted_server.Peer) -> None:
        await (m.ClosesKeptAtMail(), m.silent_at_banner, m.behaves)[peer.number](peer)

    async with pooled(behaviour) as (pool, server, _):
        assert await send(pool) == ["accepted"]
        connection = await pool.acquire()
        delivering = asyncio.create_task(connection.deliver(ONE, MAIL))
        await server.connected(2)
        connection.abort()
        delivery = await asyncio.wait_for(delivering, 5)
        pool.release(connection)
        assert states(delivery) == ["deferred"]
        assert not delivery.dot_sent
        assert await send(pool) == ["accepted"]
        assert [len(p.bodies) for p in server.peers] == [1, 0, 1]


async def test_an_abort_right_after_the_connection_went() -> None:
    """The line broke, nobody has noticed yet, and the abort comes: no fresh connection carries the message away."""
    async with pooled(m.behaves) as (pool, server, _):
        assert await send(pool) == ["accepted"]
        connection = await pool.acquire()
        delivering = asyncio.create_task(connection.deliver(ONE, MAIL))
        await asyncio.sleep(0)
        connection.session.wire.fail(Trouble.LOST)
        connection.abort()
        assert states(await delivering) == ["deferred"]
        pool.release(connection)
        assert [len(p.bodies) for p in server.peers] == [1]


async def test_side_by_side_failures_count_once() -> None:
    """Sixteen connections that fail together close the host for 1 s, not for 60."""
    async with pooled(m.busy_at_banner) as (pool, _, clock):
        results = await asyncio.gather(*(pool.acquire() for _ in range(40)), return_exceptions=True)
        assert all(isinstance(r, HostUnavailable) for r in results)
        with pytest.raises(HostUnavailable) as caught:
            await pool.acquire()
        assert caught.value.retry_at_ms == clock.now_ms() + 1000


async def test_a_host_that_limits_connections_is_used_within_them() -> None:
    """It takes two and answers 421 to more: every message goes out over the two."""
    living = 0

    async def behaviour(peer: scripted_server.Peer) -> None:
        nonlocal living
        if living >= 2:
            await m.busy_at_banner(peer)
            return
        living += 1
        await m.behaves(peer)

    async with pooled(behaviour, PoolLimits(connections=8)) as (pool, _, _clock):
        assert await asyncio.gather(*(send(pool) for _ in range(30))) == [["accepted"]] * 30
        assert pool.open_connections == 2


async def test_closing_ends_every_conversation() -> None:
    """Idle ones say QUIT, lent ones are cut, waiters are told."""
    async with pooled(m.behaves, PoolLimits(connections=2)) as (pool, server, _):
        held, other = await pool.acquire(), await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(HostUnavailable):
            await waiting
        with pytest.raises(HostUnavailable):
            await pool.acquire()
        pool.release(held)
        pool.release(other)
        await server.all_ended()
        assert pool.open_connections == 0


async def test_a_cancelled_opening_gives_its_place_back() -> None:
    """The place of a message that gave up goes to the next one."""
    gate = asyncio.Event()

    async def behaviour(peer: scripted_server.Peer) -> None:
        if peer.number == 0:
            await peer.hear_out()
        gate.set()
        await m.behaves(peer)

    async with pooled(behaviour, PoolLimits(connections=1)) as (pool, server, _):
        opening = asyncio.create_task(pool.acquire())
        await server.connected(1)
        waiting = asyncio.create_task(send(pool))
        await asyncio.sleep(0)
        opening.cancel()
        assert await waiting == ["accepted"]
        assert gate.is_set()


def test_limits_have_defaults() -> None:
    """Sixteen connections, a thousand messages each, a minute idle."""
    assert PoolLimits() == PoolLimits(connections=32, messages=1_000, idle=60.0)
