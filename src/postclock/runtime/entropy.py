"""Chance as an argument: secrets and jitter come from here, so that tests can hold them still."""

import random
import secrets
from typing import Protocol


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
