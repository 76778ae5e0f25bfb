"""One TCP line to a server: commands out, whole replies in, each wait with a limit.

An asyncio protocol with callbacks, not streams: one future a group of replies, one lazy timer a line. This is what keeps a
message at some 35 microseconds. What goes wrong is kept in ``trouble`` and never raised.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from postclock.core.outcome import Trouble
from postclock.core.reply import Reply, ReplyReader


class Wire(asyncio.Protocol):
    """``send`` a group of commands, then await its ``answers``. After ``trouble`` is set the line is dead for good."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.trouble: Trouble | None = None
        self.detail = ""
        self.stray: Reply | None = None
        """A reply that nothing asked for, while ``busy``; a line that is not busy is cut by it."""
        self.busy = False
        self.on_lost: Callable[[], None] | None = None
        self.lost = loop.create_future()
        """Done when the socket is closed."""
        self._reader = ReplyReader()
        self._replies: list[Reply] = []
        self._expected = 0
        self._patience: tuple[float, ...] = ()
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None

    # What we do.

    def send(self, data: bytes, patience: tuple[float, ...]) -> None:
        """Write commands that get one reply for each member of ``patience`` (seconds to wait for that reply)."""
        self._replies = []
        self._expected = len(patience)
        self._patience = patience
        if self.stray is not None:
            self.fail(Trouble.GARBAGE, f"spoke out of turn: {self.stray}")
        elif self.trouble is None and self.transport.is_closing():
            self.fail(Trouble.LOST)
        if self.trouble is None:
            self.transport.write(data)

    def expect_banner(self, seconds: float) -> None:
        """Before the connection is made: its first reply is one we wait for."""
        self._expected, self._patience = 1, (seconds,)

    async def answers(self) -> list[Reply]:
        """The replies to the last ``send``; fewer than it asked for when the line failed (see ``trouble``)."""
        if self._expected and self.trouble is None:
            self._arm(self._patience[len(self._replies)])
            await self._wait()
        return self._replies

    async def ask(self, data: bytes, seconds: float) -> Reply | None:
        """One command, one reply; None when the line failed."""
        self.send(data, (seconds,))
        replies = await self.answers()
        return replies[0] if replies else None

    async def drained(self, seconds: float) -> bool:
        """Wait until the transport takes more; False when it never will, or when the server spoke meanwhile."""
        while self._paused and self.trouble is None and self.stray is None:
            self._arm(seconds)
            await self._wait()
        return self.clear()

    def clear(self) -> bool:
        """Whether a write goes out now: the line holds, has room, and the server has said nothing unasked."""
        return not self._paused and self.trouble is None and self.stray is None and not self.transport.is_closing()

    def silent(self) -> bool:
        """Whether everything that came was asked for and answered whole (checked before TLS begins)."""
        return self.trouble is None and self.stray is None and not self._reader.pending

    def fail(self, trouble: Trouble, detail: str = "") -> None:
        """Give the line up: cut it and wake whoever waits. Only the first reason counts."""
        if self.trouble is None:
            self.trouble, self.detail = trouble, detail
            if self.transport is not None:
                self.transport.abort()
            self._wake()
            self._stop_timer()

    def hang_up(self) -> None:
        """Say QUIT and close without waiting for the answer."""
        if self.trouble is None:
            self.trouble = Trouble.ABORTED
            self.transport.write(b"QUIT\r\n")
            self.transport.close()

    def cut(self) -> None:
        """Close the socket now, also one that is closing in good order."""
        self.fail(Trouble.ABORTED)
        self.transport.abort()

    # What happens to us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.trouble is not None:
            return
        for reply in self._reader.feed(data):
            if self._expected:
                self._replies.append(reply)
                self._expected -= 1
            elif self.stray is None:
                self.stray = reply
        if self._reader.garbage is not None:
            self.fail(Trouble.GARBAGE, self._reader.garbage)
        elif self.stray is not None and not self.busy:
            self.fail(Trouble.GARBAGE, f"spoke out of turn: {self.stray}")
        elif not self._expected:
            self._wake()
        elif self._deadline is not None and self._replies:
            self._arm(self._patience[len(self._replies)])

    def eof_received(self) -> bool:
        self.fail(Trouble.LOST, "closed by the server")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.trouble is None:
            self.trouble, self.detail = Trouble.LOST, str(exc or "closed by the server")
        self._wake()
        self._stop_timer()
        if not self.lost.done():
            self.lost.set_result(None)
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if not self._expected:
            self._wake()

    # Waiting.

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._deadline = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _arm(self, seconds: float) -> None:
        # One timer for the line's whole life: it looks at the deadline when it fires, so that a message costs no timer.
        self._deadline = when = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() >= self._deadline:
            self.fail(Trouble.TIMEOUT)
        else:
            self._timer = self._loop.call_at(self._deadline, self._tick)
