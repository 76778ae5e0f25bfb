"""Chance as an argument: secrets and jitter come from here, so that tests can hold them still."""

import random
import secrets
from typing import Final, Protocol


class Entropy(Protocol):
    """What the house knows of chance."""

    def secret_hex(self, octets: int) -> str:
        """``octets`` random octets as lower-case hex, fit for secrets."""
        ...

    def secret_bytes(self, octets: int) -> bytes:
        """``octets`` random octets, fit for secrets."""
        ...

    def jitter(self) -> float:
        """A number from 0 up to 1, for spreading attempts; not for secrets."""
        ...


AHEAD: Final = 4096
"""Octets that are drawn ahead."""


class SystemEntropy:
    """Entropy from the operating system."""

    def secret_hex(self, octets: int) -> str:
        """See Entropy."""
        return secrets.token_hex(octets)

    def secret_bytes(self, octets: int) -> bytes:
        """See Entropy."""
        return secrets.token_bytes(octets)

    def jitter(self) -> float:
        """See Entropy."""
        return random.random()  # noqa: S311  (spreads attempts, keeps no secret)


class Marks:
    """Random names for what is no secret, many a second: each call to the system costs a busy process far more than its time.

    For one thread.
    """

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._ahead = ""
        self._at = 0

    def hex(self, octets: int) -> str:
        """``octets`` random octets (at most ``AHEAD``) as lower-case hex, never given twice."""
        start, end = self._at, self._at + 2 * octets
        if end > len(self._ahead):
            self._ahead = self._entropy.secret_hex(AHEAD)
            start, end = 0, 2 * octets
        self._at = end
        return self._ahead[start:end]
