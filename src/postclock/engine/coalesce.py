"""Many small askers, one statement group: what comes in while the last group commits goes out with the next.

An idle engine waits for nobody. A busy one lingers a few milliseconds: a commit costs as much for one mail as for ten.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from postclock.core.errors import Busy

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """``flush`` takes up to ``limit`` items and answers each, in order. ``run`` is a loop of the supervisor.

    ``linger`` says for how many seconds the first item of a group waits for others now; 0: not at all.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        limit: int,
        linger: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._flush = flush
        self._limit = limit
        self._linger = linger
        self._enough = asyncio.Event()
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._some = asyncio.Event()
        self._closing = False
        self._done = asyncio.Event()

    async def put(self, item: T) -> R:
        """The item's own answer, or the group's error. Raises Busy when closed: nobody would answer any more."""
        if self._done.is_set():
            raise Busy("the engine has stopped")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._some.set()
        if len(self._waiting) >= self._limit:
            self._enough.set()
        return await future

    async def run(self) -> None:
        """Flush until closed and empty."""
        while True:
            await self._some.wait()
            if not self._waiting:
                if self._closing:
                    self._done.set()
                    return
                self._some.clear()
                continue
            await self._gather(self._linger())
            group, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            try:
                answers = await self._flush([item for item, _ in group])
            except Exception as error:  # noqa: BLE001  (each asker hears of it and decides)
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _gather(self, seconds: float) -> None:
        if seconds <= 0 or self._closing or len(self._waiting) >= self._limit:
            return
        self._enough.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._enough.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Finish what is waiting, then let ``run`` end."""
        self._closing = True
        self._some.set()
        self._enough.set()
        await self._done.wait()
