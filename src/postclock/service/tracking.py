"""Opens and clicks on their way into the store: proved by their tokens, kept in memory for a moment, written in groups.

Whoever opens a mail never waits for the store, and never learns whether anything was written.
"""

import asyncio
from collections import Counter
from typing import Final, Literal

from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.mail.tracking import Named, Tokens
from postclock.runtime.log import get_logger
from postclock.runtime.metrics import Metrics
from postclock.store.interface import Messages
from postclock.store.records import Engagement

LINGER: Final = 0.2
"""Seconds in which a group comes together."""
PATIENCE: Final = 1.0
"""Seconds until a store that was busy is told again."""
MOST_WAITING: Final = 20_000
"""Beyond it they are dropped: some 10 MB of memory, and more than a store that works takes in a second."""
MOST_OF_ONE: Final = 20
"""Of them of one message: whoever loads a pixel in a loop must not push out the others."""
GROUP: Final = 500
"""Written in one transaction."""
MAX_AGENT: Final = 255
MAX_IP: Final = 45
"""Characters of the longest IPv6 address in words."""
_log: Final = get_logger("tracking")


class Engagements:
    """What recipients do with their mail. Called in one event loop, where ``run`` writes until it is cancelled."""

    def __init__(self, store: Messages, tokens: Tokens, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._taken = {kind: metrics.engagements.labels(kind) for kind in ("open", "click")}
        self._dropped = metrics.engagements_dropped
        self._waiting: list[Engagement] = []
        self._of_one: Counter[int] = Counter()
        self._some = asyncio.Event()

    def opened(self, token: str, *, agent: str, ip: str) -> None:
        """A pixel was loaded; a token that is not ours is passed over."""
        named = self._tokens.read("open", token)
        if named is not None:
            self._take("open", named, "", agent, ip)

    def clicked(self, token: str, url: str, *, agent: str, ip: str) -> bool:
        """Whether the token is ours, for exactly this address; then the click is noted."""
        named = self._tokens.read("click", token, url)
        if named is None:
            return False
        self._take("click", named, url, agent, ip)
        return True

    def is_click(self, token: str, url: str) -> bool:
        """The same without noting anything."""
        return self._tokens.read("click", token, url) is not None

    def _take(self, kind: Literal["open", "click"], named: Named, url: str, agent: str, ip: str) -> None:
        if len(self._waiting) >= MOST_WAITING or self._of_one[named.message] >= MOST_OF_ONE:
            self._dropped.inc()
            return
        self._of_one[named.message] += 1
        self._taken[kind].inc()
        at = self._clock.now_ms()
        agent, ip = _shown(agent[:MAX_AGENT]), _shown(ip[:MAX_IP])
        self._waiting.append(Engagement(named.message, named.week, kind, named.recipient, at, url, agent, ip))
        self._some.set()

    async def run(self) -> None:
        """Write what comes in, until cancelled; then ``flush`` writes the rest."""
        while True:
            await self._some.wait()
            await self._clock.sleep(LINGER)
            if not await self.flush():
                await self._clock.sleep(PATIENCE)

    async def flush(self) -> bool:
        """Write what waits; whether the store took it. What it has no time for now waits on."""
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            try:
                await self._store.engage(group, self._clock.now_ms())
            except Busy as busy:
                _log.warning("opens and clicks cannot be written now", waiting=len(self._waiting), reason=str(busy))
                self._waiting[:0] = group
                return False
            except Exception:  # noqa: BLE001  (one group's fault must stop neither the others nor the loop)
                _log.exception("opens and clicks were lost", lost=len(group))
                self._dropped.inc(len(group))
            self._of_one -= Counter(item.message for item in group)
        self._some.clear()
        return True


def _shown(text: str) -> str:
    """Without what a store or a screen cannot take."""
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())
