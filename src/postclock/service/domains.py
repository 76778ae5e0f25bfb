"""Sending domains: added with DKIM keys made for them, shown as records to publish, verified by what the DNS says.

A domain is verified when the record of its RSA key is found. Its Ed25519 key signs only while its own record is found too: an
unpublished one would add a signature that fails. SPF and DMARC are looked for as well, and told; mail goes without them.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from postclock.core.address import ascii_domain
from postclock.core.clock import Clock
from postclock.core.errors import Invalid, NotFound, PostclockError, Unprocessable
from postclock.core.ids import IdSource
from postclock.core.sending_domain import DnsRecord, SealedKey, SendingDomain
from postclock.mail.dkim.key import SigningKey, generate_ed25519, generate_rsa, load_key
from postclock.mail.dkim.record import record_matches, txt_record
from postclock.mail.headers import clean
from postclock.store import registers

SELECTOR: Final = "pc1"
ED25519_SELECTOR: Final = "pc1-ed25519"
DMARC: Final = "v=DMARC1; p=none"
MAX_DOMAINS: Final = 100  # of a tenant, added by itself: each makes two keys, and one of them costs half a second
MAX_FROM_NAME: Final = 255
MAX_NAME: Final = 1_000  # characters of a name as it is given, with dots and the like that are no part of it
MAX_PARENTS: Final = (
    8  # names that are asked for a DMARC record: as many as its own tree walk takes (draft-ietf-dmarc-dmarcbis 4.10)
)

_SPF: Final = re.compile(r"v=spf1(?= |$)", re.IGNORECASE)  # RFC 7208 4.5
_DMARC: Final = re.compile(r"v\s*=\s*DMARC1\s*(?:;|$)")  # RFC 7489 6.4

LookUp = Callable[[str], Awaitable[Sequence[str]]]
"""The TXT records of a name; none when there is no such name. Raises PostclockError when the DNS does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A domain as the DNS leaves it, and what is wrong with its records, one line for each."""

    domain: SendingDomain
    problems: tuple[str, ...]
    advice: tuple[str, ...] = ()
    """The same of the records that are good to have."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Whether a record was found (None: the DNS did not say), and what is wrong."""

    found: bool | None
    problem: str = ""


class Domains:
    """``seal`` encrypts a private key for the store, ``unseal`` opens it; ``look_up`` asks the DNS.

    ``sender`` is the host that receivers see connecting, ``return_domain`` the return path's domain (empty: the sending domain).
    """

    def __init__(
        self,
        store: registers.Domains,
        clock: Clock,
        ids: IdSource,
        *,
        seal: Callable[[bytes], bytes],
        unseal: Callable[[bytes], bytes],
        look_up: LookUp,
        sender: str = "",
        return_domain: str = "",
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._seal = seal
        self._unseal = unseal
        self._look_up = look_up
        self._sender = sender
        self._return_domain = return_domain

    async def add(self, tenant: int, domain: str, *, trusted: bool = False, most: int | None = None) -> SendingDomain:
        """The domain with keys made for it; the tenant's own is returned as it is.

        With ``most`` a tenant that has so many gets no more. Raises Invalid, Conflict, Unprocessable.
        """
        name = _name(domain)
        try:
            there = await self._store.domain(tenant, name)
        except NotFound:
            if most is not None and len(await self._store.domains(tenant)) >= most:
                raise Unprocessable(f"At most {most} domains can be added: ask whoever runs this service.") from None
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
        """Ask the DNS for the records of every key, and for SPF and DMARC.

        The RSA key's record makes the domain verified and its absence unverified, unless the domain is trusted. When the DNS
        does not answer for a key nothing changes. Raises Invalid, NotFound, Conflict (live for another tenant), PostclockError.
        """
        there = await self.get(tenant, domain)
        texts, spf, dmarc = await asyncio.gather(
            asyncio.gather(*(self._look_up(_record_name(key)) for key in there.keys)),
            self._spf(there.domain),
            self._dmarc(there.domain),
        )
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
        await self._store.note_published(there.tenant, there.domain, found, now)
        checked = await self._store.note_checked(there.tenant, there.domain, spf=spf.found, dmarc=dmarc.found, at=now)
        advice = tuple(look.problem for look in (spf, dmarc) if look.problem)
        return Verification(domain=checked, problems=tuple(problems), advice=advice)

    async def set_from_name(self, tenant: int, domain: str, name: str) -> SendingDomain:
        """The display name of a From that has none, from now on; empty: none. Raises Invalid, NotFound."""
        self.check_from_name(name)
        there = await self.get(tenant, domain)
        return await self._store.set_from_name(tenant, there.domain, name.strip(), self._clock.now_ms())

    def check_from_name(self, name: str) -> None:
        """Raises Invalid for what cannot be a display name."""
        if len(name) > MAX_FROM_NAME or clean(name) != name.strip(" "):
            raise Invalid(
                f"Must have at most {MAX_FROM_NAME} characters, no control characters among them.", "default_from_name"
            )

    def records(self, domain: SendingDomain) -> list[DnsRecord]:
        """What to publish for it."""
        return records(domain, sender=self._sender, return_domain=self._return_domain)

    def mail_from(self, domain: SendingDomain) -> str:
        """The domain of the return path that its mail carries."""
        return self._return_domain or domain.domain

    async def _spf(self, domain: str) -> _Look:
        name = self._return_domain or domain
        try:
            found = [text.split() for text in await self._look_up(name) if _SPF.match(text)]
        except PostclockError as error:
            return _Look(None, str(error))
        # Several records make every check fail (RFC 7208 4.5).
        if len(found) != 1:
            return _Look(False, f"{name}: there {'are several SPF records' if found else 'is no SPF record'}")
        wanted = f"a:{self._sender}".lower()
        if "." in self._sender and not any(term.lower().removeprefix("+") == wanted for term in found[0]):
            return _Look(False, f"{name}: the SPF record does not have {wanted}")
        return _Look(True)

    async def _dmarc(self, domain: str) -> _Look:
        labels = domain.split(".")
        # A subdomain without a record of its own has its organisation's; which of the parents that is only a list of suffixes knows.
        parents = [".".join(labels[n:]) for n in range(len(labels) - 1)]
        names = [f"_dmarc.{name}" for name in (*parents[:1], *parents[1:][-MAX_PARENTS + 1 :])]
        try:
            texts = await asyncio.gather(*(self._look_up(name) for name in names))
        except PostclockError as error:
            return _Look(None, str(error))
        if any(_DMARC.match(text) for found in texts for text in found):
            return _Look(True)
        return _Look(False, f"{names[0]}: there is no DMARC record")

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
    if len(domain) > MAX_NAME:  # before anything that looks at each character, or keeps it
        raise Invalid(f"Must have at most {MAX_NAME} characters.", "domain")
    try:
        return ascii_domain(domain.strip())
    except ValueError:
        raise Invalid(f"{domain!r} is not a domain", "domain") from None
