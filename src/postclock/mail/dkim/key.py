"""DKIM keys: made, and loaded once for all the messages they sign (RFC 6376, RFC 8463).

How a private key is kept at rest is not decided here: PKCS #8 octets go out and come in.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from postclock.core.address import ascii_domain

Algorithm = Literal["rsa-sha256", "ed25519-sha256"]

RSA_BITS: Final = 2048  # RFC 8301 3.2 advises it; 4096 does not fit one DNS string and is slow to sign with
MIN_RSA_BITS: Final = 1024  # RFC 8301 3.2: verifiers refuse less
MAX_RSA_BITS: Final = 4096  # RFC 8301 3.2: what verifiers must handle
MAX_KEY_FILE: Final = 16_384  # octets of PEM: several times a 4096-bit key

_SELECTOR: Final = re.compile(r"(?!.{64})[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key with the name it is published under; safe to share between threads (RSA signing releases the GIL).

    ``public`` is the base64 that the ``p=`` of its DNS record carries.
    """

    domain: str
    selector: str
    algorithm: Algorithm
    private: RSAPrivateKey | Ed25519PrivateKey
    public: str

    @property
    def record_name(self) -> str:
        """The DNS name of its TXT record, without a final dot (RFC 6376 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


def load_key(domain: str, selector: str, private: bytes) -> SigningKey:
    """A key from PEM or DER octets, unencrypted; costs some milliseconds for RSA, as the key is checked.

    Raises ValueError when the domain or the selector is not one, or when the octets are no RSA (1024 to 4096 bits) or
    Ed25519 private key.
    """
    selector = selector.lower()
    if not _SELECTOR.fullmatch(selector):
        raise ValueError("not a DKIM selector")
    if len(private) > MAX_KEY_FILE:
        raise ValueError(f"not a private key: longer than {MAX_KEY_FILE} octets")
    try:
        if private.lstrip().startswith(b"-----BEGIN"):
            key = load_pem_private_key(private, password=None)
        else:
            key = load_der_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("not an unencrypted private key in PEM or DER") from error
    algorithm: Algorithm
    match key:
        case RSAPrivateKey():
            if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
                raise ValueError(f"an RSA key for DKIM has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
            algorithm = "rsa-sha256"
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        case Ed25519PrivateKey():
            algorithm = "ed25519-sha256"
            public = key.public_key().public_bytes_raw()
        case _:
            raise ValueError("a DKIM key is RSA or Ed25519")
    return SigningKey(
        domain=ascii_domain(domain),
        selector=selector,
        algorithm=algorithm,
        private=key,
        public=b64encode(public).decode("ascii"),
    )


def generate_rsa() -> bytes:
    """A new RSA-2048 private key, PKCS #8 DER; takes some 50 to 500 ms, so not on an event loop."""
    return _pkcs8(generate_private_key(public_exponent=65537, key_size=RSA_BITS))


def generate_ed25519() -> bytes:
    """A new Ed25519 private key, PKCS #8 DER."""
    return _pkcs8(Ed25519PrivateKey.generate())


def _pkcs8(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
