"""What is inside the engine: room for each lane, turns, the gate that opens on the millisecond."""

import asyncio
import time
from typing import Final

import pytest

from postclock.core.lifecycle import State
from postclock.engine.flow import KEPT, LANES, REFILL, Flow
from postclock.engine.prepare import Prepared
from postclock.runtime.clock import SystemClock
from postclock.store.records import Claimed, PendingRecipient
from tests.support.clock import MovedClock

ROOM: Final = 1_000
OCTETS: Final = 10_000


def prepared(lane: int, start_at: int = 0, ident: int = 1, content: bytes = b"mail") -> Prepared:
    """Mail of a lane, ready from that moment on."""
    claimed = Claimed(
        ident, ident, 1, 1, 0, lane, None, 1, start_at, start_at, State.queued, 1, False, 0, 0, 0, None, None, b"", 1,
        (PendingRecipient(0, "ada@example.net"),),
    )  # fmt: skip
    return Prepared(
        claimed=claimed, content=content, smtputf8=False, domain="example.com", revision=1, stamp=b"", reissued=False,
        wire={}, uncertain="resend",
    )  # fmt: skip


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def flow(clock: MovedClock) -> Flow:
    return Flow(clock, ROOM, OCTETS)


def fill(flow: Flow, lane: int, n: int) -> None:
    for _ in range(n):
        flow.enter(lane)


async def takes(flow: Flow, n: int) -> list[int]:
    """The lanes of the next ones, in order."""
    out = []
    for _ in range(n):
        taken = await flow.take()
        assert taken is not None
        out.append(taken.claimed.lane)
    return out


def test_a_part_of_the_room_is_kept_for_each_lane(flow: Flow) -> None:
    """However full two lanes are, the third may claim its own part at once: somebody's password reset."""
    for lane in (1, 2):
        fill(flow, lane, flow.room_to_claim(lane))
    assert flow.room_to_claim(0) == int(ROOM * KEPT)
    assert flow.inside <= ROOM - int(ROOM * KEPT)


def test_one_lane_alone_gets_its_part_and_all_that_is_shared(flow: Flow) -> None:
    """The others' parts stay theirs."""
    assert flow.room_to_claim(2) == ROOM - 2 * int(ROOM * KEPT)


def test_lanes_that_fill_up_in_turn_never_exceed_the_room(flow: Flow) -> None:
    """Whatever is asked, the sum stays within the bound."""
    for _ in range(3):
        for lane in LANES:
            fill(flow, lane, flow.room_to_claim(lane))
    assert flow.inside <= ROOM


def test_a_crowded_lane_claims_again_only_when_it_has_room_worth_a_commit(flow: Flow) -> None:
    """No claim for one free place: ``on_room`` is called once, when there are enough of them."""
    called = []
    flow.on_room = lambda: called.append(1)
    fill(flow, 2, flow.room_to_claim(2))
    assert flow.room_to_claim(2) == 0
    for _ in range(REFILL - 1):
        flow.leave(2)
    assert not called
    assert flow.room_to_claim(2) == 0
    flow.leave(2)
    assert called == [1]
    assert flow.room_to_claim(2) == REFILL


def test_octets_bound_the_bulk_first_and_lane_0_a_little_later(flow: Flow) -> None:
    """At the bound bulk stops being claimed and made; urgent mail has a quarter more; when octets go, it is told."""
    called = []
    flow.on_room = lambda: called.append(1)
    flow.weigh(OCTETS)
    assert flow.room_to_claim(1) == flow.room_to_claim(2) == 0
    assert flow.is_too_heavy(2)
    assert flow.room_to_claim(0) > 0
    assert not flow.is_too_heavy(0)
    flow.weigh(OCTETS // 4)
    assert flow.room_to_claim(0) == 0
    flow.weigh(-OCTETS // 4)
    assert not flow.is_too_heavy(0)
    called.clear()
    flow.weigh(-1)
    assert called
    assert not flow.is_too_heavy(2)
    assert flow.octets == OCTETS - 1


async def test_lane_0_goes_first_and_lane_2_still_moves(flow: Flow) -> None:
    """In six turns each lane that waits is served at least once, lane 0 most."""
    for lane in LANES:
        for _ in range(6):
            flow.add(prepared(lane))
    first = await takes(flow, 6)
    assert first[0] == 0
    assert first.count(0) > first.count(1) >= first.count(2) >= 1
    assert sorted(first + await takes(flow, 12)) == [0] * 6 + [1] * 6 + [2] * 6


async def test_a_turn_nobody_uses_goes_to_the_most_urgent_that_waits(flow: Flow) -> None:
    """Bulk alone is served without a pause."""
    for _ in range(10):
        flow.add(prepared(2))
    assert await takes(flow, 10) == [2] * 10


async def test_nothing_early_leaves_before_its_millisecond(flow: Flow, clock: MovedClock) -> None:
    """One millisecond before it, it still waits; on it, it goes, earliest first."""
    flow.add(prepared(1, clock.now_ms() + 1_000, 2))
    flow.add(prepared(1, clock.now_ms() + 500, 1))
    gate = asyncio.ensure_future(flow.run_gate())
    first = asyncio.ensure_future(flow.take())
    second = asyncio.ensure_future(flow.take())
    clock.move(0.499)
    flow.wake()
    for _ in range(10):
        await asyncio.to_thread(lambda: None)
    assert not first.done()
    clock.move(0.001)
    flow.wake()
    taken = await first
    assert taken is not None
    assert taken.claimed.id == 1
    assert not second.done()
    clock.move(0.5)
    flow.wake()
    taken = await second
    assert taken is not None
    assert taken.claimed.id == 2
    flow.close()
    await gate


async def test_on_a_running_clock_the_gate_opens_within_milliseconds() -> None:
    """Not early by one; late by what the event loop needs."""
    clock = SystemClock()
    flow = Flow(clock, ROOM, OCTETS)
    gate = asyncio.ensure_future(flow.run_gate())
    due = time.time_ns() // 1_000_000 + 60
    flow.add(prepared(1, due))
    assert await flow.take() is not None
    late = clock.now_ms() - due
    assert 0 <= late < 200
    flow.close()
    await gate


async def test_held_scheduled_mail_waits_and_urgent_mail_behind_it_does_not(flow: Flow, clock: MovedClock) -> None:
    """While the clock is watched lanes 1 and 2 stand, lane 0 goes on its second even behind a held one."""
    gate = asyncio.ensure_future(flow.run_gate())
    flow.held = True
    flow.add(prepared(1, clock.now_ms() + 10))
    flow.add(prepared(2))
    flow.add(prepared(0, clock.now_ms() + 20))
    flow.add(prepared(0))
    assert await takes(flow, 1) == [0]
    clock.move(1)
    flow.wake()
    assert await takes(flow, 1) == [0]
    waiting = asyncio.ensure_future(flow.take())
    for _ in range(10):
        await asyncio.to_thread(lambda: None)
    assert not waiting.done()
    flow.held = False
    flow.wake()
    assert await waiting is not None
    assert len(await takes(flow, 1)) == 1
    flow.close()
    await gate


async def test_the_clock_is_looked_at_before_each_departure(flow: Flow, clock: MovedClock) -> None:
    """A jump between two looks is seen before anything early is let through by it."""

    def look() -> None:
        flow.held = True

    flow.add(prepared(1, clock.now_ms() + 5_000))
    flow.look = look
    clock.jump(3_600)
    gate = asyncio.ensure_future(flow.run_gate())
    taking = asyncio.ensure_future(flow.take())
    for _ in range(10):
        await asyncio.to_thread(lambda: None)
    assert not taking.done()
    assert [p.claimed.lane for p in flow.close()] == [1]
    assert await taking is None
    await gate


async def test_a_jump_right_after_the_look_is_not_believed(clock: MovedClock) -> None:
    """The time is read before the look: what comes between the two lets nothing through."""
    flow = Flow(clock, ROOM, OCTETS)
    flow.look = lambda: clock.jump(3_600)
    flow.add(prepared(1, clock.now_ms() + 5_000))
    assert [p.claimed.id for p in flow.pull(0)] == [1]


async def test_what_is_far_off_after_a_step_back_is_pulled_out(flow: Flow, clock: MovedClock) -> None:
    """The near ones stay, in their order."""
    for n in (1, 5, 3, 9):
        flow.add(prepared(1, clock.now_ms() + n * 1_000, n))
    assert sorted(p.claimed.id for p in flow.pull(clock.now_ms() + 4_000)) == [5, 9]
    clock.move(10)
    gate = asyncio.ensure_future(flow.run_gate())
    got = [await flow.take(), await flow.take()]
    assert [p.claimed.id for p in got if p is not None] == [1, 3]
    flow.close()
    await gate


async def test_closed_it_gives_everything_back_and_takes_nothing(flow: Flow, clock: MovedClock) -> None:
    """Ready and early ones come back, every waiting worker is told, a late add is refused."""
    waiting = [asyncio.ensure_future(flow.take()) for _ in range(3)]
    await asyncio.to_thread(lambda: None)
    flow.add(prepared(1, clock.now_ms() + 1_000))
    assert len(flow.close()) == 1
    assert await asyncio.gather(*waiting) == [None, None, None]
    assert not flow.add(prepared(0))
    assert await flow.take() is None
