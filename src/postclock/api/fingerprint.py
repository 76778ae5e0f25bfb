"""The fingerprint of a request: what tells a repeat under an idempotency key from another request under the same key."""

import hashlib
import json
import re
from typing import Any, Final

import msgspec

from postclock.api.json_body import load_as_written

VERSION: Final = b"\x01"
"""The first byte of a fingerprint: a change of the canonical form takes a new one, so that old keys never match by accident."""

NOT_PART: Final = ("scheduled_at", "idempotency_key")
"""Top-level fields a repeat may change: the key itself, and a time that a client computes anew at each try."""

# U+0000 is refused in bodies, so a string that begins with it can only be a number's text.
_MARK: Final = "\x00"
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_NUMBER: Final = re.compile(r'"\\u0000([^"\\]*)"')


def fingerprint(body: bytes) -> bytes:
    """33 bytes: the version and the SHA-256 of the body's canonical JSON, without the fields in ``NOT_PART``.

    Canonical: keys sorted, no white space, nulls kept, numbers as they were written (``1``, ``1.0`` and ``1e0`` differ), of a
    repeated key the last. Call it on bodies that were decoded before; raises Invalid when the body is no JSON.
    """
    text = _canonical_quickly(body)
    if text is None:
        value = _stripped(load_as_written(body, _MARK))
        text = _NUMBER.sub(r"\1", json.dumps(value, sort_keys=True, separators=(",", ":"))).encode("ascii")
    return VERSION + hashlib.sha256(text).digest()


def _canonical_quickly(body: bytes) -> bytes | None:
    """The same text in a third of the time; None for numbers (they must stay as written), controls and what is not ASCII."""
    if not body.isascii() or b"\\u00" in body or b"\x7f" in body:  # controls: the two ways escape them differently
        return None
    try:
        value = _stripped(_decode(body))
    except (msgspec.DecodeError, RecursionError):
        return None
    if _has_numbers(value):
        return None
    text = _encode(value)
    return text if text.isascii() else None


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        for field in NOT_PART:
            value.pop(field, None)
    return value


def _has_numbers(value: Any) -> bool:
    kind = type(value)
    if kind is dict or kind is list:
        items = value.values() if kind is dict else value
        return any(_has_numbers(item) for item in items if type(item) is not str)
    return kind is int or kind is float
