"""The heartbeat: each process, an API one too, says every two seconds that it lives, until the store says otherwise.

Whether a life goes on is judged by the others, by what they have seen of it (engine/watch.py), never by a wall clock. A store that
cannot be written ends nobody: nobody can be seen to stand still either while it cannot be read.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from postclock.core.clock import Clock
from postclock.core.errors import Busy, PostclockError
from postclock.runtime.log import get_logger
from postclock.store.interface import Ledger
from postclock.store.records import Life

BEAT_SECONDS: Final = 2.0
_log = get_logger("heartbeat")


class LostLife(PostclockError):
    """Another process took this one for dead. It holds nothing any more and ends; whoever watches it starts it again."""


class Heartbeat:
    """One process's beat. ``lost`` is called once, when another process has ended this life.

    ``seen``, when given, hears of every life that goes on, every two seconds; not while the store cannot be read.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        lost: Callable[[], object],
        seen: Callable[[Sequence[Life]], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lost = lost
        self._seen = seen

    async def run(self) -> None:
        """Beat until the life is lost, or until cancelled. Neither a busy store nor a fault ends it."""
        async with asyncio.TaskGroup() as group:
            # Apart from the beat: a read that takes long must not delay it.
            looking = None if self._seen is None else group.create_task(self._run_look(self._seen))
            while await self._beat():
                await self._clock.sleep(BEAT_SECONDS)
            _log.error("this process was declared dead by another: it ends", owner=self._ledger.owner.id)
            self._lost()
            if looking is not None:
                looking.cancel()

    async def _beat(self) -> bool:
        """Whether this life goes on, as far as anybody knows."""
        try:
            return await self._ledger.beat(self._clock.now_ms())
        except Busy as busy:
            _log.warning("the heartbeat waits for the store", reason=str(busy))
        except Exception:  # noqa: BLE001  (a fault of ours, or of the store: it must not end a process that lives)
            _log.exception("the heartbeat failed")
        return True

    async def _run_look(self, seen: Callable[[Sequence[Life]], None]) -> None:
        while True:
            try:
                seen(await self._ledger.lives())
            except Busy as busy:
                _log.warning("who lives cannot be read now", reason=str(busy))
            except Exception:  # noqa: BLE001
                _log.exception("who lives cannot be read")
            await self._clock.sleep(BEAT_SECONDS)
