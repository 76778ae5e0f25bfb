"""Webhooks told by the real loop over the real store, with a clock that is moved and a receiver that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from postclock.core.account import Dialect
from postclock.courier.post import HttpPoster
from postclock.courier.post_interface import Answered
from postclock.courier.post_targets import networks
from postclock.engine import notify
from postclock.engine.notify_round import BESIDE, TURN_SECONDS
from postclock.store.outbox import DeliveryState, Post, Subscription, Told
from postclock.store.records import LIVE
from tests.engine.notify_desk import HOUR, REFUSED, TAKEN, Desk, Receiver, running, voice
from tests.engine.parts import becomes, is_so


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with running(tmp_path, Receiver) as made:
        await made.quiet()
        yield made


@pytest.fixture
def receiver(desk: Desk) -> Receiver:
    found = desk.notify.poster
    assert isinstance(found, Receiver)
    return found


async def test_an_array_takes_what_gathered(desk: Desk, receiver: Receiver) -> None:
    """/v3: one post for all, in order, marked as delivered."""
    endpoint = await desk.hook()
    ada, bob = await desk.send("ada", "bob")
    await desk.cancel(ada)
    await desk.pass_by(1)
    ((_, events),) = receiver.posts
    assert [(e["to"], e["type"], e["attempt"]) for e in events] == [
        ("ada", "processed", 1),
        ("bob", "processed", 1),
        ("ada", "cancelled", 1),
    ]
    assert [(r.state, r.attempts, r.response_status) for r in await desk.rows(endpoint)] == [
        (DeliveryState.delivered, 1, 200)
    ] * 3
    assert (await desk.seen(endpoint)).health.last_success_at == desk.clock.now_ms()
    await desk.pass_by(1)
    assert len(receiver.posts) == 1
    assert bob


async def test_an_array_has_a_thousand_events_at_the_most(desk: Desk, receiver: Receiver) -> None:
    """What is left follows at once."""
    await desk.hook()
    await desk.send(*(f"r{i}" for i in range(2500)))
    await desk.pass_by(1)
    assert [len(events) for _, events in receiver.posts] == [1000, 1000, 500]
    assert [to for to, _ in receiver.told] == [f"r{i}" for i in range(2500)]


async def test_single_events_go_beside_each_other(desk: Desk, receiver: Receiver) -> None:
    """/v1: one event a post, sixteen posts at once, each message's events one after the other."""
    await desk.hook("sendara")
    messages = await desk.send(*(f"r{i}" for i in range(40)))
    await desk.cancel(*messages[:20])
    receiver.gate = asyncio.Event()
    desk.clock.move(1)
    await becomes(lambda: is_so(receiver.beside == BESIDE))
    receiver.gate.set()
    await desk.quiet()
    assert receiver.most == BESIDE
    assert {len(events) for _, events in receiver.posts} == {1}
    assert len(receiver.posts) == 60
    for i in range(20):
        assert [kind for to, kind in receiver.told if to == f"r{i}"] == ["processed", "cancelled"]


async def test_an_event_is_tried_six_times(desk: Desk, receiver: Receiver) -> None:
    """At once and after 60, 300, 900, 3600 and 7200 seconds, under one id; then it has failed. A replay begins anew."""
    endpoint = await desk.hook()
    await desk.send("ada")
    receiver.answer = lambda _: REFUSED
    waits = (1, 60, 300, 900, 3600, 7200)
    for n, wait in enumerate(waits, start=1):
        await desk.pass_by(wait - 1)
        assert len(receiver.posts) == n - 1
        await desk.pass_by(1)
        assert len(receiver.posts) == n
        (row,) = await desk.rows(endpoint)
        assert (row.attempts, row.response_status, row.reason) == (n, 503, "answered 503")
    assert row.state is DeliveryState.failed
    assert len({e["id"] for _, events in receiver.posts for e in events}) == 1
    assert [e["attempt"] for _, events in receiver.posts for e in events] == [1, 2, 3, 4, 5, 6]
    await desk.pass_by(24 * HOUR)
    assert len(receiver.posts) == 6
    receiver.answer = lambda _: TAKEN
    outbox = desk.store.outbox
    assert await outbox.replay(desk.tenant, LIVE, "scaisend", endpoint.id, first=row.id, last=row.id, now=0) == 1
    await desk.pass_by(1)
    (row,) = await desk.rows(endpoint)
    assert (row.state, row.attempts) == (DeliveryState.delivered, 1)


@pytest.mark.parametrize("dialect", ["scaisend", "sendara"])
async def test_while_an_endpoint_fails_one_probe_at_a_time_uses_attempts(
    dialect: Dialect, desk: Desk, receiver: Receiver
) -> None:
    """The oldest is it; what waits behind it uses none; with the first success everything flows."""
    endpoint = await desk.hook(dialect)
    receiver.answer = lambda _: REFUSED
    await desk.send("ada")
    await desk.pass_by(1)
    await desk.send("bob", "cyd", "dan")
    await desk.pass_by(59)
    assert len(receiver.posts) == 1
    await desk.pass_by(1)
    await desk.pass_by(299)
    assert receiver.told == [("ada", "processed")] * 2
    assert [r.attempts for r in await desk.rows(endpoint)] == [2, 0, 0, 0]
    receiver.answer = lambda _: TAKEN
    await desk.pass_by(1)
    assert sorted(receiver.told[3:]) == [("bob", "processed"), ("cyd", "processed"), ("dan", "processed")]
    assert {r.state for r in await desk.rows(endpoint)} == {DeliveryState.delivered}
    assert (await desk.seen(endpoint)).health.failures == 0


async def test_what_fails_holds_back_its_own_message_alone(desk: Desk, receiver: Receiver) -> None:
    """Others of the same endpoint go on; the later event follows the earlier one, never before it."""
    endpoint = await desk.hook("sendara")
    receiver.gate = asyncio.Event()
    receiver.answer = lambda events: REFUSED if events[0]["to"] == "ada" else TAKEN
    ada, _ = await desk.send("ada", "bob")
    await desk.cancel(ada)
    desk.clock.move(1)
    await becomes(lambda: is_so(receiver.beside == 2))
    receiver.gate.set()
    await desk.quiet()
    assert receiver.told == [("ada", "processed"), ("bob", "processed")]
    receiver.gate = None
    await desk.send("cyd")
    await desk.pass_by(1)
    assert (await desk.seen(endpoint)).health.failures == 0
    assert receiver.told[2:] == [("cyd", "processed")]
    receiver.answer = lambda _: TAKEN
    await desk.pass_by(60)
    assert receiver.told[3:] == [("ada", "processed"), ("ada", "cancelled")]


async def test_an_event_that_is_never_taken_drags_few_others_along(desk: Desk, receiver: Receiver) -> None:
    """After a failure arrays begin small: everything else arrives, and that one fails by itself in the end."""
    endpoint = await desk.hook()
    receiver.answer = lambda events: REFUSED if any(e["to"] == "r5" for e in events) else TAKEN
    await desk.send(*(f"r{i}" for i in range(20)))
    for _ in range(400):
        await desk.pass_by(60)
    rows = await desk.rows(endpoint)
    assert [(r.state is DeliveryState.delivered) for r in rows] == [i != 5 for i in range(20)]
    assert rows[5].state is DeliveryState.failed
    assert rows[5].attempts == 6
    assert (await desk.seen(endpoint)).active


async def test_an_endpoint_that_always_fails_is_switched_off(desk: Desk, receiver: Receiver) -> None:
    """After ten failures in a row; what happens then is not collected; switched on again everything that waits flows."""
    endpoint = await desk.hook()
    receiver.answer = lambda _: REFUSED
    await desk.send("ada", "bob", "cyd")
    await desk.pass_by(1)
    while (await desk.seen(endpoint)).active:
        assert len(receiver.posts) < 10
        await desk.pass_by(7200)
    assert len(receiver.posts) == 10
    health = (await desk.seen(endpoint)).health
    assert (health.failures, health.disabled_at) == (10, desk.clock.now_ms())
    await desk.send("dan")
    await desk.pass_by(24 * HOUR)
    assert len(receiver.posts) == 10
    receiver.answer = lambda _: TAKEN
    await desk.store.outbox.change(
        desk.tenant, LIVE, endpoint.id, lambda s: replace(s, active=True), desk.clock.now_ms()
    )
    await desk.pass_by(1)
    assert [r.state for r in await desk.rows(endpoint)] == [DeliveryState.delivered] * 3
    assert ("dan", "processed") not in receiver.told


async def test_endpoints_do_not_wait_for_each_other(desk: Desk, receiver: Receiver) -> None:
    """One that takes its time holds up nobody else."""
    slow, quick = await desk.hook(), await desk.hook("sendara")
    await desk.send("ada")
    receiver.gate = asyncio.Event()
    desk.clock.move(1)
    await becomes(lambda: is_so(receiver.beside == 2))
    gate, receiver.gate = receiver.gate, None
    await desk.send("bob")
    assert desk.notify.turns == 2
    gate.set()
    await desk.quiet()
    await desk.pass_by(1)
    for endpoint in (slow, quick):
        assert [r.state for r in await desk.rows(endpoint)] == [DeliveryState.delivered] * 2


async def test_an_endpoint_without_end_lets_others_go_first(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn lasts a minute: then whoever waited longest has one."""
    monkeypatch.setattr(notify, "ENDPOINTS", 1)

    def answer(events: list[dict[str, Any]]) -> Answered:
        if len(events) > 1:
            desk.clock.move(TURN_SECONDS)
        return TAKEN

    receiver.answer = answer
    await desk.hook()
    await desk.hook("sendara")
    await desk.send(*(f"r{i}" for i in range(1050)))
    for _ in range(4):
        await desk.pass_by(1)
    sizes = [len(events) for _, events in receiver.posts]
    assert sizes == [1000, *[1] * 1050, 50]


async def test_switched_off_and_on_while_a_post_is_under_way(desk: Desk, receiver: Receiver) -> None:
    """What becomes of that post says nothing of the endpoint as it is now: what happens next is told at once."""
    endpoint = await desk.hook()
    await desk.send("ada")
    receiver.gate = asyncio.Event()
    receiver.answer = lambda _: REFUSED
    desk.clock.move(1)
    await becomes(lambda: is_so(receiver.beside == 1))
    place, now = (desk.tenant, LIVE, endpoint.id), desk.clock.now_ms()
    await desk.store.outbox.change(*place, lambda s: replace(s, active=False), now)
    await desk.store.outbox.change(*place, lambda s: replace(s, active=True), now)
    await becomes(lambda: is_so(desk.clock.sleepers > 0))
    desk.clock.move(1)
    await becomes(lambda: is_so(desk.clock.sleepers > 0))
    receiver.gate.set()
    await desk.quiet()
    assert (await desk.seen(endpoint)).health.failures == 0
    receiver.answer = lambda _: TAKEN
    await desk.send("bob")
    await desk.pass_by(1)
    assert receiver.told == [("ada", "processed"), ("bob", "processed")]


async def test_a_body_that_cannot_be_made_is_a_failure_like_any_other(desk: Desk, receiver: Receiver) -> None:
    """It is told in the list, and the loop goes on."""
    endpoint = await desk.hook()

    def broken(subscription: Subscription, told: Sequence[Told], now: int) -> Post:
        raise RuntimeError("no key fits")

    desk.notify.voices = {"scaisend": broken, "sendara": voice}
    await desk.send("ada")
    await desk.pass_by(1)
    (row,) = await desk.rows(endpoint)
    assert (row.state, row.attempts, row.response_status) == (DeliveryState.waiting, 1, None)
    assert row.reason == "the post could not be made"
    desk.notify.voices = {"scaisend": voice, "sendara": voice}
    await desk.pass_by(60)
    assert receiver.told == [("ada", "processed")]


async def test_a_stop_waits_for_what_is_under_way(desk: Desk, receiver: Receiver) -> None:
    """What was answered is written, and nothing new is begun."""
    endpoint = await desk.hook("sendara")
    await desk.send(*(f"r{i}" for i in range(40)))
    receiver.gate = asyncio.Event()
    desk.clock.move(1)
    await becomes(lambda: is_so(receiver.beside == BESIDE))
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(desk.notify.stop(30.0))
        await becomes(lambda: is_so(desk.notify.is_stopping))
        assert not stopping.done()
        receiver.gate.set()
    assert len(receiver.posts) == BESIDE
    states = [r.state for r in await desk.rows(endpoint)]
    assert states.count(DeliveryState.delivered) == BESIDE
    assert states.count(DeliveryState.waiting) == 40 - BESIDE


async def test_figures_and_the_end_of_what_is_old(desk: Desk, receiver: Receiver) -> None:
    """What waits is counted, posts and deliveries are; after as long as events are kept, deliveries are gone."""
    endpoint = await desk.hook()
    receiver.answer = lambda _: REFUSED
    await desk.send("ada", "bob")
    await desk.pass_by(1)
    async with asyncio.TaskGroup() as group:
        house = group.create_task(desk.notify.run_house())
        await becomes(lambda: is_so(desk.clock.sleepers == 2))
        desk.clock.move(15)
        await becomes(lambda: is_so(desk.figure("postclock_webhook_waiting") == 2))
        receiver.answer = lambda _: TAKEN
        for _ in range(2):  # the probe, and what waited behind it
            await becomes(lambda: is_so(desk.clock.sleepers == 2 and not desk.notify.turns))
            desk.clock.move(60)
        await becomes(lambda: is_so(desk.figure("postclock_webhook_deliveries_total", "delivered") == 2))
        assert desk.figure("postclock_webhook_posts_total", "failed") == 1
        await becomes(lambda: is_so(desk.clock.sleepers == 2))
        desk.clock.move(90 * 86_400 + 1)

        async def gone() -> bool:
            return not await desk.rows(endpoint)

        await becomes(gone)
        house.cancel()


async def test_a_real_server_hears_of_it(tmp_path: Path) -> None:
    """The same with the real client: a server on loopback that the operator allowed."""
    got: list[tuple[dict[str, str], bytes]] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        got.append((dict(request.headers), await request.read()))
        return web.Response()

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with running(tmp_path, lambda _: HttpPoster(allowed=networks(["127.0.0.0/8"]))) as desk:
        await desk.quiet()
        endpoint = await desk.hook(url=f"http://127.0.0.1:{runner.addresses[0][1]}/in")
        await desk.send("ada")
        await desk.pass_by(1)
        ((headers, body),) = got
        assert headers["X-For"] == str(endpoint.id)
        assert [e["to"] for e in json.loads(body)] == ["ada"]
    await runner.cleanup()
