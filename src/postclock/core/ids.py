"""Ids: 63-bit integers inside, prefix and Crockford base32 outside.

Inside, an id is milliseconds (41 bits, since 2020-01-01 UTC), node (10 bits, leased with the owner row) and a sequence (12
bits): ordered by time, no collision between processes, no lock. Integers were measured against 16-byte and text keys; both
lost, by 20-30 % in size on SQLite. Outside, a message's id also carries its week, so that partitions can be pruned by it.
"""

from typing import Final

from postclock.core.clock import Clock
from postclock.core.errors import NotFound

EPOCH_MS: Final = 1_577_836_800_000  # 2020-01-01T00:00:00Z
NODE_BITS: Final = 10
SEQUENCE_BITS: Final = 12
MAX_NODE: Final = (1 << NODE_BITS) - 1
MAX_MS: Final = (1 << (63 - NODE_BITS - SEQUENCE_BITS)) - 1
WEEK_MS: Final = 7 * 86_400_000

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {c: i for i, c in enumerate(_ALPHABET)} | {c.lower(): i for i, c in enumerate(_ALPHABET)}
_VALUES.update({"O": 0, "o": 0, "I": 1, "i": 1, "L": 1, "l": 1})
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_ID_CHARS: Final = 13
_WEEK_CHARS: Final = 3


class IdSource:
    """Makes ids for one process; called from one thread.

    A clock that goes back does not make an id twice: the source goes on from the last millisecond it used. ``first`` is where
    the sequence begins in each millisecond: chosen by chance, it keeps commands apart that share a node and a moment.
    """

    def __init__(self, clock: Clock, node: int, first: int = 0) -> None:
        if not 0 <= node <= MAX_NODE:
            raise ValueError(f"node must be 0 to {MAX_NODE}, not {node}")
        self._clock = clock
        self._node = node << SEQUENCE_BITS
        self._first = first
        self._last = 0
        self._sequence = first

    def next(self) -> int:
        """One new id."""
        return self.take(1)[0]

    def take(self, n: int) -> list[int]:
        """``n`` new ids, rising."""
        out: list[int] = []
        ms = max(self._clock.now_ms() - EPOCH_MS, self._last)
        if ms > self._last:
            self._last, self._sequence = ms, self._first
        while len(out) < n:
            if self._sequence >> SEQUENCE_BITS:
                self._last, self._sequence = self._last + 1, self._first
            base = (self._last << (NODE_BITS + SEQUENCE_BITS)) | self._node
            room = min(n - len(out), (1 << SEQUENCE_BITS) - self._sequence)
            out.extend(range(base + self._sequence, base + self._sequence + room))
            self._sequence += room
        return out


def ms_of(ident: int) -> int:
    """The wall-clock milliseconds at which an id was made."""
    return (ident >> (NODE_BITS + SEQUENCE_BITS)) + EPOCH_MS


def week_of(at_ms: int) -> int:
    """The week (counted from the Unix epoch) in which a moment lies; what history is partitioned by."""
    return at_ms // WEEK_MS


def _decode(text: str) -> int:
    number = 0
    for c in text:
        value = _VALUES.get(c)
        if value is None:
            raise NotFound("no such id")
        number = number << 5 | value
    return number


def public_id(prefix: str, ident: int) -> str:
    """``prefix`` and 13 characters: the public form of a plain id."""
    return prefix + _id_text(ident)


def _id_text(n: int) -> str:
    # Written out: a call with a thousand personalizations makes a thousand of these.
    return (
        f"{_ALPHABET[n >> 60]}{_PAIRS[n >> 50 & 1023]}{_PAIRS[n >> 40 & 1023]}{_PAIRS[n >> 30 & 1023]}"
        f"{_PAIRS[n >> 20 & 1023]}{_PAIRS[n >> 10 & 1023]}{_PAIRS[n & 1023]}"
    )


def parse_id(prefix: str, text: str) -> int:
    """The id inside ``text``; raises NotFound when it is not one of this prefix."""
    if not text.startswith(prefix) or len(text) != len(prefix) + _ID_CHARS:
        raise NotFound("no such id")
    number = _decode(text[len(prefix) :])
    if number >> 63:
        raise NotFound("no such id")
    return number


def public_message_id(week: int, ident: int) -> str:
    """``msg_``, three characters of week, thirteen of id."""
    return f"msg_{_ALPHABET[week >> 10 & 31]}{_PAIRS[week & 1023]}{_id_text(ident)}"


def parse_message_id(text: str) -> tuple[int, int]:
    """(week, id) of a public message id; raises NotFound when it is not one."""
    if not text.startswith("msg_") or len(text) != 4 + _WEEK_CHARS + _ID_CHARS:
        raise NotFound("no such message")
    week, ident = _decode(text[4 : 4 + _WEEK_CHARS]), _decode(text[4 + _WEEK_CHARS :])
    if ident >> 63:
        raise NotFound("no such message")
    return week, ident
