"""Tenants and API keys: who a request comes from, before there is a message.

The service asks for a key by the hash of its secret and keeps the answer for a while; the rest is the operator's and rare.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from postclock.core.account import ALL_SCOPES, ApiKey, Scope, Tenant, TenantSettings
from postclock.core.errors import Conflict, NotFound
from postclock.store.queries import load
from postclock.store.steps.claim import SUSPENDED
from postclock.store.tables.desk import Desk, Run, Writing

SQL: Final = load("postclock.store.tables.sql", "accounts")

_settings = msgspec.msgpack.Decoder(TenantSettings).decode
_scopes = msgspec.json.Decoder(list[str]).decode


UNPARKED_AT_ONCE: Final = 2_000
"""Rows of a resumed tenant that one transaction lets go on."""


class StoredAccounts:
    """store.registers.Accounts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create_tenant(self, name: str, now: int) -> Tenant:
        """See Accounts."""

        def job(tx: Writing) -> Tenant:
            made = tx.one(SQL["insert_tenant"], (name, msgspec.msgpack.encode(TenantSettings()), now))
            if made is None:
                raise Conflict(f"A tenant named {name} exists already")
            return _tenant(tx.rows, made[0])

        return await self._desk.write(job)

    async def tenants(self) -> list[Tenant]:
        """See Accounts."""
        return await self._desk.read(lambda run: [_tenant_from(row) for row in run(SQL["tenants"], ())])

    async def tenant_named(self, name: str) -> Tenant:
        """See Accounts."""

        def read(run: Run) -> Tenant:
            found = run(SQL["tenant_named"], (name,))
            if not found:
                raise NotFound("Tenant not found")
            return _tenant_from(found[0])

        return await self._desk.read(read)

    async def set_tenant(self, tenant: int, *, suspended: bool, now: int) -> Tenant:
        """See Accounts. Resumed, everything parked for the suspension is ready at once or when it is due."""

        def job(tx: Writing) -> Tenant:
            tx.do(SQL["set_tenant"], (int(suspended), None, tenant))
            return _tenant(tx.rows, tenant)

        changed = await self._desk.write(job)
        if not suspended:
            # In slices behind the flag: there may be millions, and nobody else's mail waits for all of them. Resumed again, it goes on.
            while await self._desk.write(lambda tx: _unpark(tx, tenant, now), UNPARKED_AT_ONCE, bulk=True):
                pass
        return changed

    async def change_settings(self, tenant: int, change: Callable[[TenantSettings], TenantSettings]) -> Tenant:
        """See Accounts."""

        def job(tx: Writing) -> Tenant:
            changed = change(_tenant(tx.rows, tenant).settings)
            tx.do(SQL["set_tenant"], (None, msgspec.msgpack.encode(changed), tenant))
            return _tenant(tx.rows, tenant)

        return await self._desk.write(job)

    async def add_key(self, key: ApiKey, secret_hash: bytes) -> None:
        """See Accounts. Raises NotFound when there is no such tenant."""

        def job(tx: Writing) -> None:
            _tenant(tx.rows, key.tenant)
            tx.do(
                SQL["insert_key"],
                (
                    key.id,
                    key.tenant,
                    secret_hash,
                    key.prefix,
                    key.name,
                    key.dialect,
                    key.environment,
                    _scopes_stored(key.scopes),
                    key.created_at,
                    key.last_used_at,
                    key.expires_at,
                    key.revoked_at,
                ),
            )

        await self._desk.write(job)

    async def find_key(self, secret_hash: bytes) -> tuple[ApiKey, Tenant] | None:
        """See Accounts."""

        def read(run: Run) -> tuple[ApiKey, Tenant] | None:
            found = run(SQL["find_key"], (secret_hash,))
            if not found:
                return None
            key = _key_from(found[0])
            return key, _tenant(run, key.tenant)

        return await self._desk.read(read)

    async def key(self, tenant: int, ident: int) -> ApiKey:
        """See Accounts."""
        return await self._desk.read(lambda run: _key(run, tenant, ident))

    async def keys(self, tenant: int | None = None) -> list[ApiKey]:
        """See Accounts."""
        return await self._desk.read(lambda run: [_key_from(row) for row in run(SQL["keys"], (tenant, tenant))])

    async def change_key(
        self, tenant: int, ident: int, *, name: str | None = None, scopes: Sequence[str] | None = None
    ) -> ApiKey:
        """See Accounts."""
        stored = None if scopes is None else _scopes_stored(scopes)
        return await self._change(tenant, ident, "change_key", (name, stored))

    async def replace_secret(self, tenant: int, ident: int, secret_hash: bytes, prefix: str) -> ApiKey:
        """See Accounts."""
        return await self._change(tenant, ident, "replace_secret", (secret_hash, prefix))

    async def revoke_key(self, tenant: int | None, ident: int, now: int) -> ApiKey:
        """See Accounts. With no tenant, whoever's it is."""
        return await self._change(tenant, ident, "revoke_key", (now,))

    async def used_keys(self, used: Mapping[int, int]) -> None:
        """See Accounts."""
        rows = [(at, ident, at) for ident, at in used.items()]
        if rows:
            await self._desk.write(lambda tx: tx.many(SQL["used_key"], rows), len(rows))

    async def _change(self, tenant: int | None, ident: int, statement: str, values: tuple[Any, ...]) -> ApiKey:
        """Run an update of one key, whose last parameter is the key's id, and read the key again."""

        def job(tx: Writing) -> ApiKey:
            _key(tx.rows, tenant, ident)
            tx.do(SQL[statement], (*values, ident))
            return _key(tx.rows, tenant, ident)

        return await self._desk.write(job)


def _unpark(tx: Writing, tenant: int, now: int) -> int:
    ready = [at for (at,) in tx.rows(SQL["unpark"], (now, now, tenant, SUSPENDED, UNPARKED_AT_ONCE))]
    if ready:
        tx.ready(min(ready))
    return len(ready)


def _tenant(run: Run, ident: int) -> Tenant:
    found = run(SQL["tenant"], (ident,))
    if not found:
        raise NotFound("Tenant not found")
    return _tenant_from(found[0])


def _tenant_from(row: tuple[Any, ...]) -> Tenant:
    ident, name, status, revision, settings, created_at = row
    return Tenant(
        id=ident,
        name=name,
        suspended=status != 0,
        revision=revision,
        settings=_settings(settings),
        created_at=created_at,
    )


def _key(run: Run, tenant: int | None, ident: int) -> ApiKey:
    found = run(SQL["key"], (ident, tenant, tenant))
    if not found:
        raise NotFound("API key not found")
    return _key_from(found[0])


def _key_from(row: tuple[Any, ...]) -> ApiKey:
    return ApiKey(
        id=row[0], tenant=row[1], prefix=row[2], name=row[3], dialect=row[4], environment=row[5], scopes=_scopes_known(row[6]),
        created_at=row[7], last_used_at=row[8], expires_at=row[9], revoked_at=row[10],
    )  # fmt: skip


def _scopes_stored(scopes: Iterable[str]) -> str:
    return msgspec.json.encode(sorted({str(s) for s in scopes})).decode()


def _scopes_known(stored: str) -> frozenset[Scope]:
    """A newer release may have stored scopes that this one does not know: they open nothing here."""
    return frozenset(Scope(s) for s in _scopes(stored) if s in ALL_SCOPES)
