"""The composer: from rendered content to the octets of a message, between the template and the signature.

Pure: the date, the Message-ID and, through it, the boundaries come from the draft, so the same draft gives the same octets
on every attempt. It never refuses: what cannot stand in a message is cleaned, cut or left out.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from postclock.core.address import Mailbox
from postclock.core.message import Content
from postclock.mail.encoding import base64_lines, encode_text
from postclock.mail.headers import (
    MAX_FIELD_NAME,
    MAX_SUBJECT,
    NOWHERE,
    OCTET_STREAM,
    UNDISCLOSED,
    content_id,
    custom_name,
    date_value,
    disposition_value,
    mailboxes_value,
    media_parameters,
    media_type,
    message_id_value,
    text_value,
)

COMPOSER_VERSION: Final = 1  # raise it whenever the same draft would give other octets

MAX_CUSTOM_HEADERS: Final = 100  # per message: receivers refuse heads beyond some 100 KB

_BEFORE_HTML: Final = frozenset({"text/x-amp-html", OCTET_STREAM})
_MIME_VERSION: Final = (b"MIME-Version", b"1.0")


class File(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file that goes with the message. An inline one with a content id goes beside the html that shows it."""

    filename: str
    content: bytes
    type: str = OCTET_STREAM
    disposition: Literal["attachment", "inline"] = "attachment"
    content_id: str = ""


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that one message is made of, rendered. ``message_id`` has its angle brackets; ``sent_at`` is Unix seconds, UTC.

    ``alternatives`` are bodies of other types than text/plain and text/html. There is no bcc: it never reaches a message.
    """

    from_: Mailbox
    message_id: str
    sent_at: int
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    alternatives: tuple[Content, ...] = ()
    files: tuple[File, ...] = ()
    headers: Mapping[str, str] = {}


class Composed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message ready to be signed: header fields (name, folded value without its final CR LF), and the body.

    ``smtputf8`` tells that it can only travel by SMTPUTF8 (RFC 6531); ``eight_bit`` that its body needs 8BITMIME (it never
    does at present).
    """

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    smtputf8: bool = False
    eight_bit: bool = False

    def raw(self, signatures: Sequence[bytes] = ()) -> bytes:
        """The whole message with CR LF line ends: signature fields (complete lines) first, the fields, the body."""
        head = b"\r\n".join([b"%b: %b" % field for field in self.headers])
        return b"".join((*signatures, head, b"\r\n\r\n", self.body))


class _Part(msgspec.Struct, frozen=True, gc=False):
    """A part: its fields, Content-Type first; its content without a final line end; the octets a boundary must miss."""

    fields: tuple[tuple[bytes, bytes], ...]
    chunks: Sequence[bytes]
    literals: Sequence[bytes] = ()


def compose(draft: Draft) -> Composed:
    """The message of a draft. Raises nothing, whatever the draft holds; the parts of it that were legal stay as they were."""
    from_ = mailboxes_value("From", (draft.from_,)) or mailboxes_value("From", (Mailbox(NOWHERE, draft.from_.name),))
    to = mailboxes_value("To", draft.to) or UNDISCLOSED
    cc = mailboxes_value("Cc", draft.cc)
    reply_to = mailboxes_value("Reply-To", draft.reply_to)
    message_id = message_id_value(draft.message_id).encode("ascii")
    fields = [(b"From", from_.encode()), (b"To", to.encode())]
    if cc:
        fields.append((b"Cc", cc.encode()))
    if reply_to:
        fields.append((b"Reply-To", reply_to.encode()))
    fields.append((b"Subject", text_value("Subject", draft.subject, MAX_SUBJECT).encode("ascii")))
    fields.append((b"Date", date_value(draft.sent_at)))
    fields.append((b"Message-ID", message_id))
    if draft.headers:
        fields += _custom(draft.headers)
    fields.append(_MIME_VERSION)
    whole = _whole(draft, message_id)
    fields += whole.fields
    body = b"".join(whole.chunks)
    return Composed(
        headers=tuple(fields),
        body=body if body.endswith(b"\r\n") else body + b"\r\n",
        smtputf8=not (from_ + to + cc + reply_to).isascii(),
    )


def _custom(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The draft's own fields that may stand: legal names, not reserved, each once, with something in them."""
    seen: set[bytes] = set()
    fields = []
    for name, value in headers.items():
        if len(name) > MAX_FIELD_NAME or not (octets := custom_name(name)) or (lower := octets.lower()) in seen:
            continue
        if len(seen) == MAX_CUSTOM_HEADERS:
            break
        seen.add(lower)
        text = text_value(name, value)
        if text:
            fields.append((octets, text.encode("ascii")))
    return fields


def _whole(draft: Draft, message_id: bytes) -> _Part:
    """The tree of parts: mixed(alternative(text, related(html, inline files)), attachments), no level that has one child."""
    seed = b"=_" + blake2b(message_id, digest_size=15).hexdigest().encode("ascii")
    bodies = []
    if draft.text is not None:
        bodies.append(_text("text/plain", draft.text))
    last: list[_Part] = []
    for content in draft.alternatives:
        kind = media_type(content.type)
        # A reader shows the last form it knows (RFC 2046 5.1.4); AMP is to stand before html, as its specification says.
        (bodies if kind in _BEFORE_HTML else last).append(_text(kind, content.value, content.type))
    after: list[_Part] = []
    if draft.html is not None:
        html = _text("text/html", draft.html)
        beside = [_file(file) for file in draft.files if _belongs_to_html(file)]
        bodies.append(_multipart(b'related; type="text/html"', [html, *beside], seed + b".3") if beside else html)
    if draft.files:
        after = [_file(file) for file in draft.files if draft.html is None or not _belongs_to_html(file)]
    bodies += last
    if not bodies and not after:
        bodies.append(_text("text/plain", ""))
    if len(bodies) > 1:
        bodies = [_multipart(b"alternative", bodies, seed + b".2")]
    bodies += after
    return _multipart(b"mixed", bodies, seed + b".1") if len(bodies) > 1 else bodies[0]


def _belongs_to_html(file: File) -> bool:
    return file.disposition == "inline" and bool(content_id(file.content_id))


@lru_cache(maxsize=128)
def _text_fields(kind: str, encoding: bytes, with_parameters: str) -> tuple[tuple[bytes, bytes], ...]:
    if kind != OCTET_STREAM:
        kind += "; charset=utf-8" + media_parameters(with_parameters, charset=False)
    return (b"Content-Type", kind.encode("ascii")), (b"Content-Transfer-Encoding", encoding)


def _text(kind: str, value: str, with_parameters: str = "") -> _Part:
    """A body; ``with_parameters`` is the MIME type it was given with."""
    encoding, data = encode_text(value)
    # A boundary begins with "=_", which neither base64 nor quoted-printable can hold.
    literals = (data,) if encoding == b"7bit" else ()
    return _Part(_text_fields(kind, encoding, with_parameters), (data,), literals)


def _file(file: File) -> _Part:
    kind = media_type(file.type)
    if kind != OCTET_STREAM:
        kind += media_parameters(file.type, charset=True)
    fields = [
        (b"Content-Type", kind.encode("ascii")),
        (b"Content-Transfer-Encoding", b"base64"),
        (b"Content-Disposition", disposition_value(file.disposition, file.filename).encode("ascii")),
    ]
    cid = content_id(file.content_id)
    if cid:
        fields.append((b"Content-ID", b"<%b>" % cid.encode("ascii")))
    return _Part(tuple(fields), (base64_lines(file.content),))


@lru_cache(maxsize=128)  # nearly all parts are 7bit text/plain and text/html
def _head(fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"\r\n" + b"".join([b"%b: %b\r\n" % field for field in fields]) + b"\r\n"


def _multipart(subtype: bytes, parts: Sequence[_Part], seed: bytes) -> _Part:
    """The parts under a boundary that none of them holds (RFC 2046 5.1.1)."""
    literals = [literal for part in parts for literal in part.literals]
    turn = 0
    boundary = seed + b".0"
    while any([boundary in literal for literal in literals]):  # noqa: C419 - a list is faster here
        turn += 1
        boundary = b"%b.%d" % (seed, turn)
    chunks = [b"--"]
    for part in parts:
        chunks += boundary, _head(part.fields)
        chunks += part.chunks
        chunks.append(b"\r\n--")
    chunks += boundary, b"--\r\n"
    content_type = b'multipart/%b;\r\n boundary="%b"' % (subtype, boundary)
    return _Part(((b"Content-Type", content_type),), chunks, literals)
