"""Secrets at rest: everything private in the store is encrypted under a sub-key of the one secret key (HKDF, RFC 5869)."""

import hmac
import secrets
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE: Final = 12
_VERSION: Final = b"\x01"


class WrongKey(Exception):
    """What is sealed was sealed under another secret key, or was changed."""


class Seal:
    """Seals and opens under one secret key of 32 octets. Each purpose has a sub-key of its own."""

    def __init__(self, secret_key: bytes) -> None:
        if len(secret_key) != 32:
            raise ValueError("the secret key is 32 octets (64 hex characters)")
        self._key = secret_key
        self._ciphers: dict[str, AESGCM] = {}

    def sub_key(self, purpose: str) -> bytes:
        """32 octets for one purpose."""
        return HKDF(algorithm=SHA256(), length=32, salt=b"postclock", info=purpose.encode()).derive(self._key)

    def _cipher(self, purpose: str) -> AESGCM:
        if purpose not in self._ciphers:
            self._ciphers[purpose] = AESGCM(self.sub_key(purpose))
        return self._ciphers[purpose]

    def seal(self, purpose: str, plain: bytes) -> bytes:
        """Encrypted and authenticated; bound to its purpose."""
        nonce = secrets.token_bytes(_NONCE)
        return _VERSION + nonce + self._cipher(purpose).encrypt(nonce, plain, purpose.encode())

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """What was sealed; raises WrongKey."""
        if not sealed.startswith(_VERSION) or len(sealed) <= 1 + _NONCE:
            raise WrongKey(purpose)
        try:
            return self._cipher(purpose).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], purpose.encode())
        except InvalidTag as error:
            raise WrongKey(purpose) from error

    def check_value(self) -> str:
        """What the store keeps to know the key again; it tells nothing about it."""
        return hmac.new(self.sub_key("check"), b"postclock", sha256).hexdigest()
