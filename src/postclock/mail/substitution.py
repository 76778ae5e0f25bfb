"""SendGrid's older substitutions: each key found in subject, text or HTML is replaced by its value, as it stands.

Runs for mails without a dynamic template, before composition. One pass from left to right, the longest key first where
several begin at the same place; what a value brings in is not looked at again.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from postclock.core.errors import TooLarge

MAX_OUTPUT: Final = 10 * 1024 * 1024  # bytes of UTF-8, as for templates
MAX_WORK: Final = 50_000_000  # characters compared: a fifth of a second; a page with twenty keys takes 100,000
_TRY: Final = 100  # what one comparison costs beside its characters
_CACHED: Final = 256  # sets of keys; a sender uses one set for all mails of a campaign


class Substitution:
    """A set of keys made ready to be looked for in many texts. Empty keys are left out: they are everywhere."""

    __slots__ = ("_first", "_lengths")

    def __init__(self, keys: Iterable[str]) -> None:
        found: dict[str, set[int]] = {}
        for key in keys:
            if key:
                found.setdefault(key[0], set()).add(len(key))
        # A key of n characters can only be one of those that begin like the text here: lengths are few, keys may be many.
        self._lengths = {first: tuple(sorted(lengths, reverse=True)) for first, lengths in found.items()}
        self._first = re.compile("[" + "".join(map(re.escape, sorted(found))) + "]") if found else None

    def apply(self, text: str, pairs: Mapping[str, str], *, limit: int = MAX_OUTPUT) -> str:
        """``text`` with the keys of ``pairs`` replaced; raises TooLarge over ``limit`` bytes, or MAX_WORK."""
        if self._first is None:
            return _within(text, limit)
        parts: list[str] = []
        size = work = at = done = 0
        while (start := self._first.search(text, at)) is not None:
            at = start.start()
            for length in self._lengths[text[at]]:
                work += _TRY + length
                value = pairs.get(text[at : at + length])
                if value is not None:
                    parts += (text[done:at], value)
                    size += at - done + len(value)
                    at = done = at + length
                    break
            else:
                at += 1
            if size > limit:
                raise TooLarge(f"the text is larger than {limit} bytes after substitution")
            if work > MAX_WORK:
                raise TooLarge("the substitutions take too long")
        if not parts:
            return _within(text, limit)
        parts.append(text[done:])
        return _within("".join(parts), limit)


def _within(text: str, limit: int) -> str:
    if len(text) > limit or (not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > limit):
        raise TooLarge(f"the text is larger than {limit} bytes after substitution")
    return text


@lru_cache(maxsize=_CACHED)
def _of(keys: frozenset[str]) -> Substitution:
    return Substitution(keys)


def substitute(text: str, pairs: Mapping[str, str], *, limit: int = MAX_OUTPUT) -> str:
    """``text`` with each key of ``pairs`` replaced by its value, verbatim; raises TooLarge over ``limit`` bytes of UTF-8."""
    return _of(frozenset(pairs)).apply(text, pairs, limit=limit) if pairs else _within(text, limit)
