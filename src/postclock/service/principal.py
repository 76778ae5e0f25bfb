"""Who asks: from the Authorization header to a Principal in force. The first step of every call.

What was found is remembered for less than a second, so a revoked key stops within one; what was not found is not remembered at all, so a
new key works at once. When keys were last used is noted here and written in batches.
"""

import asyncio
import hashlib
import re
from typing import Final

from postclock.core.account import ApiKey, Principal, Tenant
from postclock.core.clock import Clock
from postclock.core.errors import Busy, Forbidden, Unauthorized
from postclock.store.registers import Accounts

REMEMBERED: Final = 0.8  # seconds; a revocation must be felt within one, and the look-up itself takes time
MAX_REMEMBERED: Final = 10_000  # keys; all are forgotten then, which costs each of them one look-up

# What cannot be one of our keys never reaches the store.
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +(s[gk]_(?:live|test)_[0-9a-f]{32})", re.ASCII)
_INVALID: Final = "Invalid API key"


class Authenticator:
    """Looks credentials up, and remembers them for a moment."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._remembered: dict[bytes, tuple[float, Principal]] = {}
        self._asking: dict[bytes, asyncio.Future[tuple[ApiKey, Tenant] | None]] = {}
        self._used: dict[int, int] = {}
        self._forgotten = 0

    async def authenticate(self, authorization: str | None) -> Principal:
        """Who the header stands for. Raises Unauthorized, Forbidden (suspended tenant), Busy."""
        found = self.cached(authorization)
        if found is not None:
            return found
        hashed = _hash(authorization)
        asked_at = self._clock.monotonic()
        forgotten = self._forgotten
        row = await self._look_up(hashed)
        if row is None or not _in_force(row[0], self._clock.now_ms()):
            raise Unauthorized(_INVALID)
        principal = Principal(key=row[0], tenant=row[1])
        if principal.tenant.suspended:
            raise Forbidden("Tenant is suspended")
        if forgotten == self._forgotten:  # else a key was changed meanwhile, and this answer may be the old one
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[hashed] = (asked_at + REMEMBERED, principal)
        self._used[principal.key.id] = self._clock.now_ms()
        return principal

    async def _look_up(self, hashed: bytes) -> tuple[ApiKey, Tenant] | None:
        """One look-up for all who ask for the same key at once: a busy one's callers all miss it in the same moment."""
        while (asking := self._asking.get(hashed)) is not None:
            try:
                return await asyncio.shield(asking)
            except asyncio.CancelledError:
                if not asking.cancelled():
                    raise  # this caller went away, not the one who asks
        asking = self._asking[hashed] = asyncio.get_running_loop().create_future()
        try:
            row = await self._accounts.find_key(hashed)
        except Exception as error:
            asking.set_exception(error)
            asking.exception()  # told to whoever waits; nobody may
            raise
        else:
            asking.set_result(row)
            return row
        finally:
            asking.cancel()  # nothing where it has a result
            if self._asking.get(hashed) is asking:
                del self._asking[hashed]

    def cached(self, authorization: str | None) -> Principal | None:
        """The same without I/O: None when it is not remembered (then ask ``authenticate``). Raises Unauthorized."""
        entry = self._remembered.get(_hash(authorization))
        if entry is None:
            return None
        until, principal = entry
        now_ms = self._clock.now_ms()
        if self._clock.monotonic() >= until or not _in_force(principal.key, now_ms):
            return None
        self._used[principal.key.id] = now_ms
        return principal

    def forget(self) -> None:
        """Forget everybody: a key or a tenant was changed here."""
        self._forgotten += 1
        self._remembered.clear()
        self._asking.clear()

    async def flush_used(self) -> None:
        """Write when keys were last used. Cheap when none was; what the store has no time for now waits for the next call."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._accounts.used_keys(used)
        except Busy:
            self._used = used | self._used


def hash_of(secret: str) -> bytes:
    """How a secret is stored and looked up: SHA-256. Secrets are 128 random bits, so a fast hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def _hash(authorization: str | None) -> bytes:
    if not authorization:
        raise Unauthorized("Missing Authorization header")
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise Unauthorized(_INVALID)
    return hash_of(match[1])


def _in_force(key: ApiKey, now_ms: int) -> bool:
    return key.revoked_at is None and (key.expires_at is None or now_ms < key.expires_at)
