"""The slow tables as the floors above see them: tenants and keys, sending domains, templates, suppression lists.

As in store/interface.py, of which they are the other half: writes return after the commit, every method may raise Busy, times are
UTC milliseconds, ``mode`` is 0 (live) or 1 (test).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from postclock.core.account import ApiKey, Tenant, TenantSettings
from postclock.core.sending_domain import SealedKey, SendingDomain
from postclock.core.suppression import Suppression, SuppressionList
from postclock.core.template import Generation, Template, TemplateVersion


class Accounts(Protocol):
    """Tenants and API keys."""

    async def create_tenant(self, name: str, now: int) -> Tenant:
        """Raises Conflict when the name is taken."""
        ...

    async def tenants(self) -> list[Tenant]:
        """All, oldest first."""
        ...

    async def tenant_named(self, name: str) -> Tenant:
        """Raises NotFound."""
        ...

    async def set_tenant(self, tenant: int, *, suspended: bool, now: int) -> Tenant:
        """Suspend or resume; parked mail of a resumed tenant goes on. Raises NotFound."""
        ...

    async def change_settings(self, tenant: int, change: Callable[[TenantSettings], TenantSettings]) -> Tenant:
        """Give the settings as they are now to ``change``, in one transaction, so that no two changes lose each other.

        ``change`` may run in any thread, and more than once. Raises NotFound, and what ``change`` raises (nothing is written then).
        """
        ...

    async def add_key(self, key: ApiKey, secret_hash: bytes) -> None:
        """Store a key with the SHA-256 of its secret."""
        ...

    async def find_key(self, secret_hash: bytes) -> tuple[ApiKey, Tenant] | None:
        """The key with that hash and its tenant; None when there is none (revoked ones are found)."""
        ...

    async def key(self, tenant: int, ident: int) -> ApiKey:
        """Raises NotFound."""
        ...

    async def keys(self, tenant: int | None = None) -> list[ApiKey]:
        """All keys, oldest first."""
        ...

    async def change_key(
        self, tenant: int, ident: int, *, name: str | None = None, scopes: Sequence[str] | None = None
    ) -> ApiKey:
        """Raises NotFound."""
        ...

    async def replace_secret(self, tenant: int, ident: int, secret_hash: bytes, prefix: str) -> ApiKey:
        """Rotate: the old secret is dead at once. Raises NotFound."""
        ...

    async def revoke_key(self, tenant: int | None, ident: int, now: int) -> ApiKey:
        """Revoked softly; again: no change. Raises NotFound."""
        ...

    async def used_keys(self, used: Mapping[int, int]) -> None:
        """Note when keys were last used (key id to time)."""
        ...


class Domains(Protocol):
    """Sending domains and their DKIM keys."""

    async def add_domain(
        self, tenant: int, domain: str, keys: Sequence[SealedKey], now: int, *, trusted: bool
    ) -> SendingDomain:
        """Raises Conflict when it is live for another tenant (trusted only). The tenant's own is returned as it is."""
        ...

    async def domain(self, tenant: int | None, domain: str) -> SendingDomain:
        """Raises NotFound; with no tenant, the one for which it is live, or the oldest."""
        ...

    async def domains(self, tenant: int | None = None) -> list[SendingDomain]:
        """All, by name."""
        ...

    async def set_verified(self, tenant: int, domain: str, at: int | None) -> SendingDomain:
        """Raises NotFound, Conflict (live for another tenant)."""
        ...

    async def note_published(self, tenant: int, domain: str, ids: Collection[int], at: int) -> SendingDomain:
        """The DNS has the records of exactly these keys. Raises NotFound."""
        ...

    async def note_checked(
        self, tenant: int, domain: str, *, spf: bool | None, dmarc: bool | None, at: int
    ) -> SendingDomain:
        """The DNS was asked, and has these records, has not, or (None) did not say. Raises NotFound."""
        ...

    async def set_from_name(self, tenant: int, domain: str, name: str, at: int) -> SendingDomain:
        """The display name of a From that has none. Raises NotFound."""
        ...

    async def reseal(self, again: Callable[[str, bytes], bytes], notes: Mapping[str, str]) -> int:
        """Rewrite everything sealed, by ``again(purpose, sealed)``, and write the store's notes about its key, all or nothing.

        How many were rewritten.
        """
        ...

    async def is_verified(self, tenant: int, domain: str) -> bool:
        """Whether the tenant may send from it now."""
        ...


class Templates(Protocol):
    """Templates and their versions; every change that a send may see raises the tenant's revision."""

    async def create_template(self, tenant: int, template: Template, *, most: int | None = None) -> Template:
        """Raises Conflict when the name or the id is taken, Unprocessable when the tenant has ``most`` simple ones."""
        ...

    async def templates(self, tenant: int, generations: Collection[Generation] | None = None) -> list[Template]:
        """All that are not deleted, newest first, with versions."""
        ...

    async def template(self, tenant: int, ident: str) -> Template:
        """Raises NotFound."""
        ...

    async def rename_template(self, tenant: int, ident: str, name: str, now: int) -> Template:
        """Raises NotFound, Conflict."""
        ...

    async def revise_template(
        self, tenant: int, ident: str, revise: Callable[[Template], Template], now: int
    ) -> Template:
        """A simple template as ``revise`` (which may run more than once) makes it from what is there, in one transaction.

        Taken over are the name, versions that were not there (numbered by the store) and which of them is active. Raises NotFound.
        """
        ...

    async def delete_template(self, tenant: int, ident: str, now: int) -> None:
        """Raises NotFound. Versions stay readable by id for messages on their way."""
        ...

    async def add_version(self, tenant: int, version: TemplateVersion) -> TemplateVersion:
        """Raises NotFound. An active one takes the place of the one before."""
        ...

    async def change_version(self, tenant: int, version: TemplateVersion) -> TemplateVersion:
        """Replace a version's content. Raises NotFound."""
        ...

    async def activate_version(
        self, tenant: int, template: str, version: int, now: int, *, active: bool
    ) -> TemplateVersion:
        """Raises NotFound."""
        ...

    async def delete_version(self, tenant: int, template: str, version: int, now: int) -> None:
        """Raises NotFound, Invalid (the only active one)."""
        ...


class Suppressions(Protocol):
    """What a tenant's mail no longer goes to."""

    async def suppress(self, tenant: int, mode: int, entry: Suppression) -> Suppression:
        """Add one; an entry that exists is replaced."""
        ...

    async def suppress_all(self, tenant: int, mode: int, entries: Sequence[Suppression]) -> None:
        """Add several, all or nothing; entries that exist are replaced."""
        ...

    async def suppressions(
        self,
        tenant: int,
        mode: int,
        kind: SuppressionList,
        *,
        limit: int,
        offset: int,
        start_at: int | None,
        end_at: int | None,
        email: str | None,
    ) -> tuple[list[Suppression], int]:
        """Newest first, and how many there are in all."""
        ...

    async def suppression(self, tenant: int, mode: int, kind: SuppressionList, address: str) -> Suppression | None:
        """One entry, or None."""
        ...

    async def suppressed_anywhere(
        self, tenant: int, mode: int, before: tuple[int, str] | None, limit: int
    ) -> list[Suppression]:
        """Of all lists together, each address by its newest entry, newest first; ``before``: (created_at, address) of a position."""
        ...

    async def unsuppress_anywhere(self, tenant: int, mode: int, address: str) -> int:
        """Remove an address from all lists at once; how many had it."""
        ...

    async def unsuppress(self, tenant: int, mode: int, kind: SuppressionList, address: str | None) -> int:
        """Remove one, or with None the whole list; how many went."""
        ...
