"""Every hour the store is asked to drop what is no longer kept; no failure of it ends the loop, or the mail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from postclock.core.errors import Busy
from postclock.engine.retention import AGAIN_SECONDS, EVERY_SECONDS, FIRST_SECONDS, Retention
from postclock.engine.settings import EngineSettings
from postclock.store.interface import Ledger
from tests.engine.parts import becomes, is_so
from tests.support.clock import MovedClock

KEPT = EngineSettings(keep_messages_ms=3, keep_bodies_ms=2, keep_events_ms=1)


class Shelf:
    """A ledger that notes what it was asked to drop."""

    def __init__(self, *trouble: Exception) -> None:
        self.trouble = list(trouble)
        self.asked: list[tuple[int, int, int]] = []

    async def retire(self, now: int, keep_messages: int, keep_bodies: int, keep_events: int) -> int:
        self.asked.append((keep_messages, keep_bodies, keep_events))
        if self.trouble:
            raise self.trouble.pop(0)
        return 7


class Keeping:
    """The loop over it, with the clock in the test's hand."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.clock = MovedClock()
        self.retention = Retention(cast(Ledger, shelf), self.clock, KEPT)

    async def after(self, seconds: float) -> int:
        """So much later, once it sleeps again: how often it asked until now."""
        self.clock.move(seconds)
        await becomes(lambda: is_so(self.clock.sleepers == 1))
        return len(self.shelf.asked)


@asynccontextmanager
async def keeping(*trouble: Exception) -> AsyncIterator[Keeping]:
    """It runs, and sleeps before its first round."""
    parts = Keeping(Shelf(*trouble))
    running = asyncio.ensure_future(parts.retention.run())
    await parts.after(0)
    yield parts
    running.cancel()
    await asyncio.wait((running,))


async def test_it_asks_every_hour_with_what_the_operator_keeps() -> None:
    """First some minutes after the start, when others have less to do."""
    async with keeping() as parts:
        assert await parts.after(FIRST_SECONDS - 1) == 0
        assert await parts.after(1) == 1
        assert await parts.after(EVERY_SECONDS - 1) == 1
        assert await parts.after(1) == 2
        assert parts.shelf.asked == [(3, 2, 1)] * 2
    assert EVERY_SECONDS == 3600


@pytest.mark.parametrize("trouble", [Busy("the store is away"), RuntimeError("a fault of ours")])
async def test_a_round_that_fails_is_tried_again_sooner(trouble: Exception) -> None:
    """Whatever it was."""
    async with keeping(trouble) as parts:
        assert await parts.after(FIRST_SECONDS) == 1
        assert await parts.after(AGAIN_SECONDS) == 2
        assert await parts.after(AGAIN_SECONDS) == 2
