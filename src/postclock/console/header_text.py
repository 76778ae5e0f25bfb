"""Header fields of a caught mail, as people read them. Anybody may have written them: any octets, any length."""

import re
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final

from postclock.core.errors import NotFound
from postclock.core.ids import parse_message_id

MAX_BLOCK: Final = 64 * 1024
"""Of a mail's header this much is read for the list; honest ones have a few kilobytes."""
MAX_VALUE: Final = 2_000
"""A field is shown so far. Decoding takes time that grows with the square of the length for a hostile one."""
MAX_FIELDS: Final = 200

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def showable(text: str) -> str:
    """``text`` without control characters (tab and line feed stay) and without what UTF-8 cannot carry."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text).encode("utf-8", "replace").decode("utf-8")


def field_text(raw: str) -> str:
    """A field's raw value, as the standard library's parser gives it: cut, unfolded, decoded (RFC 2047, UTF-8)."""
    cut = len(raw) > MAX_VALUE
    text = " ".join(raw[:MAX_VALUE].encode("ascii", "surrogateescape").decode("utf-8", "replace").split())
    if "=?" in text:
        with suppress(HeaderParseError, LookupError, UnicodeError, ValueError):  # then it is shown as it came
            text = str(make_header(decode_header(text)))
    return showable(" ".join(text.split())) + (" …" if cut else "")


def fields_of(message: "Message[str, str]") -> tuple[tuple[str, str], ...]:
    """The first ``MAX_FIELDS`` header fields as (name, text), in order."""
    found: list[tuple[str, str]] = []
    for name, value in message.raw_items():
        if len(found) == MAX_FIELDS:
            break
        found.append((showable(name[:MAX_VALUE]), field_text(str(value))))
    return tuple(found)


def header_of(content: bytes) -> dict[str, str]:
    """Lower-case names and texts of a mail's header; of a field that comes twice, the first."""
    end = content.find(b"\r\n\r\n", 0, MAX_BLOCK)
    block = BytesHeaderParser().parsebytes(content[: end if end >= 0 else MAX_BLOCK])
    header: dict[str, str] = {}
    for name, text in fields_of(block):
        header.setdefault(name.lower(), text)
    return header


def message_number(message_id: str) -> int | None:
    """The message's id inside one of our Message-IDs (``<msg_…@domain>``); None for any other text."""
    local, at, _ = message_id.strip().removeprefix("<").partition("@")
    if not at:
        return None
    try:
        return parse_message_id(local)[1]
    except NotFound:
        return None
