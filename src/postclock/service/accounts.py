"""API keys: making, listing, changing, rotating and revoking them, for callers of the API and for the operator.

A key hands on only what it holds, and a test key sees and makes test keys alone. A secret is shown once and stored as its hash.
"""

from collections.abc import Callable, Collection
from typing import Final

import msgspec

from postclock.core.account import (
    PREFIXES,
    SECRET_OCTETS,
    SENDARA_SCOPES,
    SHOWN,
    ApiKey,
    Dialect,
    Principal,
    Scope,
    Tenant,
    scopes_of_key,
)
from postclock.core.clock import Clock
from postclock.core.errors import FieldError, Forbidden, Invalid, NotFound
from postclock.core.ids import IdSource, parse_id, public_id
from postclock.core.message import Mode
from postclock.runtime.entropy import Entropy
from postclock.service.moments import moment_ms
from postclock.service.principal import hash_of
from postclock.store.registers import Accounts

KEY: Final = "key_"
MAX_NAME: Final = 255
MAX_SCOPES: Final = (
    100  # names in one call, far above those there are: a body has room for millions, each with an error of its own
)
_NO_KEY: Final = "API key not found"


class KeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """A key right after it was made or rotated: the only time its secret is known."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"KeyMade(key={self.key!r})"


class ApiKeys:
    """Keys as their tenants and the operator manage them. ``changed`` is called after every change (the authenticator's ``forget``)."""

    def __init__(
        self, store: Accounts, clock: Clock, ids: IdSource, entropy: Entropy, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._entropy = entropy
        self._changed = changed

    async def make(
        self,
        tenant: Tenant,
        *,
        name: str,
        dialect: Dialect,
        environment: Mode,
        scopes: Collection[str],
        read_messages: bool = True,
        expires_at: str | None = None,
    ) -> KeyMade:
        """The operator makes a key. ``scopes``: scope names; for Sendara one of send, read, admin. Raises Invalid."""
        errors = _name_errors(name)
        if dialect == "sendara":
            granted, bad = _sendara_scopes(scopes)
        else:
            granted, bad = _scopes(scopes)
        expires, late = self._expiry(expires_at)
        if errors or bad or late:
            raise Invalid([*errors, *bad, *late])
        return await self._add(
            tenant.id,
            name=name,
            dialect=dialect,
            environment=environment,
            scopes=scopes_of_key(dialect, granted, read_messages=read_messages),
            expires_at=expires,
        )

    async def create(
        self,
        by: Principal,
        *,
        name: str,
        environment: Mode = "live",
        scopes: Collection[str] = (),
        read_messages: bool = True,
        expires_at: str | None = None,
    ) -> KeyMade:
        """A key makes a ScaiSend key of its tenant. It reads messages when its maker does, unless told not to.

        Raises Invalid; Forbidden for a scope that the maker lacks, and for a live key asked for by a test key.
        """
        granted, bad = _scopes(scopes)
        expires, late = self._expiry(expires_at)
        errors = [*_name_errors(name), *bad, *late]
        if errors:
            raise Invalid(errors)
        if by.mode == "test" and environment == "live":
            raise Forbidden("A test key cannot make live keys", "environment")
        _holds(by, granted)
        read = read_messages and Scope.messages_read in by.key.scopes
        return await self._add(
            by.tenant.id,
            name=name,
            dialect="scaisend",
            environment=environment,
            scopes=scopes_of_key("scaisend", granted, read_messages=read),
            expires_at=expires,
        )

    async def create_with_word(self, by: Principal, *, word: str, environment: Mode) -> KeyMade:
        """A key makes a Sendara key of its tenant; ``word``: its one scope, send, read or admin.

        Raises Invalid; Forbidden for a scope that the maker lacks, and for a live key asked for by a test key.
        """
        granted = SENDARA_SCOPES.get(word)
        if granted is None:
            raise Invalid(f"Must be one of: {', '.join(SENDARA_SCOPES)}.", "scope")
        if by.mode == "test" and environment == "live":
            raise Forbidden("A test key cannot make live keys", "test_mode")
        _holds(by, granted)
        return await self._add(
            by.tenant.id, name=word, dialect="sendara", environment=environment, scopes=granted, expires_at=None
        )

    async def keys(self, by: Principal, *, include_revoked: bool = False) -> list[ApiKey]:
        """The tenant's keys that the caller may see, oldest first."""
        keys = await self._store.keys(by.tenant.id)
        return [key for key in keys if _sees(by, key) and (include_revoked or key.revoked_at is None)]

    async def all_keys(self, tenant: Tenant | None = None) -> list[ApiKey]:
        """For the operator: every key, or a tenant's, revoked ones included."""
        return await self._store.keys(None if tenant is None else tenant.id)

    async def get(self, by: Principal, ident: str) -> ApiKey:
        """One key by its public id. Raises NotFound."""
        try:
            key = await self._store.key(by.tenant.id, parse_id(KEY, ident))
        except NotFound:
            raise NotFound(_NO_KEY) from None
        if not _sees(by, key):
            raise NotFound(_NO_KEY)
        return key

    async def change(
        self,
        by: Principal,
        ident: str,
        *,
        name: str | None = None,
        scopes: Collection[str] | None = None,
        read_messages: bool | None = None,
    ) -> ApiKey:
        """Rename a key, or give it other scopes; whether it reads messages stays as it was unless said.

        Raises NotFound, Invalid (revoked, unknown scope), Forbidden for a scope that the caller lacks.
        """
        granted, bad = _scopes(scopes or ())
        errors = [*([] if name is None else _name_errors(name)), *bad]
        if errors:
            raise Invalid(errors)
        key = await self._in_force(by, ident)
        wanted = key.scopes if scopes is None else granted | (key.scopes & {Scope.messages_read})
        if read_messages is not None:
            wanted = wanted | {Scope.messages_read} if read_messages else wanted - {Scope.messages_read}
        _holds(by, wanted - key.scopes)
        changed = await self._store.change_key(
            by.tenant.id, key.id, name=name, scopes=None if wanted == key.scopes else _names(wanted)
        )
        self._changed()
        return changed

    async def rotate(self, by: Principal, ident: str) -> KeyMade:
        """A new secret for a key; the old one is dead at once.

        Raises NotFound, Invalid (revoked), Forbidden when the key holds a scope that the caller lacks: the secret would give it away.
        """
        key = await self._in_force(by, ident)
        _holds(by, key.scopes)
        secret = self._secret(key.dialect, key.environment)
        rotated = await self._store.replace_secret(by.tenant.id, key.id, hash_of(secret), secret[:SHOWN])
        self._changed()
        return KeyMade(key=rotated, secret=secret)

    async def revoke(self, by: Principal, ident: str) -> ApiKey:
        """End a key, softly: it stays listed. Again: no change. Raises NotFound."""
        key = await self.get(by, ident)
        revoked = await self._store.revoke_key(by.tenant.id, key.id, self._clock.now_ms())
        self._changed()
        return revoked

    async def revoke_any(self, ident: str) -> ApiKey:
        """The operator ends a key, whosever it is. Raises NotFound."""
        revoked = await self._store.revoke_key(None, parse_id(KEY, ident), self._clock.now_ms())
        self._changed()
        return revoked

    async def _in_force(self, by: Principal, ident: str) -> ApiKey:
        key = await self.get(by, ident)
        if key.revoked_at is not None:
            raise Invalid("The API key is revoked: make a new one.")
        return key

    async def _add(
        self,
        tenant: int,
        *,
        name: str,
        dialect: Dialect,
        environment: Mode,
        scopes: frozenset[Scope],
        expires_at: int | None,
    ) -> KeyMade:
        secret = self._secret(dialect, environment)
        key = ApiKey(
            id=self._ids.next(),
            tenant=tenant,
            prefix=secret[:SHOWN],
            name=name,
            dialect=dialect,
            environment=environment,
            scopes=scopes,
            created_at=self._clock.now_ms(),
            expires_at=expires_at,
        )
        await self._store.add_key(key, hash_of(secret))
        return KeyMade(key=key, secret=secret)

    def _secret(self, dialect: Dialect, environment: Mode) -> str:
        return PREFIXES[dialect, environment] + self._entropy.secret_hex(SECRET_OCTETS)

    def _expiry(self, text: str | None) -> tuple[int | None, list[FieldError]]:
        if text is None:
            return None, []
        at = moment_ms(text)
        if at is None:
            return None, [FieldError("Must be a time in ISO 8601, such as 2030-01-31T12:00:00Z.", "expires_at")]
        if at <= self._clock.now_ms():
            return None, [FieldError("Must be in the future.", "expires_at")]
        return at, []


def public_key_id(key: ApiKey) -> str:
    """A key's id as callers know it."""
    return public_id(KEY, key.id)


def _sees(by: Principal, key: ApiKey) -> bool:
    return by.mode == "live" or key.environment == "test"


def _holds(by: Principal, scopes: frozenset[Scope]) -> None:
    missing = _names(scopes - by.key.scopes)
    if missing:
        raise Forbidden(f"Missing required scope: {missing[0]}", "scopes")


def _names(scopes: frozenset[Scope]) -> list[str]:
    return [scope.value for scope in Scope if scope in scopes]


def _scopes(names: Collection[str]) -> tuple[frozenset[Scope], list[FieldError]]:
    if len(names) > MAX_SCOPES:
        return frozenset(), [FieldError(f"At most {MAX_SCOPES} scopes are taken.", "scopes")]
    known = {scope.value: scope for scope in Scope}
    errors = [
        FieldError(f"Unknown scope: {name[:100]}", f"scopes.{n}") for n, name in enumerate(names) if name not in known
    ]
    return frozenset(known[name] for name in names if name in known), errors


def _sendara_scopes(names: Collection[str]) -> tuple[frozenset[Scope], list[FieldError]]:
    if len(names) != 1 or next(iter(names)) not in SENDARA_SCOPES:
        return frozenset(), [FieldError(f"Must be one of: {', '.join(SENDARA_SCOPES)}.", "scopes")]
    return SENDARA_SCOPES[next(iter(names))], []


def _name_errors(name: str) -> list[FieldError]:
    if not 1 <= len(name.strip()) <= len(name) <= MAX_NAME:
        return [FieldError(f"Must have 1 to {MAX_NAME} characters.", "name")]
    return []
