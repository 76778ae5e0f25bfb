"""Charging: what a hand-off costs, and whether the tenant's plan and caps still have room for it. A part of depart.

Once per recipient, in the UTC month of the hand-off. Without limits nothing is read: the sums are added at the end.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Final

import msgspec

from postclock.core.account import TenantSettings
from postclock.core.plan import Spending, Spent, refusal
from postclock.core.when import month_of
from postclock.store.records import Departure, PendingRecipient
from postclock.store.steps.work import Charge, TenantRow, Work

KNOWN: Final = 1024
"""Settings decoded and kept, by their bytes: most tenants share the default, and every departure asks."""
_settings = msgspec.msgpack.Decoder(TenantSettings).decode


@lru_cache(maxsize=KNOWN)
def spending_of(settings: bytes) -> Spending:
    """Plan and caps in a tenant's settings as they are stored."""
    return _settings(settings).spending


class Charging:
    """What one group of departures costs. Each asks first and is taken once it goes; ``write`` counts them all."""

    def __init__(self, tx: Work, now: int) -> None:
        self._tx = tx
        self._month = month_of(now)
        self._spent: dict[int, Spent] = {}
        self._taken: dict[tuple[int, str, int], Charge] = {}

    def ask(self, tenant: TenantRow, item: Departure, recipients: Collection[PendingRecipient]) -> Charge | str:
        """What it would cost to hand the message to these; or why it may not go, all of it or nothing."""
        ident = item.claimed.tenant
        if item.free:
            free = len(recipients)
        else:
            free = sum(r.address in tenant.testers for r in recipients) if tenant.testers else 0
        n = len(recipients) - free
        spending = spending_of(tenant.settings)
        sent = 0
        if n and spending.has_limits:
            if ident not in self._spent:
                self._spent[ident] = self._tx.spent(ident, self._month)
            spent = self._spent[ident]
            reason = refusal(spending, spent, item.api_key, n)
            if reason is not None:
                return f"plan limit reached: {reason}"
            sent = spent.n
        return Charge(ident, self._month, item.message_type, item.api_key, n, free, spending.plan.cost(sent, n))

    def take(self, charge: Charge) -> None:
        """The message has departed."""
        key = (charge.tenant, charge.type, charge.api_key)
        before = self._taken.get(key)
        if before is None:
            self._taken[key] = charge
        else:
            self._taken[key] = before._replace(
                n=before.n + charge.n, free=before.free + charge.free, cost=before.cost + charge.cost
            )
        spent = self._spent.get(charge.tenant)
        if spent is not None:
            by_key = spent.by_key
            if charge.cost:
                by_key = by_key | {charge.api_key: by_key.get(charge.api_key, 0) + charge.cost}
            self._spent[charge.tenant] = Spent(
                n=spent.n + charge.n, cost_micros=spent.cost_micros + charge.cost, by_key=by_key
            )

    def write(self) -> None:
        """Count what was taken, the last of the group's writes."""
        for _, charge in sorted(self._taken.items()):
            self._tx.charge(charge)
