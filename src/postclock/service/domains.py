"""Sending domains: added with DKIM keys made for them, shown as records to publish, verified by what the DNS says.

A domain is verified when the record of its RSA key is found. Its Ed25519 key signs only while its own record is found too: an
unpublished one would add a signature that fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from postclock.core.address import ascii_domain
from postclock.core.clock import Clock
from postclock.core.errors import Invalid, NotFound
from postclock.core.ids import IdSource
from postclock.core.sending_domain import DnsRecord, SealedKey, SendingDomain
from postclock.mail.dkim.key import SigningKey, generate_ed25519, generate_rsa, load_key
from postclock.mail.dkim.record import record_matches, txt_record
from postclock.store import interface

SELECTOR: Final = "pc1"
ED25519_SELECTOR: Final = "pc1-ed25519"
DMARC: Final = "v=DMARC1; p=none"

LookUp = Callable[[str], Awaitable[Sequence[str]]]
"""The TXT records of a name; none when there is no such name. Raises PostclockError when the DNS does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A domain as the DNS leaves it, and what is wrong with its records, one line for each."""

    domain: SendingDomain
    problems: tuple[str, ...]


class Domains:
    """``seal`` encrypts a private key for the store, ``unseal`` opens it; ``look_up`` asks the DNS."""

    def __init__(
        self,
        store: interface.Domains,
        clock: Clock,
        ids: IdSource,
        *,
        seal: Callable[[bytes], bytes],
        unseal: Callable[[bytes], bytes],
        look_up: LookUp,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._seal = seal
        self._unseal = unseal
        self._look_up = look_up

    async def add(self, tenant: int, domain: str, *, trusted: bool = False) -> SendingDomain:
        """The domain with keys made for it; the tenant's own is returned as it is. Raises Invalid, Conflict."""
        name = _name(domain)
        try:
            there = await self._store.domain(tenant, name)
        except NotFound:
            rsa, ed25519 = await asyncio.gather(asyncio.to_thread(generate_rsa), asyncio.to_thread(generate_ed25519))
            keys = [self._key(name, SELECTOR, rsa), self._key(name, ED25519_SELECTOR, ed25519)]
        else:
            if there.trusted or not trusted:
                return there
            keys = []
        return await self._store.add_domain(tenant, name, keys, self._clock.now_ms(), trusted=trusted)

    async def get(self, tenant: int | None, domain: str) -> SendingDomain:
        """One domain; with no tenant, the one for which it is live, or the oldest. Raises Invalid, NotFound."""
        name = _name(domain)
        try:
            return await self._store.domain(tenant, name)
        except NotFound:
            raise NotFound(f"Domain not found: {name}") from None

    async def all(self, tenant: int | None = None) -> list[SendingDomain]:
        """All, or a tenant's, by name."""
        return await self._store.domains(tenant)

    async def verify(self, tenant: int | None, domain: str) -> Verification:
        """Ask the DNS for the records of every key.

        The RSA key's record makes the domain verified and its absence unverified, unless the domain is trusted. When the DNS
        does not answer nothing changes. Raises Invalid, NotFound, Conflict (live for another tenant), PostclockError.
        """
        there = await self.get(tenant, domain)
        texts = await asyncio.gather(*(self._look_up(_record_name(key)) for key in there.keys))
        proven = False
        found: list[int] = []
        problems: list[str] = []
        for sealed, published in zip(there.keys, texts, strict=True):
            reason = self._problem(sealed, published)
            if reason is None:
                found.append(sealed.id)
                proven = proven or sealed.algorithm == "rsa-sha256"
            else:
                problems.append(f"{_record_name(sealed)}: {reason}")
        now = self._clock.now_ms()
        if proven or not there.trusted:
            await self._store.set_verified(there.tenant, there.domain, now if proven else None)
        checked = await self._store.note_published(there.tenant, there.domain, found, now)
        return Verification(domain=checked, problems=tuple(problems))

    def _problem(self, sealed: SealedKey, published: Sequence[str]) -> str | None:
        key = load_key(sealed.domain, sealed.selector, self._unseal(sealed.sealed))
        # A receiver that finds several records may take any of them (RFC 6376 3.6.2.2), so each has to be ours.
        if not published:
            return "there is no TXT record"
        if all(record_matches(text, key) for text in published):
            return None
        if any(record_matches(text, key) for text in published):
            return "there is another TXT record beside ours"
        return "the TXT record there is not the one to publish"

    def _key(self, domain: str, selector: str, private: bytes) -> SealedKey:
        key: SigningKey = load_key(domain, selector, private)
        return SealedKey(
            id=self._ids.next(),
            domain=domain,
            selector=selector,
            algorithm=key.algorithm,
            sealed=self._seal(private),
            record=txt_record(key),
        )


def records(domain: SendingDomain, *, sender: str = "", return_domain: str = "") -> list[DnsRecord]:
    """What to publish: the DKIM records make the domain verify, the others are good to have.

    DMARC (RFC 7489) asks for nothing yet. SPF (RFC 7208) belongs to the return path's domain and names ``sender``, the host that
    receivers see connecting; a name without a dot is no such host, and then SPF is left out.
    """
    wanted = [DnsRecord("TXT", _record_name(key), key.record) for key in domain.keys]
    if "." in sender:
        wanted.append(DnsRecord("TXT", return_domain or domain.domain, f"v=spf1 a:{sender} ~all"))
    wanted.append(DnsRecord("TXT", f"_dmarc.{domain.domain}", DMARC))
    return wanted


def _record_name(key: SealedKey) -> str:
    return f"{key.selector}._domainkey.{key.domain}"


def _name(domain: str) -> str:
    try:
        return ascii_domain(domain.strip())
    except ValueError:
        raise Invalid(f"{domain!r} is not a domain", "domain") from None
