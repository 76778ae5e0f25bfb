"""The hand that hurts: a life that was told to end at a point has ended before the next blow falls."""

import asyncio
import signal
from types import SimpleNamespace
from typing import Any, cast

from postclock.torture.hurt import Hurt
from postclock.torture.plan import Pain, dice_of
from postclock.torture.processes import Place, Processes

ROUNDS = 5


class Yielding:
    """A clock whose sleep lets the others run once, and takes no time."""

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Slow:
    """Processes that take some rounds to start; what is asked of them is kept."""

    def __init__(self) -> None:
        self.places = [Place(name="serve0", args=(), process=cast(Any, "first"))]
        self.waited_for: list[Any] = []

    def send(self, place: Place, number: signal.Signals) -> None:
        """As Processes: what follows begins to start at once."""
        place.process, place.dies = None, True

    async def ended(self, place: Place, process: Any, seconds: float) -> bool:
        self.waited_for.append(process)
        return True


async def test_the_life_that_ends_at_a_point_is_waited_for() -> None:
    """It is waited for once it runs: else its end, and the next start, would fall into another blow."""
    processes = Slow()
    hurt = Hurt(
        clock=cast(Any, Yielding()),
        dice=dice_of(1, "plan"),
        processes=cast(Processes, processes),
        load=cast(Any, SimpleNamespace()),
        sink=cast(Any, SimpleNamespace()),
        proxy=None,
        database=None,
    )

    async def start() -> None:
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        processes.places[0].process = cast(Any, "second")

    async with asyncio.TaskGroup() as group:
        group.create_task(start())
        await hurt._blows["kill at"](Pain(kind="kill at", calm=0.0, seconds=0.0, point="departed"))
    assert processes.waited_for == ["first", "second"]
