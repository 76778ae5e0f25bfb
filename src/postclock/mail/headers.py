"""Header fields: any text in, lines that are safe and legal out (RFC 5322, RFC 2047, RFC 2231, RFC 6532).

Everything that reaches a header passes through here, whatever its source: a rendered subject may carry what the API never
saw. A field value made here holds no control character but its own folds (CR LF and a space), and no line over 998 octets.
"""

import re
import unicodedata
from binascii import b2a_base64
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from postclock.core.address import Mailbox, on_the_wire, problem

MAX_FIELD_NAME: Final = 64  # longer than any in use; leaves room for a value on the same line
MAX_VALUE: Final = 4096  # characters of a custom value: a signed unsubscribe link fits; receivers refuse large heads
MAX_SUBJECT: Final = 2000  # characters; a template's subject may have 1,000 before it is rendered
MAX_DISPLAY_NAME: Final = 256  # characters
MAX_FILENAME: Final = 255  # characters, as in the API
MAX_CONTENT_ID: Final = 200  # octets
MAX_MESSAGE_ID: Final = 400  # octets: a local part of 64 and a domain of 253 fit
MAX_MEDIA_TYPE: Final = 127  # octets either side of the slash (RFC 6838 4.2)
MAX_PARAMETERS: Final = 8  # of one MIME type: those in use have one or two

MAX_LINE: Final = 998  # octets without CR LF (RFC 5322 2.1.1)
FOLD_AT: Final = 76  # a line with an encoded-word has at most 76 characters (RFC 2047 2)
MAX_WORD: Final = 900  # an unbroken word of a value up to this length is left alone, so that the line stays under 998
MIN_ENCODED: Final = 24  # an encoded-word that holds one character of four octets
MAX_QUOTED: Final = (
    60  # a display name up to this length is written as it is; a longer one as encoded-words, which fold
)

UNDISCLOSED: Final = "undisclosed-recipients:;"
NOWHERE: Final = "unknown@address.invalid"  # where a From that is no address is shown to come from (RFC 2606)

# Fields that are the composer's, the signer's or a relay's to write (RFC 5322 3.6); a draft's own are left out.
RESERVED: Final = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "return-path",
        "received", "dkim-signature", "domainkey-signature", "authentication-results", "received-spf", "arc-seal",
        "arc-message-signature", "arc-authentication-results", "resent-from", "resent-sender", "resent-to", "resent-cc",
        "resent-bcc", "resent-date", "resent-message-id",
    }
)  # fmt: skip

_FIELD_NAME: Final = re.compile(rf"[!-9;-~]{{1,{MAX_FIELD_NAME}}}")  # RFC 5322 3.6.8: printable ASCII without a colon
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,127}"  # noqa: S105 - RFC 2045 5.1
_MEDIA_TYPE: Final = re.compile(f"{_TOKEN}/{_TOKEN}")
_PARAMETER: Final = re.compile(f"({_TOKEN})=({_TOKEN})")
_CONTROLS: Final = re.compile("[ \x00-\x1f\x7f-\x9f\u2028\u2029]{2,}|[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_WORDS: Final = re.compile(" *[^ ]+")
_PLAIN_FILENAME: Final = re.compile(r"[A-Za-z0-9 !#$&'()+,./:;<=>@\[\]^_`{|}~-]+")
_NOT_FALLBACK: Final = re.compile(r"[^A-Za-z0-9 ._()+-]")
_MESSAGE_ID: Final = re.compile(r"<[A-Za-z0-9!#$%&'*+/=^_`{|}~.-]+@[A-Za-z0-9.-]+>")
_NOT_MESSAGE_ID: Final = re.compile(r"[^A-Za-z0-9!#$%&'*+/=^_`{|}~.@-]")

_Q_SAFE: Final = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/ "  # RFC 2047 5 (3), and the space
)
_Q: Final = tuple("_" if b == 0x20 else chr(b) if b in _Q_SAFE else f"={b:02X}" for b in range(256))
_ATTRIBUTE: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~"
)  # RFC 2231 7
_PERCENT: Final = tuple(chr(b) if b in _ATTRIBUTE else f"%{b:02X}" for b in range(256))
_WORD_FRAME: Final = len("=?utf-8?q??=")

OCTET_STREAM: Final = "application/octet-stream"

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


def mended(text: str) -> str:
    """The text with each lone surrogate turned into U+FFFD, so that it can be encoded; a pair becomes its character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean(value: str, limit: int = MAX_VALUE) -> str:
    """The value as it may stand in a header: cut at ``limit`` characters, no control characters, no lone surrogates.

    A run of controls and the spaces around it become one space. Plain runs of spaces stay, save at the ends.
    """
    if len(value) > limit:
        value = value[:limit]
    if value.isprintable():  # for ASCII: 0x20 to 0x7e; beyond it, no control, no separator, no surrogate
        return value.strip(" ")
    return _CONTROLS.sub(_one_space, mended(value)).strip(" ")


def _one_space(run: re.Match[str]) -> str:
    return " " if run[0].strip(" ") else run[0]


def encoded_words(text: str, first: int) -> list[str]:
    """``text`` as encoded-words (RFC 2047) in UTF-8, by B or Q, whichever is shorter; each with a space before it.

    The first has at most ``first`` characters, the others 75; a character is never split between two.
    """
    data = text.encode()
    if 2 * len(data.translate(None, _Q_SAFE)) <= len(data) // 3:
        return _q_words(data, first)
    words = []
    start, room = 0, (first - _WORD_FRAME) // 4 * 3
    while start < len(data):
        end = min(start + room, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        words.append(f" =?utf-8?b?{b2a_base64(data[start:end], newline=False).decode('ascii')}?=")
        start, room = end, 45
    return words


def _q_words(data: bytes, first: int) -> list[str]:
    encoded = "".join(map(_Q.__getitem__, data))
    words = []
    start, room = 0, first - _WORD_FRAME
    while len(encoded) - start > room:
        end = start + room
        if "=" in encoded[end - 2 : end]:
            end = encoded.rindex("=", 0, end)
        while encoded[end] == "=" and encoded[end + 1] in "89AB":  # an octet that goes on with a character (RFC 3629 3)
            end -= 3
        words.append(f" =?utf-8?q?{encoded[start:end]}?=")
        start, room = end, 75 - _WORD_FRAME
    words.append(f" =?utf-8?q?{encoded[start:]}?=")
    return words


def fold(name: str, pieces: Sequence[str]) -> str:
    """A field's value from pieces that begin with their own space, folded before a piece that would pass column 76."""
    line = "".join(pieces)
    if len(name) + len(line) < FOLD_AT:
        return line[1:]
    out: list[str] = []
    column = len(name) + 1
    for piece in pieces:
        if out and column + len(piece) > FOLD_AT:
            out.append("\r\n")
            column = 0
        out.append(piece)
        column += len(piece)
    return "".join(out)[1:]


def text_value(name: str, value: str, limit: int = MAX_VALUE) -> str:
    """The value of an unstructured field, cleaned, encoded where it must be (RFC 2047), folded."""
    value = clean(value, limit)
    if value.isascii() and "=?" not in value:
        if len(name) + len(value) <= FOLD_AT - 2 or (" " not in value and len(value) <= MAX_WORD):
            return value
        words = _WORDS.findall(" " + value)
        if max(map(len, words)) <= MAX_WORD:
            return fold(name, words)
    # After a very long name the first line passes column 76: better than a fold at once, which readers take for a space.
    return fold(name, encoded_words(value, min(max(FOLD_AT - len(name) - 2, MIN_ENCODED), 75)))


@lru_cache(maxsize=2048)  # the sender, above all
def _mailbox(email: str, name: str) -> tuple[str, ...]:
    """The pieces of a mailbox for fold; empty when the address is none (RFC 5322 3.4)."""
    # An address that holds an encoded-word is legal, but there are readers that decode it into another address.
    if "=?" in email or problem(email) is not None:
        return ()
    address = on_the_wire(email)
    name = clean(name, MAX_DISPLAY_NAME).strip()
    if not name:
        return (f" {address}",)
    if name.isascii() and len(name) <= MAX_QUOTED and "=?" not in name:
        if _ATOMS.fullmatch(name):
            return f" {name}", f" <{address}>"
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f' "{quoted}"', f" <{address}>"
    return *encoded_words(name, 64), f" <{address}>"


def mailboxes_value(name: str, mailboxes: Sequence[Mailbox]) -> str:
    """The value of an address field, folded between mailboxes; those that are no address are left out.

    Empty when nothing is left. It is ASCII unless a local part is not (RFC 6532): then the message needs SMTPUTF8.
    """
    if len(mailboxes) == 1:
        return fold(name, _mailbox(mailboxes[0].email, mailboxes[0].name))
    pieces: list[str] = []
    for mailbox in mailboxes:
        more = _mailbox(mailbox.email, mailbox.name)
        if more:
            if pieces:
                pieces[-1] += ","
            pieces.extend(more)
    return fold(name, pieces)


@lru_cache(maxsize=64)  # many messages leave in the same second
def date_value(at: int) -> bytes:
    """Unix seconds as a Date value in UTC (RFC 5322 3.3)."""
    when = datetime.fromtimestamp(min(max(at, 0), _LAST_SECOND), UTC)
    day = f"{_DAYS[when.weekday()]}, {when.day:02d} {_MONTHS[when.month - 1]} {when.year:04d}"
    return f"{day} {when.hour:02d}:{when.minute:02d}:{when.second:02d} +0000".encode("ascii")


@lru_cache(maxsize=1024)  # the same few names in every message
def custom_name(name: str) -> bytes:
    """The name of a custom field as octets; empty when it is no field name or one of RESERVED."""
    lower = name.lower()
    if lower in RESERVED or lower.startswith("content-") or not _FIELD_NAME.fullmatch(name):
        return b""
    return name.encode("ascii")


def message_id_value(value: str) -> str:
    """A Message-ID with its angle brackets, reduced to the characters it may have."""
    if len(value) <= MAX_MESSAGE_ID and _MESSAGE_ID.fullmatch(value):
        return value
    return f"<{_NOT_MESSAGE_ID.sub('', value[:MAX_MESSAGE_ID])}>"


def content_id(value: str) -> str:
    """A content id without angle brackets, reduced to the characters it may have (RFC 2045 7); it may become empty."""
    # No question mark: it would let an encoded-word through, and it would need escaping in a cid: link.
    return _NOT_MESSAGE_ID.sub("", value[:MAX_CONTENT_ID])


def media_type(value: str) -> str:
    """The MIME type in lower case, without parameters; ``application/octet-stream`` when it is not ``token/token``.

    So do message/* and multipart/*, which may not be sent in base64 (RFC 2045 6.4).
    """
    bare = value[: 4 * MAX_MEDIA_TYPE].partition(";")[0].strip().lower()
    if _MEDIA_TYPE.fullmatch(bare) and not bare.startswith(("multipart/", "message/")):
        return bare
    return OCTET_STREAM


def media_parameters(value: str, *, charset: bool) -> str:
    """The plain ``; name=value`` parameters of a MIME type, such as a calendar's method, each on its own line.

    ``charset`` tells whether that one is kept: a file's is its own, a body's is the composer's.
    """
    kept: dict[str, str] = {} if charset else {"charset": ""}
    for parameter in value[:MAX_VALUE].split(";")[1:MAX_PARAMETERS]:
        match = _PARAMETER.fullmatch(parameter.strip())
        if match and "*" not in match[1]:
            kept.setdefault(match[1].lower(), match[2])
    return "".join([f";\r\n {name}={text}" for name, text in kept.items() if text])


def disposition_value(disposition: str, filename: str) -> str:
    """A Content-Disposition value with the file's name (RFC 2183), beyond plain ASCII also in RFC 2231 form.

    The encoded name stands first: readers that know it take the first of the two, the others skip it.
    """
    kind = "inline" if disposition == "inline" else "attachment"
    name = clean(filename, MAX_FILENAME).strip() or "file"
    if _PLAIN_FILENAME.fullmatch(name):
        return f'{kind};\r\n filename="{name}"'
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    plain = _NOT_FALLBACK.sub("_", ascii_name)[:MAX_FILENAME].strip() or "file"
    return f'{kind};\r\n {_extended("filename", name)};\r\n filename="{plain}"'


def _extended(name: str, value: str) -> str:
    """A parameter in RFC 2231 form, in numbered sections when it does not fit one line."""
    start = f"{name}*=UTF-8''"
    sections = [""]
    room = FOLD_AT - len(start) - 4
    for character in value:
        piece = "".join([_PERCENT[b] for b in character.encode()])
        if len(piece) > room:
            sections.append("")
            room = FOLD_AT - len(start)
        sections[-1] += piece
        room -= len(piece)
    if len(sections) == 1:
        return start + sections[0]
    sections[0] = "UTF-8''" + sections[0]
    return ";\r\n ".join([f"{name}*{i}*={section}" for i, section in enumerate(sections)])
