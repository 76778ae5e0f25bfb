"""The signer: a DKIM-Signature field for a composed message, relaxed/relaxed (RFC 6376, RFC 8463).

The last step before the wire. The body is hashed once for all signatures, so a second key costs its own signing and some
microseconds. ``l=`` is never written: it would let anyone append to the message.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from postclock.mail.dkim import canonical
from postclock.mail.dkim.key import SigningKey

# Signed when present (RFC 6376 5.4.1; RFC 8058 4 asks for the List-Unsubscribe pair).
SIGNED: Final = frozenset(
    {
        b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version", b"content-type", b"reply-to",
        b"content-transfer-encoding", b"list-unsubscribe", b"list-unsubscribe-post",
    }
)  # fmt: skip
# Named once more than they occur, so that nobody can add a second one (RFC 6376 8.15).
OVERSIGNED: Final = (b"from", b"to", b"subject", b"date")

_PADDING: Final = PKCS1v15()
_SHA256: Final = SHA256()
_LINE: Final = 72  # octets of b= in a line


def sign(
    key: SigningKey, headers: Sequence[tuple[bytes, bytes]], body: bytes, *, at: int, body_hash: bytes | None = None
) -> bytes:
    """The complete DKIM-Signature field with its CR LF, folded, to stand before the message's other fields.

    ``headers`` are (name, value) in the order of the message; ``at`` is Unix seconds (``t=``); ``body_hash`` is
    ``canonical.body_hash(body)`` when it is known already, and then ``body`` is not looked at.
    """
    if body_hash is None:
        body_hash = canonical.body_hash(body)
    names = []
    parts = []
    # Of a field that occurs more than once, verifiers take the last first (RFC 6376 5.4.2).
    for name, value in reversed(headers):
        lower = name.lower()
        if lower in SIGNED:
            names.append(lower)
            parts.append(canonical.relaxed_header(name, value))
    plain, folded = _named(tuple(names))
    start = _start(key.algorithm, key.domain, key.selector)
    middle = b" t=%d; " % at
    end = b" bh=%b;" % b64encode(body_hash)
    # The folds are where the relaxed form has one space, so both are made from the same pieces.
    parts.append(b"dkim-signature:%b%bh=%b;%b b=" % (start[0], middle, plain, end))
    signature = b64encode(_signature(key, b"".join(parts)))
    lines = [signature[i : i + _LINE] for i in range(0, len(signature), _LINE)]
    return b"DKIM-Signature: %b\r\n%bh=%b;\r\n%b\r\n b=%b\r\n" % (
        start[1],
        middle,
        folded,
        end,
        b"\r\n ".join(lines),
    )


def _signature(key: SigningKey, data: bytes) -> bytes:
    match key.private:
        case RSAPrivateKey() as private:
            return private.sign(data, _PADDING, _SHA256)
        case Ed25519PrivateKey() as private:
            return private.sign(sha256(data).digest())  # RFC 8463 3: Ed25519 over the hash
        case never:
            assert_never(never)


@lru_cache(maxsize=256)
def _start(algorithm: str, domain: str, selector: str) -> tuple[bytes, bytes]:
    """The tags before ``t=``, unfolded and folded."""
    tags = (f"v=1; a={algorithm}; c=relaxed/relaxed;", f"d={domain};", f"s={selector};")
    return " ".join(tags).encode("ascii"), "\r\n ".join(tags).encode("ascii")


@lru_cache(maxsize=256)  # messages have few different sets of fields
def _named(names: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """The value of ``h=``, unfolded (a space where the folds are) and folded."""
    lines = [b""]
    for name in (*names, *OVERSIGNED):
        if len(lines[-1]) + len(name) > _LINE - 20 and lines[-1]:
            lines.append(b"")
        lines[-1] += name + b":"
    lines[-1] = lines[-1][:-1]
    return b" ".join(lines), b"\r\n ".join(lines)
