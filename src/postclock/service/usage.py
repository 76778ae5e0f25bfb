"""Usage and spend caps: what a tenant's month has come to, what it may come to, and whether one more call fits.

What is counted is counted at hand-off, by the ledger; here it is read. At acceptance a call is looked at with figures that are up to a
second old: the limits themselves hold at hand-off, exactly.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from postclock.core.account import Principal, TenantSettings
from postclock.core.clock import Clock
from postclock.core.errors import Forbidden, Invalid, NotFound, SpendCapExceeded
from postclock.core.ids import parse_id, public_id
from postclock.core.message import Submission
from postclock.core.plan import MAX_KEY_CAPS, MAX_MICROS, Cap, Spending, Spent, UsageRow, refusal
from postclock.core.when import month_of
from postclock.runtime.log import get_logger
from postclock.service.accounts import KEY
from postclock.store.metering import Metering
from postclock.store.registers import Accounts

REMEMBERED: Final = 1.0
"""Seconds for which a tenant's sums are good enough to refuse a call by."""
MAX_REMEMBERED: Final = 10_000
"""Tenants whose sums, and soft caps whose warnings, are kept; beyond that it starts anew."""
_PERIOD: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_log = get_logger("usage")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthUsage:
    """One month of a tenant: ``period`` is YYYY-MM, ``rows`` by channel and message type, ``spending`` the limits as they are now."""

    period: str
    rows: list[UsageRow]
    spending: Spending
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class CapStatus:
    """A cap and what this month has cost against it; ``key`` is a key's public id, None for the tenant itself."""

    key: str | None
    cap: Cap
    cost_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapChange:
    """A new limit; ``soft`` and ``hard`` None clear one, and are left alone where ``sets`` does not name them."""

    soft: int | None = None
    hard: int | None = None
    sets: frozenset[str] = frozenset()


class Usage:
    """A tenant's months and caps. Test mail costs nothing, so a test key finds nothing counted.

    ``changed`` is called after every change of a cap (the authenticator's ``forget``).
    """

    def __init__(
        self, metering: Metering, accounts: Accounts, clock: Clock, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._metering = metering
        self._accounts = accounts
        self._clock = clock
        self._changed = changed
        self._known: dict[int, tuple[float, int, Spent]] = {}
        self._told: set[tuple[int, int, int | None]] = set()

    async def month(self, who: Principal, period: str | None = None) -> MonthUsage:
        """A month (YYYY-MM), by default this one. Raises Invalid (period)."""
        month = self._month() if period is None else _month_from(period)
        rows: list[UsageRow] = []
        spent = Spent()
        if who.mode == "live":
            rows = await self._metering.usage(who.tenant.id, month)
            spent = await self._metering.spent(who.tenant.id, month)
            if month == self._month():
                self._tell_of_soft_caps(who, month, spent)
        return MonthUsage(
            period=f"{month // 100:04}-{month % 100:02}", rows=rows, spending=await self._spending(who), spent=spent
        )

    async def caps(self, who: Principal) -> list[CapStatus]:
        """The tenant's own cap, then those of its keys."""
        spending = await self._spending(who)
        spent = Spent() if who.mode == "test" else await self._metering.spent(who.tenant.id, self._month())
        return [
            CapStatus(key=None, cap=spending.caps, cost_micros=spent.cost_micros),
            *(_of_key(key, cap, spent) for key, cap in sorted(spending.key_caps.items())),
        ]

    async def set_cap(self, who: Principal, key: str | None, change: CapChange) -> CapStatus:
        """Change the tenant's cap, or with ``key`` (a public id) that key's. From the next hand-off on, also for what waits.

        Raises Forbidden (test key), NotFound (no such key), Invalid.
        """
        if who.mode == "test":
            raise Forbidden("A test key cannot change what live mail may cost.")
        for name, value in (("soft_limit_micros", change.soft), ("hard_limit_micros", change.hard)):
            if value is not None and not 0 <= value <= MAX_MICROS:
                raise Invalid(f"Must be a whole number from 0 to {MAX_MICROS}, or null.", name)
        ident = None
        if key is not None:
            try:
                ident = (await self._accounts.key(who.tenant.id, parse_id(KEY, key))).id
            except NotFound:
                raise NotFound("API key not found") from None

        def changed(settings: TenantSettings) -> TenantSettings:
            return msgspec.structs.replace(settings, spending=_with_cap(settings.spending, ident, change))

        tenant = await self._accounts.change_settings(who.tenant.id, changed)
        spending = tenant.settings.spending
        self._known.pop(who.tenant.id, None)
        self._changed()
        spent = await self._metering.spent(who.tenant.id, self._month())
        if ident is None:
            return CapStatus(key=None, cap=spending.caps, cost_micros=spent.cost_micros)
        return _of_key(ident, spending.key_caps.get(ident, Cap()), spent)

    async def may_spend(self, who: Principal, submission: Submission, n: int) -> None:
        """Raises SpendCapExceeded when ``n`` more recipients cannot be sent to now. Free for tenants without limits."""
        spending = who.tenant.settings.spending
        if n == 0 or who.mode == "test" or submission.free or not (spending.has_limits or spending.has_soft_caps):
            return
        reason = refusal(spending, await self._spent(who), who.key.id, n)
        if reason is not None:
            raise SpendCapExceeded(f"Spend cap exceeded: {reason}.")

    async def is_test_recipient(self, tenant: int, address: str) -> bool:
        """Whether an address in compared form is one of the tenant's verified test recipients."""
        return bool(await self._metering.verified(tenant, (address,)))

    async def _spent(self, who: Principal) -> Spent:
        month, now = self._month(), self._clock.monotonic()
        found = self._known.get(who.tenant.id)
        if found is not None and found[0] > now and found[1] == month:
            return found[2]
        spent = await self._metering.spent(who.tenant.id, month)
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[who.tenant.id] = (now + REMEMBERED, month, spent)
        self._tell_of_soft_caps(who, month, spent)
        return spent

    async def _spending(self, who: Principal) -> Spending:
        """The limits as they are now: those that came with the caller may be a moment old, and it may just have changed them."""
        tenant = await self._accounts.tenant_named(who.tenant.name)
        return tenant.settings.spending

    def _tell_of_soft_caps(self, who: Principal, month: int, spent: Spent) -> None:
        spending = who.tenant.settings.spending
        reached: list[int | None] = [None] if spending.caps.is_soft_reached(spent.cost_micros) else []
        reached += [key for key, cap in spending.key_caps.items() if cap.is_soft_reached(spent.by_key.get(key, 0))]
        for key in reached:
            told = (who.tenant.id, month, key)
            if told in self._told:
                continue
            if len(self._told) >= MAX_REMEMBERED:
                self._told.clear()
            self._told.add(told)
            _log.warning(
                "a soft spend cap is reached", tenant=who.tenant.name, key=None if key is None else public_id(KEY, key)
            )

    def _month(self) -> int:
        return month_of(self._clock.now_ms())


def _of_key(key: int, cap: Cap, spent: Spent) -> CapStatus:
    return CapStatus(key=public_id(KEY, key), cap=cap, cost_micros=spent.by_key.get(key, 0))


def _month_from(period: str) -> int:
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise Invalid("Must be a month such as 2026-06.", "period")
    return int(match[1]) * 100 + int(match[2])


def _with_cap(spending: Spending, key: int | None, change: CapChange) -> Spending:
    before = spending.caps if key is None else spending.key_caps.get(key, Cap())
    cap = Cap(
        soft_micros=change.soft if "soft" in change.sets else before.soft_micros,
        hard_micros=change.hard if "hard" in change.sets else before.hard_micros,
    )
    if key is None:
        return msgspec.structs.replace(spending, caps=cap)
    key_caps = {k: c for k, c in spending.key_caps.items() if k != key}
    if cap != Cap():
        if len(key_caps) >= MAX_KEY_CAPS:
            raise Invalid(f"At most {MAX_KEY_CAPS} keys can have a cap of their own.", "key_id")
        key_caps[key] = cap
    return msgspec.structs.replace(spending, key_caps=key_caps)
