"""Webhooks told in trouble: a store that is busy, a stop at the wrong moment, a clock that was wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postclock.core.errors import Busy
from postclock.engine import notify
from postclock.store.outbox import DeliveryState, Outbox
from tests.engine.notify_desk import REFUSED, Desk, Receiver, running
from tests.engine.parts import becomes, is_so


class Troubled:
    """An outbox that is busy as often as it is told."""

    def __init__(self, inner: Outbox) -> None:
        self._inner = inner
        self.trouble: dict[str, int] = {}
        self.afterwards: dict[str, Callable[[], None]] = {}
        """What happens right after a call."""

    def __getattr__(self, name: str) -> Any:
        there = getattr(self._inner, name)

        async def asked(*args: Any) -> Any:
            if self.trouble.get(name, 0):
                self.trouble[name] -= 1
                raise Busy("not now")
            found = await there(*args)
            self.afterwards.get(name, lambda: None)()
            return found

        return asked


@asynccontextmanager
async def troubled(folder: Path) -> AsyncIterator[tuple[Desk, Receiver, Troubled]]:
    """Webhooks over an outbox that does as the test says, once it has come to rest."""
    made: list[Troubled] = []

    def trouble(inner: Outbox) -> Any:
        made.append(Troubled(inner))
        return made[0]

    async with running(folder, Receiver, trouble) as desk:
        await desk.quiet()
        receiver = desk.notify.poster
        assert isinstance(receiver, Receiver)
        yield desk, receiver, made[0]


async def test_a_busy_store_stops_nothing(tmp_path: Path) -> None:
    """Looking, taking and reporting are tried again; what was posted and could be written in the end is not told twice."""
    async with troubled(tmp_path) as (desk, receiver, outbox):
        endpoint = await desk.hook()
        outbox.trouble = {"lease": 1, "take": 1, "report": 2}
        await desk.send("ada")
        for _ in range(20):
            await becomes(lambda: is_so(desk.clock.sleepers == 1 + desk.notify.turns))
            desk.clock.move(5)
        await desk.quiet()
        assert outbox.trouble == {"lease": 0, "take": 0, "report": 0}
        assert receiver.told == [("ada", "processed")]
        assert [r.state for r in await desk.rows(endpoint)] == [DeliveryState.delivered]


async def test_a_reading_that_takes_too_long_takes_less(tmp_path: Path) -> None:
    """Large mails are looked into fewer at a time, until it works; then more again."""
    async with troubled(tmp_path) as (desk, receiver, outbox):
        await desk.hook()
        outbox.trouble = {"take": 3}
        await desk.send(*(f"r{i}" for i in range(40)))
        for _ in range(4):
            await desk.pass_by(1)
        assert [len(events) for _, events in receiver.posts] == [15, 25]


async def test_a_stop_before_the_first_post_is_no_success(tmp_path: Path) -> None:
    """An endpoint that fails is not taken for well because nothing more was posted."""
    async with troubled(tmp_path) as (desk, receiver, outbox):
        receiver.answer = lambda _: REFUSED
        endpoint = await desk.hook("sendara")
        await desk.send("ada")
        await desk.pass_by(1)
        failing = (await desk.seen(endpoint)).health
        assert failing.failures == 1

        def stop() -> None:
            desk.notify.is_stopping = True

        outbox.afterwards = {"probe": stop}
        desk.clock.move(60)
        await becomes(lambda: is_so(desk.notify.is_stopping and not desk.notify.turns))
        assert (await desk.seen(endpoint)).health == failing
        assert len(receiver.posts) == 1


async def test_what_a_wrong_clock_wrote_keeps_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries from while the clock was ahead are too young to be forgotten; those behind them are forgotten all the same."""
    monkeypatch.setattr(notify, "FORGOTTEN_AT_ONCE", 2)
    async with running(tmp_path, Receiver) as desk:
        await desk.quiet()
        endpoint = await desk.hook()
        desk.clock.jump(365 * 86_400)
        await desk.send("early")
        desk.clock.jump(-365 * 86_400)
        await desk.send("a", "b", "c", "d")
        await desk.pass_by(1)
        async with asyncio.TaskGroup() as group:
            house = group.create_task(desk.notify.run_house())
            await becomes(lambda: is_so(desk.clock.sleepers == 2))
            desk.clock.move(90 * 86_400 + 1)

            async def gone() -> bool:
                return len(await desk.rows(endpoint)) == 1

            await becomes(gone)
            house.cancel()
