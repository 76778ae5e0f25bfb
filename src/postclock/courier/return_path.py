"""The return path of a message: ``b+<token>@<return domain>``, so that a bounce names the message it is about.

The token is the message's id, its envelope's id and a keyed check value (BLAKE2b of 80 bits: a forged bounce would
need 2^79 tries), in hex, because local parts get lower-cased and copied by hand on their way, and hex costs next to nothing.
"""

import hmac
from hashlib import blake2b
from typing import Final

import msgspec

PREFIX: Final = "b+"
_ID_OCTETS: Final = 8
_CHECK_OCTETS: Final = 10
_PAYLOAD_OCTETS: Final = 2 * _ID_OCTETS
_OCTETS: Final = _PAYLOAD_OCTETS + _CHECK_OCTETS
_CHARS: Final = 2 * _OCTETS
_PURPOSE: Final = b"return path"  # BLAKE2b (RFC 7693), keyed: a tenth of the time of an HMAC, on the path of every mail

_BY_HAND: Final = str.maketrans("oil", "011")  # what a person may read for 0 and 1


class Returned(msgspec.Struct, frozen=True):
    """What a return path names."""

    message: int
    envelope: int


class ReturnPath:
    """Makes and reads return paths under one key (32 octets, a sub-key of the secret key)."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the return path's key is too short")
        self._key = key

    def make(self, message: int, envelope: int, domain: str) -> str:
        """The address for one envelope of one message; ``domain`` in the form it is sent in."""
        payload = message.to_bytes(_ID_OCTETS, "big") + envelope.to_bytes(_ID_OCTETS, "big")
        return f"{PREFIX}{payload.hex()}{self._check(payload).hex()}@{domain}"

    def read(self, address: str) -> Returned | None:
        """The ids in an address that was made under this key, whatever its domain and case; None for every other one."""
        local = address.rpartition("@")[0].lower()
        if not local.startswith(PREFIX) or len(local) != len(PREFIX) + _CHARS:
            return None
        try:
            octets = bytes.fromhex(local[len(PREFIX) :].translate(_BY_HAND))
        except ValueError:
            return None
        if len(octets) != _OCTETS:
            return None  # fromhex passes over white space
        payload = octets[:_PAYLOAD_OCTETS]
        if not hmac.compare_digest(octets[_PAYLOAD_OCTETS:], self._check(payload)):
            return None
        return Returned(
            int.from_bytes(payload[:_ID_OCTETS], "big"),
            int.from_bytes(payload[_ID_OCTETS:], "big"),
        )

    def _check(self, payload: bytes) -> bytes:
        return blake2b(payload, key=self._key, digest_size=_CHECK_OCTETS, person=_PURPOSE).digest()
