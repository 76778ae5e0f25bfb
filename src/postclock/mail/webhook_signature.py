"""Signatures of webhook bodies: what a receiver checks before it believes that an event came from here.

Both dialects sign the Unix seconds together with the raw body, so that an old delivery cannot be played back later. HMAC-SHA256 (RFC 2104)
serves whoever shares a secret with us, ECDSA on P-256 (FIPS 186-5) the receivers of SendGrid's signed event webhook. Pure functions.
"""

import hmac
from base64 import b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)


def hmac_signature(secret: str, timestamp: str, body: bytes) -> str:
    """Hex HMAC-SHA256 of ``timestamp``, a dot and the raw body; the secret's characters are the key, not what they may encode."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, sha256).hexdigest()


def new_signing_key() -> bytes:
    """A new private key on P-256, as PKCS 8 in DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def public_key(private: bytes) -> str:
    """What receivers check with: SubjectPublicKeyInfo in DER, as base64 in one line."""
    spki = _loaded(private).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(spki).decode()


def ecdsa_signature(private: bytes, timestamp: str, body: bytes) -> str:
    """ECDSA over the SHA-256 of ``timestamp`` and the raw body with nothing between, as base64 of its DER form."""
    return b64encode(_loaded(private).sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()


def _loaded(private: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(private, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not a key for ECDSA")
    return key
