"""What a tenant's mail is made from, kept ready: DKIM keys opened once, settings, the active template versions.

A context is good for one revision; ``depart`` compares it with the tenant's and sends stale mail back to be made again.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from postclock.core.account import TenantSettings
from postclock.core.template import TemplateVersion
from postclock.mail.dkim.key import SigningKey, load_key
from postclock.store.interface import Ledger

MOST: Final = 1000
"""Tenants kept; the ones not seen for longest go first."""

Unseal = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One tenant at one revision; ``keys`` by domain, each with its id."""

    tenant: int
    revision: int
    settings: TenantSettings
    keys: dict[str, tuple[tuple[int, SigningKey], ...]]
    templates: dict[str, TemplateVersion | None]
    from_names: dict[str, str] = field(default_factory=dict)
    """The display name of a From that has none, by domain."""


class Contexts:
    """Contexts by tenant."""

    def __init__(self, ledger: Ledger, unseal: Unseal) -> None:
        self._ledger = ledger
        self._unseal = unseal
        self._known: OrderedDict[int, Context] = OrderedDict()
        self._keys: dict[int, SigningKey] = {}

    async def get(self, tenant: int) -> Context:
        """The tenant's context as it was last read."""
        found = self._known.get(tenant)
        if found is None:
            return await self.refresh(tenant)
        self._known.move_to_end(tenant)
        return found

    def outdate(self, tenant: int, revision: int) -> None:
        """Forget what was read at ``revision``: it is no longer so. Something newer stays."""
        found = self._known.get(tenant)
        if found is not None and found.revision <= revision:
            del self._known[tenant]

    async def refresh(self, tenant: int) -> Context:
        """The tenant's context as it is now."""
        raw = await self._ledger.context(tenant)
        keys: dict[str, tuple[tuple[int, SigningKey], ...]] = {}
        for domain, sealed in raw.keys.items():
            loaded = []
            for key in sealed:
                if key.id not in self._keys:
                    self._keys[key.id] = load_key(domain, key.selector, self._unseal(key.sealed))
                loaded.append((key.id, self._keys[key.id]))
            keys[domain] = tuple(loaded)
        context = Context(
            tenant=tenant,
            revision=raw.revision,
            settings=raw.settings,
            keys=keys,
            templates=raw.templates,
            from_names=raw.from_names,
        )
        self._known[tenant] = context
        self._known.move_to_end(tenant)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return context
