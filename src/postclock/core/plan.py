"""Plans: what a tenant's month includes, what a mail costs beyond that, and the caps on what it may spend. Looked at at hand-off.

Money is whole micro-dollars. A month is a UTC month as a number such as 202611.
"""

from typing import Final

import msgspec

from postclock.core.message import MessageType

MAX_MICROS: Final = 10**15
"""A billion dollars: sums of it stay far inside 64 bits."""
MAX_INCLUDED: Final = 10**12
MAX_KEY_CAPS: Final = 500
"""Keys of a tenant with a cap of their own: they travel with its settings, which every departure reads."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tenant has agreed on. With neither field, everything is sent and nothing costs.

    ``included``: recipients a month that cost nothing; None: no such number. ``price_micros``: what each one beyond ``included``
    costs (with no ``included``: each one); None: nothing beyond ``included`` is sent.
    """

    included: int | None = None
    price_micros: int | None = None

    def cost(self, sent: int, n: int) -> int:
        """What ``n`` more recipients cost when ``sent`` were counted in the month before them."""
        if self.price_micros is None:
            return 0
        free = 0 if self.included is None else min(n, max(0, self.included - sent))
        return (n - free) * self.price_micros

    def covers(self, sent: int, n: int) -> bool:
        """Whether ``n`` more may be sent at all, whatever they cost."""
        return self.included is None or self.price_micros is not None or sent + n <= self.included


class Cap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits on a month's cost. ``soft`` is only told of; past ``hard`` nothing that costs is sent."""

    soft_micros: int | None = None
    hard_micros: int | None = None

    def holds(self, spent: int, cost: int) -> bool:
        """Whether ``cost`` more stays within the hard limit. What costs nothing always does."""
        return cost == 0 or self.hard_micros is None or spent + cost <= self.hard_micros

    def is_soft_reached(self, spent: int) -> bool:
        """Whether the soft limit is there and used up."""
        return self.soft_micros is not None and spent >= self.soft_micros

    def is_hard_reached(self, spent: int) -> bool:
        """Whether the hard limit is there and used up."""
        return self.hard_micros is not None and spent >= self.hard_micros


class Spending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tenant's plan, its own caps, and those of its keys (by key id)."""

    plan: Plan = Plan()
    caps: Cap = Cap()
    key_caps: dict[int, Cap] = {}

    @property
    def has_soft_caps(self) -> bool:
        """Whether there is a limit that is only told of."""
        return any(c.soft_micros is not None for c in (self.caps, *self.key_caps.values()))

    @property
    def has_limits(self) -> bool:
        """Whether a mail can be refused for what was sent before it, or its cost depends on that."""
        if self.plan.included is not None:
            return True
        return self.plan.price_micros is not None and (
            self.caps.hard_micros is not None or any(c.hard_micros is not None for c in self.key_caps.values())
        )


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a month has counted so far. ``by_key``: the cost that each key has caused, of the keys with a cap at least."""

    n: int = 0
    cost_micros: int = 0
    by_key: dict[int, int] = {}


def refusal(spending: Spending, spent: Spent, api_key: int, n: int) -> str | None:
    """Why ``n`` more recipients may not be sent this month, as a sentence; None when they may."""
    plan = spending.plan
    if not plan.covers(spent.n, n):
        return f"the {plan.included} recipients that the plan includes this month are used up"
    cost = plan.cost(spent.n, n)
    if not spending.caps.holds(spent.cost_micros, cost):
        return f"the hard spend cap of {spending.caps.hard_micros} micro-dollars a month would be passed"
    cap = spending.key_caps.get(api_key)
    if cap is not None and not cap.holds(spent.by_key.get(api_key, 0), cost):
        return f"the API key's hard spend cap of {cap.hard_micros} micro-dollars a month would be passed"
    return None


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a month has counted for one channel and message type; ``free`` are sends to verified test recipients."""

    channel: str
    type: MessageType
    n: int
    cost_micros: int
    free: int
