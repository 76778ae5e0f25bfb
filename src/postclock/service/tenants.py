"""Tenants as the operator manages them: made, suspended, resumed, set.

A change of a setting raises the tenant's revision, so mail that was prepared under the old one is made again.
"""

from collections.abc import Callable, Sequence
from typing import Final, get_args

import msgspec

from postclock.core.account import Tenant, TenantSettings
from postclock.core.address import problem
from postclock.core.clock import Clock
from postclock.core.errors import FieldError, Invalid
from postclock.core.message import UncertainPolicy
from postclock.service.plan_assignments import with_plan_assignments
from postclock.store.registers import Accounts

MAX_NAME: Final = 100
MAX_RATE: Final = 1_000_000
ASSIGNED: Final = tuple(name for name in TenantSettings.__struct_fields__ if name != "spending")
"""The settings that are given as ``key=value``; plans have a command of their own."""
_TRUE: Final = frozenset({"true", "on", "yes", "1"})
_FALSE: Final = frozenset({"false", "off", "no", "0"})


class Tenants:
    """The operator's side of tenants. ``changed`` is called after every change (the authenticator's ``forget``)."""

    def __init__(self, store: Accounts, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed

    async def create(self, name: str) -> Tenant:
        """Raises Invalid (no usable name), Conflict (taken)."""
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            raise Invalid(f"A tenant's name has 1 to {MAX_NAME} printable characters, none of them a space at an end.")
        return await self._store.create_tenant(name, self._clock.now_ms())

    async def all(self) -> list[Tenant]:
        """All, oldest first."""
        return await self._store.tenants()

    async def named(self, name: str) -> Tenant:
        """Raises NotFound."""
        return await self._store.tenant_named(name)

    async def suspend(self, name: str) -> Tenant:
        """Its calls are refused and its mail is parked. Raises NotFound."""
        return await self._set(name, suspended=True)

    async def resume(self, name: str) -> Tenant:
        """It may go on, and so does its mail. Raises NotFound."""
        return await self._set(name, suspended=False)

    async def set(self, name: str, assignments: Sequence[str]) -> Tenant:
        """Change settings given as ``key=value``, all or none. Raises NotFound, Invalid naming every bad one."""
        tenant = await self._store.tenant_named(name)
        changed = await self._store.change_settings(tenant.id, lambda settings: with_assignments(settings, assignments))
        self._changed()
        return changed

    async def track(
        self, tenant: Tenant, *, opens: bool | None = None, clicks: bool | None = None, text: bool | None = None
    ) -> Tenant:
        """Change what is tracked by default; None leaves it as it is. Raises NotFound."""
        asked = {"open_tracking": opens, "click_tracking": clicks, "click_text": text}
        changes = {name: value for name, value in asked.items() if value is not None}
        changed = await self._store.change_settings(
            tenant.id, lambda settings: msgspec.structs.replace(settings, **changes)
        )
        self._changed()
        return changed

    async def set_plan(self, name: str, assignments: Sequence[str]) -> Tenant:
        """Change plan and caps given as ``key=value``, all or none. Raises NotFound, Invalid naming every bad one."""
        tenant = await self._store.tenant_named(name)
        changed = await self._store.change_settings(
            tenant.id,
            lambda settings: msgspec.structs.replace(
                settings, spending=with_plan_assignments(settings.spending, assignments)
            ),
        )
        self._changed()
        return changed

    async def _set(self, name: str, *, suspended: bool) -> Tenant:
        tenant = await self._store.tenant_named(name)
        changed = await self._store.set_tenant(tenant.id, suspended=suspended, now=self._clock.now_ms())
        self._changed()
        return changed


def with_assignments(settings: TenantSettings, assignments: Sequence[str]) -> TenantSettings:
    """The settings with each ``key=value`` applied; raises Invalid naming every bad one."""
    changes: dict[str, object] = {}
    errors: list[FieldError] = []
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        key = key.strip()
        if not sign:
            errors.append(FieldError(f"{assignment!r} is not of the form key=value", key))
            continue
        if key not in ASSIGNED:
            known = ", ".join(ASSIGNED)
            errors.append(FieldError(f"Unknown setting {key!r}; there are: {known}", key))
            continue
        try:
            changes[key] = _value(getattr(settings, key), key, text.strip())
        except ValueError as error:
            errors.append(FieldError(f"{key}: {error}", key))
    if errors:
        raise Invalid(errors)
    return msgspec.structs.replace(settings, **changes)


def _value(current: object, key: str, text: str) -> object:
    match current:
        case bool():
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError(f"must be true or false, not {text!r}")
            return text.lower() in _TRUE
        case int():
            if not (text.isascii() and text.isdigit() and len(text) <= 7 and 1 <= int(text) <= MAX_RATE):
                raise ValueError(f"must be a whole number from 1 to {MAX_RATE}, not {text!r}")
            return int(text)
        case _ if key == "uncertain":
            if text not in get_args(UncertainPolicy):
                raise ValueError(f"must be one of {', '.join(get_args(UncertainPolicy))}, not {text!r}")
            return text
        case _:
            reason = problem(text) if text else None
            if reason is not None:
                raise ValueError(f"{text!r} {reason}")
            return text
