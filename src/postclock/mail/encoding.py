"""Bodies on their way to the wire: line ends mended, a transfer encoding chosen (RFC 2045 6).

Only ASCII leaves here, in lines of at most 998 octets. 8bit is not used: a relay that has to re-encode a body breaks its
DKIM signature.
"""

from binascii import b2a_base64, b2a_qp
from typing import Final

from postclock.mail.headers import MAX_LINE, mended

_LITERAL: Final = bytes(
    b for b in (*range(0x20, 0x7F), 0x09, 0x0D, 0x0A) if b != 0x3D
)  # what quoted-printable leaves alone
_BASE64_LINE: Final = 76


def crlf(text: str) -> str:
    """The text with every line end, bare CR and bare LF included, as CR LF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\n", "\r\n")


def has_long_line(data: bytes) -> bool:
    """Whether some line has more than 998 octets without its CR LF, which is the one line end in ``data``.

    A search from behind in each thousand octets, not one per line.
    """
    start = 0
    while len(data) - start > MAX_LINE:
        end = data.rfind(b"\n", start, start + MAX_LINE + 2)
        if end < 0:
            return True
        start = end + 1
    return False


def encode_text(text: str) -> tuple[bytes, bytes]:
    """The transfer encoding's name and the encoded octets of a text, with no line end added at its end.

    7bit where it can be; otherwise quoted-printable or base64, whichever comes out shorter (told from the count of octets
    that quoted-printable would have to escape).
    """
    text = crlf(text)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = mended(text).encode()
    if data.isascii() and b"\0" not in data and not has_long_line(data):
        return b"7bit", data
    escaped = len(data.translate(None, _LITERAL))
    if 6 * escaped > len(data):
        return b"base64", base64_lines(data)
    # b2a_qp takes the kind of its soft line breaks from the first line end it finds, so there has to be one.
    return b"quoted-printable", b2a_qp(data + b"\r\n", istext=True)[:-2]


def base64_lines(data: bytes) -> bytes:
    """The octets in base64, in lines of 76, with no line end after the last."""
    encoded = b2a_base64(data, newline=False)
    return b"\r\n".join([encoded[i : i + _BASE64_LINE] for i in range(0, len(encoded), _BASE64_LINE)])
