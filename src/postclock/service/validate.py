"""Validate: whether an address can get mail at all, by its syntax and its domain's DNS (RFC 5321 5.1, RFC 7505).

It fails open: when the DNS gives no answer, the address passes. What was found is remembered for a short while, per domain.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from postclock.core.address import domain_of, problem
from postclock.core.clock import Clock
from postclock.core.errors import ValidationNotConfigured

REMEMBERED_SECONDS: Final = 60.0
"""How long a domain's verdict stands: somebody who mends his DNS tries again after a minute."""
MAX_REMEMBERED: Final = 10_000  # domains, about 2 MB; the longest unused goes first


class Lookup(Protocol):
    """The DNS as it is asked here. Both raise what ``unavailable`` of Validation names when there is no answer."""

    async def is_configured(self) -> bool:
        """Whether there is a resolver to ask."""
        ...

    async def mx(self, name: str) -> list[str]:
        """The hosts of a domain's MX records, ``""`` for a null MX; none when it has none."""
        ...

    async def has_address(self, name: str) -> bool:
        """Whether a name has an A or an AAAA record."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is a sentence, empty when ``valid``."""

    valid: bool
    reason: str = ""


VALID: Final = Verdict(True)
SYNTAX: Final = Verdict(False, "invalid email syntax")
NULL_MX: Final = Verdict(False, "domain does not accept email (null MX)")
NOWHERE: Final = Verdict(False, "domain cannot receive email (no MX or A record)")


class Validation:
    """Asks, and remembers. ``unavailable`` are the errors that mean: no answer."""

    def __init__(self, lookup: Lookup, clock: Clock, unavailable: type[Exception]) -> None:
        self._lookup = lookup
        self._clock = clock
        self._unavailable = unavailable
        self._remembered: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()

    async def check(self, email: str) -> Verdict:
        """The verdict on an address. Raises ValidationNotConfigured when there is no resolver."""
        if problem(email) is not None:
            return SYNTAX
        domain = domain_of(email)
        now = self._clock.monotonic()
        known = self._remembered.get(domain)
        if known is not None and now < known[0]:
            self._remembered.move_to_end(domain)
            return known[1]
        try:
            if not await self._lookup.is_configured():
                raise ValidationNotConfigured("Addresses cannot be validated: no DNS resolver is configured.")
            verdict = await self._look(domain)
        except self._unavailable:
            return VALID
        self._remembered[domain] = (now + REMEMBERED_SECONDS, verdict)
        self._remembered.move_to_end(domain)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return verdict

    async def reason(self, email: str) -> str:
        """Why the address cannot get mail; empty when it can. Raises as ``check``."""
        return (await self.check(email)).reason

    def __len__(self) -> int:
        return len(self._remembered)

    async def _look(self, domain: str) -> Verdict:
        hosts = await self._lookup.mx(domain)
        if hosts:
            return VALID if any(hosts) else NULL_MX
        return VALID if await self._lookup.has_address(domain) else NOWHERE
