"""What a mail server answers: codes, enhanced status codes, and reading them off the wire.

Pure: bytes in, replies out. Every line a server sends passes through ``ReplyReader``, which bounds what it may make us hold.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

import msgspec

MAX_LINE: Final = 2_048
"""RFC 5321 4.5.3.1.5 allows 512 octets; servers with a link in their refusal go over it, none by this much."""
MAX_LINES: Final = 128
"""The longest replies are those to EHLO, with some 20 lines."""
MAX_REPLY: Final = 65_536
"""All lines of one reply together."""
MAX_KEPT: Final = 1_000
"""Characters of a reply that are kept with an outcome; the cause of a refusal stands in its first lines."""

BounceType = Literal["hard", "soft", "block"]

_ENHANCED: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_CODE: Final = re.compile(rb"[2-5][0-9][0-9]")
_SINGLE_LINES: Final = re.compile(rb"(?:[2-5][0-9][0-9](?: [^\r\n]*)?\r?\n)+")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Words of refusals that speak of the sender and not of the mailbox, for servers without enhanced codes.
_BLOCKING: Final = re.compile(
    r"\b(?:spam|spamhaus|block(?:ed|list|listed)?|blacklist(?:ed)?|denylist(?:ed)?|banned|policy|reputation|dnsbl|rbl"
    r"|spf|dkim|dmarc|relay(?:ing)?|not authori[sz]ed)\b",
    re.IGNORECASE,
)


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """One whole reply.

    ``text`` has its lines joined by ``\\n``, without codes and control characters; ``enhanced`` is such as ``5.1.1`` (RFC 3463)
    or None.
    """

    code: int
    enhanced: str | None = None
    text: str = ""

    @property
    def lines(self) -> list[str]:
        """The text of each line."""
        return self.text.split("\n")

    def __str__(self) -> str:
        """The reply in one line, as it is shown and stored; at most ``MAX_KEPT`` characters."""
        parts = [str(self.code)]
        if self.enhanced:
            parts.append(self.enhanced)
        if self.text:
            parts.append(self.text.replace("\n", " "))
        return " ".join(parts)[:MAX_KEPT]


def _text(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() else _CONTROLS.sub(" ", text)


def _reply(code: int, raw: Sequence[bytes]) -> Reply:
    lines = [_text(line) for line in raw]
    found = _ENHANCED.match(lines[0])
    # RFC 2034 section 4: the class must be that of the code; else the digits are part of the text.
    if found is None or ord(found[1][0]) - 48 != code // 100:
        return Reply(code, None, lines[0] if len(lines) == 1 else "\n".join(lines))
    enhanced = found[1]
    if len(lines) == 1:
        return Reply(code, enhanced, lines[0][found.end() :])
    return Reply(code, enhanced, "\n".join(line.removeprefix(enhanced).lstrip(" ") for line in lines))


@lru_cache(maxsize=256)
def _whole(data: bytes) -> tuple[Reply, ...] | None:
    """The replies when all of them are whole and of one line, else None.

    The usual case by far, and a server says the same "250 Ok, 250 Ok, 354 go on" to every message: remembered, it is free.
    """
    if len(data) > MAX_LINE or not _SINGLE_LINES.fullmatch(data):
        return None
    return tuple([_reply(int(line[:3]), (line[4:],)) for line in data.replace(b"\r", b"").split(b"\n")[:-1]])


class ReplyReader:
    """Puts replies together from whatever pieces the network brings (RFC 5321 4.2).

    A bare LF ends a line too, and a code may stand alone (4.2.1 asks clients to take it). After ``garbage`` is set, nothing
    more is read.
    """

    __slots__ = ("_buffer", "_code", "_lines", "_size", "garbage")

    def __init__(self) -> None:
        self._buffer = b""
        self._code = 0
        self._lines: list[bytes] = []
        self._size = 0
        self.garbage: str | None = None
        """Why what came is no reply; None while all is well."""

    @property
    def pending(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._buffer or self._lines)

    def _spoilt(self) -> bool:
        return self.garbage is not None

    def feed(self, data: bytes) -> Sequence[Reply]:
        """The replies that ``data`` completes; those before garbage are given too."""
        out: list[Reply] = []
        if self._spoilt():
            return out
        if not self._buffer and not self._lines:
            replies = _whole(data)
            if replies is not None:
                return replies
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while (end := buffer.find(b"\n", at)) >= 0:
            reply = self._line(buffer[at:end].removesuffix(b"\r"))
            at = end + 1
            if self._spoilt():
                self._buffer = b""
                return out
            if reply is not None:
                out.append(reply)
        self._buffer = buffer[at:]
        if len(self._buffer) > MAX_LINE:
            self._buffer = b""
            self.garbage = f"a reply line is longer than {MAX_LINE} octets"
        return out

    def _line(self, line: bytes) -> Reply | None:
        head, mark = line[:3], line[3:4]
        if len(line) > MAX_LINE:
            self.garbage = f"a reply line is longer than {MAX_LINE} octets"
            return None
        if not _CODE.fullmatch(head) or mark not in {b" ", b"-", b""}:
            self.garbage = f"not a reply: {_text(line[:60])!r}"
            return None
        code = int(head)
        if not self._lines:
            if mark != b"-":
                return _reply(code, (line[4:],))
            self._code, self._size = code, 0
        elif code != self._code:
            self.garbage = f"the lines of one reply carry two codes, {self._code} and {code}"
            return None
        self._lines.append(line[4:])
        self._size += len(line)
        if len(self._lines) > MAX_LINES:
            self.garbage = f"a reply has more than {MAX_LINES} lines"
            return None
        if self._size > MAX_REPLY:
            self.garbage = f"a reply is longer than {MAX_REPLY} octets"
            return None
        if mark == b"-":
            return None
        lines, self._lines = self._lines, []
        return _reply(code, lines)


def bounce_type(reply: Reply) -> BounceType:
    """What a refusal says about the address.

    ``hard``: it does not exist, do not write again; ``block``: the server refuses the sender or the content; ``soft``: the
    rest (a full mailbox, a size, a fault). By the enhanced code's subject and detail (RFC 3463 section 3) where it says more
    than x.0.0, else by the basic code and the words.
    """
    if reply.code < 500:
        return "soft"
    if reply.enhanced is not None:
        subject, detail = (int(part) for part in reply.enhanced.split(".")[1:])
        match subject, detail:
            case (1, 7 | 8):  # the sender's address, not the recipient's
                return "block"
            case (1, _) | (2, 1):  # bad address; mailbox disabled
                return "hard"
            case (7, _):
                return "block"
            case (0, _):
                pass
            case _:
                return "soft"
    if _BLOCKING.search(reply.text):
        return "block"
    match reply.code:
        case 550 | 551 | 553 | 556:
            return "hard"
        case 554:
            return "block"
        case _:
            return "soft"
