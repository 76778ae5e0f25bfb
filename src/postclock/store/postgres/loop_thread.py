"""A thread with an event loop for everything that talks to the database.

The API and the engine have loops of their own, and a connection belongs to one loop. What they hand in runs here; a caller
that goes away meanwhile takes nothing back.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import uvloop

from postclock.core.errors import Busy

T = TypeVar("T")

END_SECONDS: Final = 2.0
"""How long what runs there still may take to end."""


class LoopThread:
    """The thread; ``stop`` ends it when nothing runs in it any more."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="postclock-store", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=END_SECONDS))
        self.loop.close()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there; its result here, in whatever loop the caller has."""
        try:
            handed_in = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError as error:
            work.close()
            raise Busy("the store is closed") from error
        return await asyncio.shield(asyncio.wrap_future(handed_in))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The same for a caller without a loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def begin(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Let a coroutine run there beside others."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def stop(self) -> None:
        """End the loop and the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
