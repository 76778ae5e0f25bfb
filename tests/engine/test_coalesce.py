"""Many small askers become few groups."""

import asyncio
from collections.abc import Sequence

import pytest

from postclock.core.errors import Busy
from postclock.engine.coalesce import Coalescer


class Slow:
    """A flush that waits to be let go, and remembers its groups."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = asyncio.Semaphore(0)
        self.began = asyncio.Semaphore(0)
        self.trouble: list[Exception] = []

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.groups.append(list(items))
        self.began.release()
        await self.go.acquire()
        if self.trouble:
            raise self.trouble.pop()
        return [i * 10 for i in items]


async def test_an_idle_one_waits_for_nobody_and_a_busy_one_groups() -> None:
    """The first goes alone; what comes while it is under way goes together, each with its own answer."""
    slow = Slow()
    coalescer = Coalescer(slow, 100)
    running = asyncio.ensure_future(coalescer.run())
    first = asyncio.ensure_future(coalescer.put(1))
    await slow.began.acquire()
    rest = [asyncio.ensure_future(coalescer.put(i)) for i in (2, 3, 4)]
    slow.go.release()
    await slow.began.acquire()
    slow.go.release()
    assert await asyncio.gather(first, *rest) == [10, 20, 30, 40]
    assert slow.groups == [[1], [2, 3, 4]]
    await coalescer.close()
    await running


async def test_no_group_is_larger_than_the_limit() -> None:
    """The rest follows in the next."""
    slow = Slow()
    coalescer = Coalescer(slow, 2)
    asked = [asyncio.ensure_future(coalescer.put(i)) for i in range(5)]
    running = asyncio.ensure_future(coalescer.run())
    for _ in range(3):
        slow.go.release()
    assert await asyncio.gather(*asked) == [0, 10, 20, 30, 40]
    assert slow.groups == [[0, 1], [2, 3], [4]]
    await coalescer.close()
    await running


async def test_an_error_is_told_to_its_group_alone() -> None:
    """Everybody of the group hears of it; the next group is served."""
    slow = Slow()
    coalescer = Coalescer(slow, 2)
    asked = [asyncio.ensure_future(coalescer.put(i)) for i in range(3)]
    running = asyncio.ensure_future(coalescer.run())
    slow.trouble = [Busy("disk full")]
    slow.go.release()
    slow.go.release()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(a) for a in answers] == [Busy, Busy, int]
    await coalescer.close()
    await running


async def test_close_finishes_what_waits_and_then_takes_nothing() -> None:
    """An asker after the end is told so instead of waiting for ever."""
    slow = Slow()
    coalescer = Coalescer(slow, 1)
    asked = [asyncio.ensure_future(coalescer.put(i)) for i in range(3)]
    for _ in range(3):
        slow.go.release()
    running = asyncio.ensure_future(coalescer.run())
    await coalescer.close()
    assert [a.result() for a in asked] == [0, 10, 20]
    await running
    with pytest.raises(Busy):
        await coalescer.put(4)


async def test_an_asker_who_goes_away_changes_nothing() -> None:
    """The item is flushed, the others get their answers."""
    slow = Slow()
    coalescer = Coalescer(slow, 10)
    gone, stays = asyncio.ensure_future(coalescer.put(1)), asyncio.ensure_future(coalescer.put(2))
    running = asyncio.ensure_future(coalescer.run())
    await slow.began.acquire()
    gone.cancel()
    slow.go.release()
    assert await stays == 20
    assert slow.groups == [[1, 2]]
    await coalescer.close()
    await running
