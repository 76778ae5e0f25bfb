"""The fingerprint of a request: what tells a repeat under an idempotency key from another request under the same key."""

import hashlib
import json
import re
from typing import Final

from postclock.api.json_body import load_as_written

VERSION: Final = b"\x01"
"""The first byte of a fingerprint: a change of the canonical form takes a new one, so that old keys never match by accident."""

NOT_PART: Final = ("scheduled_at", "idempotency_key")
"""Top-level fields a repeat may change: the key itself, and a time that a client computes anew at each try."""

# U+0000 is refused in bodies, so a string that begins with it can only be a number's text.
_MARK: Final = "\x00"
_NUMBER: Final = re.compile(r'"\\u0000([^"\\]*)"')


def fingerprint(body: bytes) -> bytes:
    """33 bytes: the version and the SHA-256 of the body's canonical JSON, without the fields in ``NOT_PART``.

    Canonical: keys sorted, no white space, nulls kept, numbers as they were written (``1``, ``1.0`` and ``1e0`` differ), of a
    repeated key the last. Call it on bodies that were decoded before; raises Invalid when the body is no JSON.
    """
    value = load_as_written(body, _MARK)
    if isinstance(value, dict):
        for field in NOT_PART:
            value.pop(field, None)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return VERSION + hashlib.sha256(_NUMBER.sub(r"\1", text).encode("ascii")).digest()
