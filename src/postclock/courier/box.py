"""The mails that the built-in server caught: the last ones, in memory, bounded by number and octets.

Filled by the server's loop, read by the console's: every method may be called from any thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from functools import cached_property
from itertools import islice
from typing import Final

MAX_MAILS: Final = 1_000
MAX_OCTETS: Final = 100 * 1024 * 1024
MAX_PARSED: Final = 256 * 1024
"""Of a mail's header, for showing it; no honest one is longer."""


@dataclass(frozen=True)
class Arrival:
    """One caught mail. ``sequence`` rises from 1; ``arrived_at_ms`` is when its final dot came (UTC milliseconds)."""

    sequence: int
    mail_from: str
    rcpt_tos: tuple[str, ...]
    content: bytes
    arrived_at_ms: int

    @property
    def message_id(self) -> str:
        """The Message-ID header, with its angle brackets; empty when there is none."""
        return self.header("Message-ID")

    @property
    def subject(self) -> str:
        """The Subject header, decoded."""
        return self.header("Subject")

    @property
    def from_(self) -> str:
        """The From header, decoded."""
        return self.header("From")

    @property
    def to(self) -> str:
        """The To header, decoded."""
        return self.header("To")

    def header(self, name: str) -> str:
        """A header as people read it (RFC 2047 decoded, unfolded); empty when there is none."""
        raw = self._headers.get(name)
        if raw is None:
            return ""
        try:
            text = str(make_header(decode_header(raw)))
        except (HeaderParseError, LookupError, UnicodeError, ValueError):
            text = str(raw)
        return " ".join(text.split())

    @cached_property
    def _headers(self) -> "Message[str, str]":
        end = self.content.find(b"\r\n\r\n", 0, MAX_PARSED)
        return BytesHeaderParser().parsebytes(self.content[: end if end >= 0 else MAX_PARSED])


class Box:
    """Keeps the newest arrivals; the oldest go when there are too many mails or octets."""

    def __init__(self, *, max_mails: int = MAX_MAILS, max_octets: int = MAX_OCTETS) -> None:
        self._max_mails = max_mails
        self._max_octets = max_octets
        self._arrivals: OrderedDict[int, Arrival] = OrderedDict()
        self._octets = 0
        self._sequence = 0
        self._listeners: list[Callable[[Arrival], None]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._arrivals)

    def add(self, mail_from: str, rcpt_tos: tuple[str, ...], content: bytes, arrived_at_ms: int) -> Arrival:
        """Keep a mail and tell the listeners (on the caller's thread)."""
        with self._lock:
            self._sequence += 1
            arrival = Arrival(self._sequence, mail_from, rcpt_tos, content, arrived_at_ms)
            self._arrivals[arrival.sequence] = arrival
            self._octets += len(content)
            while len(self._arrivals) > self._max_mails or self._octets > self._max_octets:
                _, oldest = self._arrivals.popitem(last=False)
                self._octets -= len(oldest.content)
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(arrival)
        return arrival

    def list(self, *, limit: int = 100, before: int | None = None) -> tuple[Arrival, ...]:
        """The newest first; with ``before``, those with a smaller sequence."""
        with self._lock:
            newest = (a for a in reversed(self._arrivals.values()) if before is None or a.sequence < before)
            return tuple(islice(newest, limit))

    def get(self, sequence: int) -> Arrival | None:
        """One mail, or None when it was never there or has gone."""
        with self._lock:
            return self._arrivals.get(sequence)

    def clear(self) -> None:
        """Forget every mail; sequences go on rising."""
        with self._lock:
            self._arrivals.clear()
            self._octets = 0

    def subscribe(self, listener: Callable[[Arrival], None]) -> Callable[[], None]:
        """Call ``listener`` at each arrival, on the server's thread, where it must not block. Returns what ends it."""
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe
