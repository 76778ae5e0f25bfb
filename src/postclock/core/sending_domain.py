"""Sending domains and their DKIM keys, as records. Private keys stay encrypted until the engine signs."""

from typing import Literal

import msgspec

Algorithm = Literal["rsa-sha256", "ed25519-sha256"]


class SealedKey(msgspec.Struct, frozen=True, kw_only=True):
    """One DKIM key of one domain; ``sealed`` is the private key (PKCS#8 DER), encrypted. ``record`` is its TXT value.

    ``published_at`` (UTC milliseconds): when the DNS was first seen to have the record; None while it has not.
    """

    id: int
    domain: str
    selector: str
    algorithm: Algorithm
    sealed: bytes
    record: str
    published_at: int | None = None

    @property
    def signs(self) -> bool:
        """Whether mail is signed with it: RSA always, Ed25519 (RFC 8463, not known to every receiver) only once published."""
        return self.algorithm == "rsa-sha256" or self.published_at is not None


class SendingDomain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain a tenant may send from once it is verified (or trusted on the operator's word)."""

    tenant: int
    domain: str
    created_at: int
    verified_at: int | None
    trusted: bool
    keys: tuple[SealedKey, ...] = ()
    from_name: str = ""
    """The display name of a From that has none."""
    updated_at: int = 0
    checked_at: int | None = None
    """When the DNS was last asked; None: never."""
    spf_at: int | None = None
    """Since when the DNS is known to have an SPF record that names the sending host; None: it has not."""
    dmarc_at: int | None = None
    """The same of a DMARC record."""

    @property
    def dkim_at(self) -> int | None:
        """Since when the DNS is known to have the record of the RSA key; None: it has not."""
        return next((k.published_at for k in self.keys if k.algorithm == "rsa-sha256"), None)


class DnsRecord(msgspec.Struct, frozen=True):
    """One record to publish."""

    type: str
    name: str
    value: str
