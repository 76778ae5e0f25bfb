"""A caught mail taken apart for showing: header fields, the text, the html, the attachments.

Takes milliseconds for an honest mail, up to seconds for the largest: call it in a thread. What is built to be hard to take apart
is not taken apart; its source can still be read.
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any, Final
from urllib.parse import unquote

from postclock.console.header_text import MAX_BLOCK, field_text, fields_of, header_of, showable

MAX_PARTS: Final = 100
"""Parts looked at; ScaiSend takes far fewer attachments."""
MAX_BOUNDARIES: Final = 20
"""Each multipart inside another makes the parser look at every line once more."""
MAX_LINES: Final = 600_000
"""30 MB of base64 have 400,000 lines; a mail of empty lines would take a gigabyte to parse."""
MAX_DASHED_LINES: Final = 20_000
"""A line that begins with two hyphens may begin a part, and a part costs kilobytes."""
MAX_INLINED: Final = 20 * 1024 * 1024
"""Characters of inline images put into an html, for a page may name one image a thousand times."""

_BOUNDARY: Final = re.compile(rb"boundary[\s*\d]*=", re.IGNORECASE)
_CID: Final = re.compile(r"cid:([^\s\"'<>()\\]{1,250})", re.IGNORECASE)
_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml"})  # fmt: skip
_NO_CHARSETS: Final = frozenset({"idna", "punycode"})  # names of codecs, not of charsets, and slow on long input


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One leaf of a mail. ``number`` counts from 1; ``name`` is a file name safe to show, empty when it has none."""

    number: int
    kind: str
    name: str
    content_id: str
    charset: str
    content: bytes

    @property
    def text(self) -> str:
        """The content as text; what its charset cannot read is replaced."""
        charset = "utf-8" if self.charset.lower() in _NO_CHARSETS else self.charset
        try:
            text = self.content.decode(charset, "replace")
        except (LookupError, UnicodeError, ValueError):
            text = self.content.decode("utf-8", "replace")
        return showable(text.replace("\r\n", "\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedMail:
    """A mail's pieces. ``trouble`` says why there are none but the header fields; empty when all went well."""

    fields: tuple[tuple[str, str], ...]
    text: Part | None = None
    html: Part | None = None
    parts: tuple[Part, ...] = ()
    trouble: str = ""

    @property
    def attachments(self) -> tuple[Part, ...]:
        """Every part that is neither the text nor the html."""
        shown = {p.number for p in (self.text, self.html) if p is not None}
        return tuple(p for p in self.parts if p.number not in shown)

    def page(self) -> str:
        """The html with its inline images (RFC 2392) in it as data; empty when the mail has no html."""
        if self.html is None:
            return ""
        images = {p.content_id: p for p in self.parts if p.content_id and p.kind in _IMAGES}
        room = MAX_INLINED

        def inline(found: "re.Match[str]") -> str:
            nonlocal room
            image = images.get(unquote(found[1]))
            if image is None or len(image.content) * 4 // 3 > room:
                return found[0]
            data = f"data:{image.kind};base64,{b64encode(image.content).decode('ascii')}"
            room -= len(data)
            return data

        return _CID.sub(inline, self.html.text) if images else self.html.text


def open_mail(content: bytes) -> OpenedMail:
    """Take a mail apart; never raises."""
    trouble = _too_intricate(content)
    if not trouble:
        try:
            return _opened(BytesParser().parsebytes(content))
        except Exception:  # noqa: BLE001  (the library's parser fails in many ways on mails that nobody's program wrote)
            trouble = "This mail is malformed and cannot be taken apart."
    return OpenedMail(fields=tuple(header_of(content).items()), trouble=trouble)


def _too_intricate(content: bytes) -> str:
    header_end = content.find(b"\r\n\r\n")
    if (header_end if header_end >= 0 else len(content)) > MAX_BLOCK:
        return "This mail's header is too long to be shown."
    if (
        content.count(b"\n") > MAX_LINES
        or content.count(b"\n--") > MAX_DASHED_LINES
        or sum(1 for _ in _BOUNDARY.finditer(content)) > MAX_BOUNDARIES
    ):
        return "This mail has too many parts or lines to be shown."
    return ""


def _opened(message: "Message[str, str]") -> OpenedMail:
    text = html = None
    parts = []
    for number, leaf in enumerate(_leaves(message), 1):
        part = _part(number, leaf)
        parts.append(part)
        if part.name or leaf.get_content_disposition() == "attachment":
            continue
        if part.kind == "text/plain" and text is None:
            text = part
        elif part.kind == "text/html" and html is None:
            html = part
    return OpenedMail(fields=fields_of(message), text=text, html=html, parts=tuple(parts))


def _leaves(message: "Message[str, str]") -> Iterator["Message[str, str]"]:
    found, waiting = 0, [message]
    while waiting and found < MAX_PARTS:
        part = waiting.pop()
        payload: Any = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            waiting.extend(reversed(payload))
        else:
            found += 1
            yield part


def _part(number: int, leaf: "Message[str, str]") -> Part:
    payload: Any = leaf.get_payload()
    if isinstance(payload, list):  # a mail inside the mail
        content = b"\r\n".join(m.as_bytes() for m in payload)
    else:
        decoded: Any = leaf.get_payload(decode=True)
        content = decoded if isinstance(decoded, bytes) else b""
    raw_id = leaf.get("Content-ID")
    return Part(
        number=number,
        kind=showable(leaf.get_content_type()),
        name=_file_name(leaf.get_filename()),
        content_id="" if raw_id is None else field_text(str(raw_id)).removeprefix("<").removesuffix(">"),
        charset=leaf.get_content_charset() or "utf-8",
        content=content,
    )


def _file_name(given: str | None) -> str:
    """The last step of a path in whatever style, short, without anything a file system or a header minds."""
    if not given:
        return ""
    try:
        text = field_text(given)
    except UnicodeError:  # the parser has decoded it already (RFC 2231)
        text = showable(given[:MAX_BLOCK])
    name = re.sub(r"[\x00-\x1f\"*:<>?|\u202a-\u202e\u2066-\u2069]", "_", re.split(r"[/\\]", text)[-1])
    return name.strip(". ")[-120:]
