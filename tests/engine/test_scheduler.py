"""From accepted to handed over: claimed ahead, prepared, departed on the second, and given back when it cannot go."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from postclock.core.account import TenantSettings
from postclock.core.lifecycle import State
from postclock.core.message import Attachment
from postclock.courier.interface import HostUnavailable
from postclock.engine import scheduler as scheduling
from tests.engine.courier_double import BROKEN, CLOSING, LATER
from tests.engine.parts import (
    SETTINGS,
    TEMPLATE,
    Bench,
    becomes,
    bench,
    body,
    is_so,
    people,
    person,
    turns,
    version,
)


async def test_an_immediate_mail_is_claimed_without_waiting_for_the_poll(shop: Bench) -> None:
    """What is accepted arms the timer: the moved clock never reaches a poll."""
    async with shop.running():
        message = await shop.send()
        await shop.courier.came(1)
        await shop.is_in(message, State.delivered)
        await shop.is_empty()
    assert shop.points[:3] == ["claimed", "prepared", "departed"]


async def test_a_scheduled_mail_is_prepared_ahead_and_leaves_on_its_millisecond(shop: Bench) -> None:
    """Two seconds ahead it is reserved and made, and stays queued; it is handed over at its time, not one before."""
    async with shop.running():
        message = await shop.send(due_in=10_000)
        due = shop.now + 10_000
        await turns()
        assert shop.points == []
        shop.later(8.5)
        await becomes(lambda: is_so("prepared" in shop.points))
        assert await shop.state(message) is State.queued
        shop.later(1.499)
        await turns()
        assert not shop.courier.handed
        shop.later(0.001)
        (handed,) = await shop.courier.came(1)
        assert handed.at_ms == due
        await shop.is_in(message, State.delivered)
    assert shop.points[0] == "reserved"


async def test_an_earlier_one_arms_the_timer_anew(shop: Bench) -> None:
    """While it sleeps until tomorrow, something for today comes in."""
    async with shop.running():
        await shop.send("later@example.net", due_in=86_400_000)
        await turns()
        await shop.send("now@example.net")
        (handed,) = await shop.courier.came(1)
        assert handed.envelope.recipients == ("now@example.net",)


async def test_the_safety_poll_finds_what_nobody_told(shop: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process's row has no listener here: the poll finds it."""
    monkeypatch.setattr(scheduling, "NAP", 0.02)
    async with shop.running():
        await turns()
        shop.store.ledger._listeners.clear()
        await shop.send()
        await shop.courier.came(1)


async def test_a_crowded_engine_does_not_claim_in_circles(tmp_path: Path) -> None:
    """Full, it waits to be told: the number of claims follows the room that was freed, not the time that passed."""
    async with bench(tmp_path, replace(SETTINGS, room=100)) as shop:
        shop.courier.may_open.clear()
        async with shop.running():
            ids = await shop.accept(*people(300), lane=2)
            await becomes(lambda: is_so(shop.flow.inside > 60))
            await turns(50)
            claims = shop.ledger.calls["claim"]
            await turns(200)
            assert shop.ledger.calls["claim"] == claims
            assert shop.flow.inside <= 100
            shop.courier.may_open.set()
            await shop.courier.came(300)
            await shop.is_in(ids[-1], State.delivered)
            await shop.is_empty()
        assert shop.ledger.calls["claim"] < 60
        assert len(set(shop.courier.addresses())) == 300


async def test_heavy_mail_is_made_piece_by_piece(tmp_path: Path) -> None:
    """A hundred that share a large file never lie in memory all at once, and all arrive."""
    octets = 300_000
    async with bench(tmp_path, replace(SETTINGS, room_bytes=2_000_000, workers=2)) as shop:
        sha = "ab" * 32
        await shop.store.messages.put_blobs(shop.tenant, {sha: bytes(octets)}, shop.now)
        shop.courier.may_open.clear()
        async with shop.running():
            await shop.accept(*people(60), lane=2, attachments=(Attachment(sha, octets, "a.bin"),))
            await becomes(lambda: is_so(shop.flow.octets > 2_000_000))
            await turns(100)
            most = 2_000_000 + 2 * (scheduling.PART_OCTETS * 3 // 2)
            assert shop.flow.octets < most < 60 * octets * 4 // 3
            assert shop.points.count("prepared") < 60
            await shop.send("urgent@example.net", contents=body())
            shop.courier.may_open.set()
            await shop.courier.came(61)
            await shop.is_empty()


async def test_no_claim_while_the_host_is_closed(shop: Bench) -> None:
    """The host says when it may be asked again: until then nothing is claimed; the deferral schedule does not advance."""
    shop.courier.refusals.append(HostUnavailable("connecting: refused", retry_at_ms=shop.now + 30_000))
    async with shop.running():
        first = await shop.send("ada@example.net")
        await shop.is_in(first, State.deferred)
        claims = shop.ledger.calls["claim"]
        second = await shop.send("bob@example.net")
        await turns()
        assert shop.ledger.calls["claim"] == claims
        shop.later(31.1)
        await shop.courier.came(2)
        await shop.is_in(first, State.delivered)
        await shop.is_in(second, State.delivered)
        assert "deferred" in await shop.timeline(first)
        await shop.is_empty()


async def test_a_clock_set_back_does_not_lengthen_the_pause(shop: Bench) -> None:
    """The pause is measured on the hand that never goes back."""
    shop.scheduler.pause(30_000)
    shop.clock.jump(-3_600)
    async with shop.running():
        await shop.send()
        shop.later(30)
        await shop.courier.came(1)


async def test_mail_made_from_an_older_template_is_made_again(shop: Bench) -> None:
    """The version changed between preparing and the second: what departs is of the new one."""
    await shop.template(version(1, "Old"), version(2, "New", active=False))
    async with shop.running():
        message = await shop.send(due_in=1_000, template_id=TEMPLATE, template_version=1)
        await becomes(lambda: is_so("prepared" in shop.points))
        await shop.store.templates.activate_version(shop.tenant, TEMPLATE, 2, shop.now, active=True)
        shop.later(1)
        (handed,) = await shop.courier.came(1)
        await shop.is_in(message, State.delivered)
        await shop.is_empty()
    assert b"Subject: New\r\n" in handed.content
    assert shop.metrics.registry.get_sample_value("postclock_departures_held_total", {"why": "stale"}) == 1


async def test_a_tenants_new_settings_hold_for_what_was_prepared_before(shop: Bench) -> None:
    """The policy for the uncertain is that of the departure."""
    async with shop.running():
        message = await shop.send(due_in=1_000)
        await becomes(lambda: is_so("prepared" in shop.points))
        await shop.store.accounts.change_settings(shop.tenant, lambda _: TenantSettings(uncertain="hold"))
        shop.courier.answers.append(BROKEN)
        shop.later(1)
        await shop.is_in(message, State.uncertain)
        await shop.is_empty()
    assert (await shop.detail(message)).next_attempt_at is None


async def test_the_uncertain_is_made_again_from_its_stamp(shop: Bench) -> None:
    """After the wait: the same bytes, though another version is active and the stamp's own was deleted meanwhile."""
    await shop.template(version(1, "Old", html="<p>Old</p>"), version(2, "New", html="<p>New</p>", active=False))
    async with shop.running():
        shop.courier.answers.append(BROKEN)
        message = await shop.send(template_id=TEMPLATE, template_version=1)
        await shop.is_in(message, State.uncertain)
        await shop.store.templates.activate_version(shop.tenant, TEMPLATE, 2, shop.now, active=True)
        await shop.store.templates.delete_version(shop.tenant, TEMPLATE, 1, shop.now)
        shop.later(11 * 60 - 1)
        await turns()
        assert len(shop.courier.handed) == 1
        shop.later(2)
        first, again = await shop.courier.came(2)
        await shop.is_in(message, State.delivered)
    assert first.content == again.content


async def test_one_that_departs_after_a_server_broke_off_comes_less_and_less_often(shop: Bench) -> None:
    """Broken off after every dot: the waits grow."""
    async with shop.running():
        message = await shop.send()
        shop.courier.answers.extend([BROKEN] * 8)
        waits = []
        for n in range(1, 8):
            await shop.courier.came(n)
            await shop.is_in(message, State.uncertain)
            at = (await shop.detail(message)).next_attempt_at
            assert at is not None
            waits.append(round((at - shop.now) / 60_000))
            shop.later((at - shop.now) / 1000)
    assert waits == [11, 11, 15, 30, 60, 120, 120]


async def test_a_421_costs_the_message_nothing(shop: Bench) -> None:
    """Ten in a row: each time it is tried again after a minute, as if it were the first."""
    shop.courier.answers.extend([CLOSING] * 10)
    async with shop.running():
        message = await shop.send()
        for n in range(1, 11):
            await shop.courier.came(n)
            await shop.is_in(message, State.deferred)
            shop.later(61)
        await shop.is_in(message, State.delivered)


async def test_a_deferral_is_tried_again_by_the_schedule(shop: Bench) -> None:
    """After one minute, then after five more, never before."""
    shop.courier.answers.extend([LATER, LATER])
    async with shop.running():
        message = await shop.send()
        await shop.is_in(message, State.deferred)
        for wait, n in ((60, 2), (300, 3)):
            shop.later(wait - 1)
            await turns()
            assert len(shop.courier.handed) == n - 1
            shop.later(1.001)
            await shop.courier.came(n)
            await becomes(lambda: is_so(shop.flow.inside == 0))
        await shop.is_in(message, State.delivered)


async def test_what_was_cancelled_after_it_was_claimed_does_not_leave(shop: Bench) -> None:
    """Prepared and waiting for its second; the cancel wins, the room is free again."""
    async with shop.running():
        message = await shop.send(due_in=1_500)
        await becomes(lambda: is_so("prepared" in shop.points))
        await shop.store.messages.cancel(shop.tenant, 0, message, shop.now)
        shop.later(2)
        await shop.is_empty()
        assert not shop.courier.handed
    assert await shop.state(message) is State.cancelled


async def test_a_step_back_gives_back_what_is_far_off_again(shop: Bench) -> None:
    """Reserved two seconds ahead, then the clock is set back an hour: it must not fill the room for an hour."""
    tasks: list[asyncio.Task[None]] = []
    shop.skew.on_back = lambda: tasks.append(asyncio.ensure_future(shop.scheduler.give_back_far()))
    async with shop.running():
        message = await shop.send(due_in=1_500)
        await becomes(lambda: is_so("prepared" in shop.points))
        due = shop.now + 1_500
        shop.clock.jump(-3_600)
        shop.skew.look()
        await shop.is_empty()
        assert await shop.state(message) is State.queued
        shop.later(3_601.5)
        (handed,) = await shop.courier.came(1)
        assert handed.at_ms == due
    await asyncio.gather(*tasks)


async def test_a_forward_jump_holds_scheduled_mail_and_lets_urgent_mail_go(shop: Bench) -> None:
    """An hour too early nothing scheduled leaves; what is for now does."""
    async with shop.running():
        scheduled = await shop.send("later@example.net", due_in=3_600_000)
        await turns()
        shop.clock.jump(3_600)
        shop.skew.look()
        shop.scheduler.wake()
        await becomes(lambda: is_so("prepared" in shop.points))
        await shop.send("now@example.net")
        (handed,) = await shop.courier.came(1)
        assert handed.envelope.recipients == ("now@example.net",)
        await turns()
        assert len(shop.courier.handed) == 1
        shop.later(60)
        shop.skew.look()
        await shop.is_in(scheduled, State.delivered)


async def test_a_forward_jump_does_not_shorten_the_wait_of_the_uncertain(shop: Bench) -> None:
    """Eleven minutes are eleven minutes: a clock that jumped has to stand first, and when it is put right nothing was sent."""
    shop.courier.answers.append(BROKEN)
    async with shop.running():
        message = await shop.send()
        await shop.is_in(message, State.uncertain)
        shop.clock.jump(3_600)
        shop.skew.look()
        shop.scheduler.wake()
        await becomes(lambda: is_so(shop.points.count("prepared") == 2))
        await turns()
        assert len(shop.courier.handed) == 1
        shop.clock.jump(-3_600)
        shop.skew.look()
        shop.flow.wake()
        await shop.scheduler.give_back_far()
        await turns()
        assert len(shop.courier.handed) == 1
        shop.later(11 * 60)
        await shop.courier.came(2)


async def test_a_clock_that_goes_back_sends_nothing_twice(shop: Bench) -> None:
    """Sent, then the clock says it is not due yet: it stays sent."""
    async with shop.running():
        message = await shop.send(due_in=5_000)
        shop.later(5)
        await shop.is_in(message, State.delivered)
        shop.clock.jump(-3_600)
        shop.skew.look()
        shop.later(7_200)
        await turns(50)
        assert len(shop.courier.handed) == 1


async def test_stopped_everything_that_was_held_is_given_back(shop: Bench) -> None:
    """Waiting for its second, waiting for a connection, waiting for a worker: all queued again, nothing departed."""
    shop.courier.may_open.clear()
    async with shop.running():
        ids = await shop.accept(*people(40), contents=body())
        ids += await shop.accept(person("ada@example.net"), due_in=1_500)
        await becomes(lambda: is_so(shop.points.count("prepared") == 41))
    assert not shop.courier.handed
    assert shop.flow.inside == 0
    for ident in ids:
        assert await shop.state(ident) is State.queued
    assert len(await shop.claim(ahead=2_000)) == 41
