"""The token in a confirmation mail's link: names one test recipient, for a week, and cannot be made by anybody else."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

VALID_SECONDS: Final = 7 * 86_400
_ID_OCTETS: Final = 8
_TIME_OCTETS: Final = 5
_CHECK_OCTETS: Final = 17  # 136 bits, which leave no padding
_PAYLOAD_OCTETS: Final = _ID_OCTETS + _TIME_OCTETS
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{40}", re.ASCII)


class ConfirmationTokens:
    """Makes and reads tokens under one key (32 octets, a sub-key of the secret key)."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the key of confirmations is too short")
        self._key = key

    def make(self, ident: int, now: int) -> str:
        """40 characters that stand for test recipient ``ident`` until a week after ``now`` (UTC milliseconds)."""
        until = now // 1000 + VALID_SECONDS
        payload = ident.to_bytes(_ID_OCTETS, "big") + until.to_bytes(_TIME_OCTETS, "big")
        return urlsafe_b64encode(payload + self._check(payload)).decode()

    def read(self, token: str, now: int) -> int | None:
        """The test recipient; None for a token that is not ours, or too old."""
        if _TOKEN.fullmatch(token) is None:
            return None
        octets = urlsafe_b64decode(token)
        payload, check = octets[:_PAYLOAD_OCTETS], octets[_PAYLOAD_OCTETS:]
        if not hmac.compare_digest(check, self._check(payload)):
            return None
        if int.from_bytes(payload[_ID_OCTETS:], "big") * 1000 < now:
            return None
        return int.from_bytes(payload[:_ID_OCTETS], "big")

    def _check(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")[:_CHECK_OCTETS]
