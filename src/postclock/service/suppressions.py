"""The suppression lists as a tenant manages them: entries looked up, added by hand, removed.

A key reads and writes the half of its own mode; addresses are compared in lower case with the domain in IDNA form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postclock.core.account import Principal
from postclock.core.address import MAX_ADDRESS, compared, problem
from postclock.core.clock import Clock
from postclock.core.errors import FieldError, Invalid, NotFound
from postclock.core.suppression import BounceType, Suppression, SuppressionList
from postclock.store import registers
from postclock.store.records import mode_number

MAX_REASON: Final = 1_000  # characters: the last reply of a server is the longest that belongs here

MAX_AT_ONCE: Final = 1_000  # addresses of one call: one transaction, that others' mail waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Which part of a list is asked for. Times are UTC milliseconds; ``end_at`` is included."""

    limit: int
    offset: int = 0
    start_at: int | None = None
    end_at: int | None = None
    email: str | None = None


class Suppressions:
    """One tenant's lists, in the caller's mode."""

    def __init__(self, store: registers.Suppressions, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def page(self, by: Principal, kind: SuppressionList, wanted: Slice) -> tuple[list[Suppression], int]:
        """Newest first, and how many there are in all."""
        email = None
        if wanted.email is not None:
            try:
                email = compared(wanted.email)
            except ValueError:
                return [], 0
        return await self._store.suppressions(
            by.tenant.id,
            mode_number(by.mode),
            kind,
            limit=wanted.limit,
            offset=wanted.offset,
            start_at=wanted.start_at,
            end_at=wanted.end_at,
            email=email,
        )

    async def get(self, by: Principal, kind: SuppressionList, email: str) -> Suppression:
        """Raises NotFound."""
        found = await self._store.suppression(by.tenant.id, mode_number(by.mode), kind, _compared(email))
        if found is None:
            raise NotFound(_missing(kind))
        return found

    async def add(
        self,
        by: Principal,
        kind: SuppressionList,
        email: str,
        *,
        bounce_type: BounceType | None = None,
        reason: str = "",
    ) -> Suppression:
        """Add an address by hand; one that is listed already is replaced. Raises Invalid."""
        errors = []
        wrong = problem(email)
        if wrong is not None:
            errors.append(FieldError(f"The address {wrong}.", "email"))
        if len(reason) > MAX_REASON:
            errors.append(FieldError(f"Longer than {MAX_REASON:,} characters.", "reason"))
        if errors:
            raise Invalid(errors)
        entry = Suppression(
            address=compared(email),
            list=kind,
            created_at=self._clock.now_ms(),
            reason=reason,
            bounce_type=bounce_type or "",
        )
        return await self._store.suppress(by.tenant.id, mode_number(by.mode), entry)

    async def add_all(self, by: Principal, kind: SuppressionList, emails: Sequence[str], field: str) -> None:
        """Add several addresses by hand, all or nothing. Raises Invalid naming each bad one under ``field``."""
        if not 1 <= len(emails) <= MAX_AT_ONCE:
            raise Invalid(f"Must have 1 to {MAX_AT_ONCE:,} addresses.", field)
        errors = [
            FieldError(f"The address {wrong}.", f"{field}.{n}")
            for n, email in enumerate(emails)
            if (wrong := problem(email)) is not None
        ]
        if errors:
            raise Invalid(errors)
        now = self._clock.now_ms()
        addresses = dict.fromkeys(compared(email) for email in emails)
        entries = [Suppression(address=address, list=kind, created_at=now) for address in addresses]
        await self._store.suppress_all(by.tenant.id, mode_number(by.mode), entries)

    async def remove(self, by: Principal, kind: SuppressionList, email: str) -> None:
        """Take an address off; mail goes to it again. Raises NotFound."""
        if not await self._store.unsuppress(by.tenant.id, mode_number(by.mode), kind, _compared(email)):
            raise NotFound(_missing(kind))

    async def anywhere(self, by: Principal, before: tuple[int, str] | None, limit: int) -> list[Suppression]:
        """Of all lists together, each address by its newest entry, newest first, below ``before`` (created_at, address)."""
        return await self._store.suppressed_anywhere(by.tenant.id, mode_number(by.mode), before, limit)

    async def remove_anywhere(self, by: Principal, email: str) -> None:
        """Take an address off every list; mail goes to it again. Raises NotFound."""
        if not await self._store.unsuppress_anywhere(by.tenant.id, mode_number(by.mode), _compared(email)):
            raise NotFound("Suppression not found")

    async def clear(self, by: Principal, kind: SuppressionList) -> int:
        """Empty the whole list; how many went."""
        return await self._store.unsuppress(by.tenant.id, mode_number(by.mode), kind, None)


def _compared(email: str) -> str:
    """The compared form; an address that is none is on no list, and stays as it is (a long one is not even looked at)."""
    try:
        return compared(email) if len(email) <= MAX_ADDRESS else email
    except ValueError:
        return email


def _missing(kind: SuppressionList) -> str:
    return {"bounces": "Bounce", "spam_reports": "Spam report", "unsubscribes": "Unsubscribe"}[kind] + " not found"
