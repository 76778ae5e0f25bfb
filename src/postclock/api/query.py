"""The query of a request, read by name: every bad parameter is noted, and all are told at once.

Unknown parameters are ignored; of a repeated one the last counts.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from postclock.api.findings import Findings

_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0"})
MAX_TEXT: Final = 1_000  # characters of one parameter: above any address, id or subject


class Query:
    """One request's parameters. Read what is wanted, then ``check``."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.findings = Findings()

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        found = self.optional_integer(name, low, high)
        return default if found is None else found

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        """The same, None when it is not there."""
        text = self._given.get(name)
        if text is None:
            return None
        if text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high:
            return int(text)
        self.findings.add(name, f"Must be a whole number from {low} to {high}.")
        return None

    def flag(self, name: str) -> bool:
        """``true`` or ``false`` (or 1 and 0); absent it is false."""
        text = self._given.get(name, "false").lower()
        if text not in _TRUE | _FALSE:
            self.findings.add(name, "Must be true or false.")
        return text in _TRUE

    def text(self, name: str) -> str | None:
        """Any text of at most ``MAX_TEXT`` characters; None when it is not there or empty."""
        text = self._given.get(name)
        if text and (len(text) > MAX_TEXT or "\x00" in text):
            self.findings.add(name, f"Must have at most {MAX_TEXT} characters, and no U+0000.")
            return None
        return text or None

    def words(self, name: str, allowed: Sequence[str]) -> frozenset[str] | None:
        """Words of a fixed list, separated by commas; None when it is not there or empty."""
        text = self._given.get(name)
        if not text:
            return None
        words = frozenset(word.strip() for word in text.split(","))
        if not words <= frozenset(allowed):
            self.findings.add(name, f"Must be of: {', '.join(allowed)}.")
            return None
        return words

    def check(self) -> None:
        """Raises Invalid naming every bad parameter that was read."""
        if self.findings:
            raise self.findings.invalid()
