"""Ceilings on requests: how many a tenant or a credential may make in a window (ScaiSend's documentation, rate limits).

A window opens with its first request and closes after its length; then the count starts anew. Each process counts alone and holds
its share of every ceiling, so that all live processes together stay below it. Nothing here waits or does I/O.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postclock.api.failures import Headers, limit_headers
from postclock.core.account import Principal
from postclock.core.clock import Clock
from postclock.core.errors import Limited

MAX_COUNTED: Final = 50_000  # windows in memory, about 10 MB; the longest unused goes first and starts anew


class Ceiling(Enum):
    """Which ceiling a request counts against."""

    sends = "sends"
    """Calls of mail/send: a second and tenant."""
    requests = "requests"
    """What no other ceiling counts: a second and credential."""
    message_lists = "message_lists"
    """Lists of messages: a second and credential."""
    new_keys = "new_keys"
    """API keys made: a minute and tenant."""
    new_webhooks = "new_webhooks"
    """Webhook endpoints made: a minute and tenant."""
    new_domains = "new_domains"
    """Sending domains added: a minute and tenant. Each costs half a second of a processor, for its keys."""
    confirmations = "confirmations"
    """Test recipients named or mailed again: a minute and tenant. The mail is free and goes to people who did not ask for it."""


LISTS_A_SECOND: Final = 100
MADE_A_MINUTE: Final = 10


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a request was counted; ``reset_at`` in Unix seconds."""

    limit: int
    remaining: int
    reset_at: int

    def headers(self) -> Headers:
        """The three headers that tell of it."""
        return limit_headers(self.limit, self.remaining, self.reset_at)


class _Window:
    __slots__ = ("count", "ends")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.count = 0


class Limits:
    """The counts of one process. ``share`` gives its part of every ceiling, above 0 and at most 1."""

    def __init__(self, clock: Clock, share: Callable[[], float] = lambda: 1.0) -> None:
        self._clock = clock
        self._share = share
        self._windows: OrderedDict[tuple[Ceiling, int], _Window] = OrderedDict()

    def take(self, who: Principal, ceiling: Ceiling) -> Allowance:
        """Count one request. Raises Limited, and counts nothing, when the window is full."""
        subject, whole, length = _rule(who, ceiling)
        limit = max(1, math.floor(whole * self._share()))
        now = self._clock.monotonic()
        window = self._window((ceiling, subject), now, length)
        reset_at = math.ceil(self._clock.now_ms() / 1000 + window.ends - now)
        if window.count >= limit:
            raise Limited(limit=limit, remaining=0, reset_at=reset_at, retry_after=max(1, math.ceil(window.ends - now)))
        window.count += 1
        return Allowance(limit, limit - window.count, reset_at)

    def look(self, who: Principal, ceiling: Ceiling) -> Allowance:
        """What is left, without counting: for answers that come before a request is counted."""
        subject, whole, length = _rule(who, ceiling)
        limit = max(1, math.floor(whole * self._share()))
        now = self._clock.monotonic()
        window = self._windows.get((ceiling, subject))
        count, ends = (0, now + length) if window is None or now >= window.ends else (window.count, window.ends)
        return Allowance(limit, max(0, limit - count), math.ceil(self._clock.now_ms() / 1000 + ends - now))

    def __len__(self) -> int:
        return len(self._windows)

    def _window(self, key: tuple[Ceiling, int], now: float, length: float) -> _Window:
        window = self._windows.get(key)
        if window is not None and now < window.ends:
            self._windows.move_to_end(key)
            return window
        window = self._windows[key] = _Window(now + length)
        self._windows.move_to_end(key)
        if len(self._windows) > MAX_COUNTED:
            self._windows.popitem(last=False)
        return window


def _rule(who: Principal, ceiling: Ceiling) -> tuple[int, int, float]:
    """(whom it counts for, how many, in how many seconds)."""
    settings = who.tenant.settings
    match ceiling:
        case Ceiling.sends:
            return who.tenant.id, settings.rate_sends, 1.0
        case Ceiling.requests:
            return who.key.id, settings.rate_requests, 1.0
        case Ceiling.message_lists:
            return who.key.id, min(LISTS_A_SECOND, settings.rate_requests), 1.0
        case Ceiling.new_keys | Ceiling.new_webhooks | Ceiling.new_domains | Ceiling.confirmations:
            return who.tenant.id, MADE_A_MINUTE, 60.0
