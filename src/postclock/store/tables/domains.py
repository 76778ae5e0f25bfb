"""Sending domains and their DKIM keys: what a tenant may put behind the @ of its From, and what signs it.

A domain may be asked for by many tenants and is live for one: the first that verified it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from postclock.core.errors import Conflict, NotFound
from postclock.core.sealing import DKIM, WEBHOOK
from postclock.core.sending_domain import SealedKey, SendingDomain
from postclock.store.queries import load
from postclock.store.tables.desk import Desk, Run, Writing
from postclock.store.tables.outbox import reseal as reseal_webhooks

COLUMNS: Final = "tenant, domain, created_at, verified_at, trusted, from_name, updated_at, checked_at, spf_at, dmarc_at"
SQL: Final = {
    name: sql.replace("{columns}", COLUMNS) for name, sql in load("postclock.store.tables.sql", "domains").items()
}


class StoredDomains:
    """store.registers.Domains."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def add_domain(
        self, tenant: int, domain: str, keys: Sequence[SealedKey], now: int, *, trusted: bool
    ) -> SendingDomain:
        """See Domains. ``keys`` are taken for a new domain only; trust also reaches one that waits to be verified."""

        def job(tx: Writing) -> SendingDomain:
            there = _find(tx.rows, tenant, domain)
            if trusted:
                _refuse_live_elsewhere(tx, tenant, domain)
            if there is None:
                _raise_revision(tx, tenant)
                tx.do(SQL["insert_domain"], (tenant, domain, now, now if trusted else None, int(trusted)))
                tx.many(
                    SQL["insert_key"],
                    [(k.id, tenant, domain, k.selector, k.algorithm, k.sealed, k.record, now) for k in keys],
                )
            elif trusted and not there.trusted:
                _set_verified(tx, there, now if there.verified_at is None else there.verified_at, trusted=True)
            return _domain(tx.rows, tenant, domain)

        return await self._desk.write(job)

    async def domain(self, tenant: int | None, domain: str) -> SendingDomain:
        """See Domains."""
        return await self._desk.read(lambda run: _domain(run, tenant, domain))

    async def domains(self, tenant: int | None = None) -> list[SendingDomain]:
        """See Domains."""
        return await self._desk.read(
            lambda run: [_domain_from(run, row) for row in run(SQL["domains"], (tenant, tenant))]
        )

    async def set_verified(self, tenant: int, domain: str, at: int | None) -> SendingDomain:
        """See Domains. With None the domain is no longer verified, nor trusted."""

        def job(tx: Writing) -> SendingDomain:
            there = _domain(tx.rows, tenant, domain)
            if at is not None:
                _refuse_live_elsewhere(tx, tenant, domain)
            _set_verified(tx, there, at, trusted=there.trusted and at is not None)
            return _domain(tx.rows, tenant, domain)

        return await self._desk.write(job)

    async def note_published(self, tenant: int, domain: str, ids: Collection[int], at: int) -> SendingDomain:
        """See Domains."""

        def job(tx: Writing) -> SendingDomain:
            there = _domain(tx.rows, tenant, domain)
            changed = [k for k in there.keys if (k.id in ids) is (k.published_at is None)]
            for key in changed:
                tx.do(SQL["set_published"], (at if key.id in ids else None, key.id))
            if changed:
                _raise_revision(tx, tenant)
            return _domain(tx.rows, tenant, domain)

        return await self._desk.write(job)

    async def note_checked(
        self, tenant: int, domain: str, *, spf: bool | None, dmarc: bool | None, at: int
    ) -> SendingDomain:
        """See Domains."""

        def job(tx: Writing) -> SendingDomain:
            there = _domain(tx.rows, tenant, domain)
            spf_at, dmarc_at = _since(there.spf_at, spf, at), _since(there.dmarc_at, dmarc, at)
            tx.do(SQL["set_checked"], (at, at, spf_at, dmarc_at, tenant, domain))
            return _domain(tx.rows, tenant, domain)

        return await self._desk.write(job)

    async def set_from_name(self, tenant: int, domain: str, name: str, at: int) -> SendingDomain:
        """See Domains."""

        def job(tx: Writing) -> SendingDomain:
            there = _domain(tx.rows, tenant, domain)
            if there.from_name != name:
                tx.do(SQL["set_from_name"], (name, at, tenant, domain))
                _raise_revision(tx, tenant)
            return _domain(tx.rows, tenant, domain)

        return await self._desk.write(job)

    async def reseal(self, again: Callable[[str, bytes], bytes], notes: Mapping[str, str]) -> int:
        """See Domains."""

        def job(tx: Writing) -> int:
            rows = tx.rows(SQL["all_sealed"], ())
            for ident, sealed in rows:
                tx.do(SQL["set_sealed"], (again(DKIM, sealed), ident))
            hooks = reseal_webhooks(tx, lambda sealed: again(WEBHOOK, sealed))
            tx.many(SQL["set_note"], sorted(notes.items()))
            return len(rows) + hooks

        return await self._desk.write(job)

    async def is_verified(self, tenant: int, domain: str) -> bool:
        """See Domains."""
        return await self._desk.read(lambda run: bool(run(SQL["is_verified"], (tenant, domain))))


def _refuse_live_elsewhere(tx: Writing, tenant: int, domain: str) -> None:
    if tx.one(SQL["live_elsewhere"], (domain, tenant)) is not None:
        raise Conflict(f"{domain} is verified for another tenant")


def _set_verified(tx: Writing, there: SendingDomain, at: int | None, *, trusted: bool) -> None:
    """Mail prepared before holds as long as the answer stays yes or stays no: a later time of proof changes nothing in it."""
    tx.do(SQL["set_verified"], (at, int(trusted), there.tenant, there.domain))
    if (at is None) is not (there.verified_at is None):
        _raise_revision(tx, there.tenant)


def _since(was: int | None, found: bool | None, at: int) -> int | None:
    """Since when a record is there: what is not known changes nothing."""
    match found:
        case None:
            return was
        case True:
            return at if was is None else was
        case _:
            return None


def _raise_revision(tx: Writing, tenant: int) -> None:
    if not tx.do(SQL["raise_revision"], (tenant,)):
        raise NotFound("Tenant not found")


def _find(run: Run, tenant: int | None, domain: str) -> SendingDomain | None:
    if tenant is None:
        found = run(SQL["domain_of_any"], (domain,))
    else:
        found = run(SQL["domain"], (tenant, domain))
    return _domain_from(run, found[0]) if found else None


def _domain(run: Run, tenant: int | None, domain: str) -> SendingDomain:
    found = _find(run, tenant, domain)
    if found is None:
        raise NotFound("Domain not found")
    return found


def _domain_from(run: Run, row: tuple[Any, ...]) -> SendingDomain:
    tenant, domain, created_at, verified_at, trusted, from_name, updated_at, checked_at, spf_at, dmarc_at = row
    keys = tuple(
        SealedKey(
            id=ident,
            domain=domain,
            selector=selector,
            algorithm=algorithm,
            sealed=sealed,
            record=record,
            published_at=published_at,
        )
        for ident, selector, algorithm, sealed, record, published_at in run(SQL["keys"], (tenant, domain))
    )
    return SendingDomain(
        tenant=tenant,
        domain=domain,
        created_at=created_at,
        verified_at=verified_at,
        trusted=bool(trusted),
        keys=keys,
        from_name=from_name,
        updated_at=updated_at or created_at,
        checked_at=checked_at,
        spf_at=spf_at,
        dmarc_at=dmarc_at,
    )
