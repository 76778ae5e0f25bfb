"""Bodies on the wire: what is read is what was written, and nothing but short ASCII lines travels."""

import quopri
import re
from base64 import b64decode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postclock.mail.encoding import base64_lines, crlf, encode_text, has_long_line
from postclock.mail.headers import mended

PIECES = st.sampled_from(
    ["\r\n", "\n", "\r", " ", "\t", ".", "=", "a" * 80, "a" * 999, "é", "雪", "\0", "\ud800", "From ", "x"]
)


def decoded(encoding: bytes, data: bytes) -> bytes:
    """The octets that a reader gets, by the standard library."""
    match encoding:
        case b"base64":
            return b64decode(data)
        case b"quoted-printable":
            return quopri.decodestring(data)
        case _:
            return data


@settings(deadline=None)
@given(st.text(max_size=400) | st.lists(PIECES, max_size=40).map("".join))
@example("é\nlong " + "x" * 200)
@example("x" * 2000)
@example("é trailing \n\t\n. \n")
@example("=" * 400)
def test_a_text_comes_back(text: str) -> None:
    """Whatever the encoding, the reader gets the text with its line ends as CR LF."""
    encoding, data = encode_text(text)
    assert decoded(encoding, data).decode() == mended(crlf(text))
    assert data.isascii()
    assert b"\0" not in data
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", data)
    bound = 998 if encoding == b"7bit" else 76
    assert all(len(line) <= bound for line in data.split(b"\r\n"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("", b"7bit"),
        ("plain\n", b"7bit"),
        ("x" * 998, b"7bit"),
        ("x" * 999, b"quoted-printable"),
        ("Grüße aus Köln am Rhein, wo heute die Sonne scheint", b"quoted-printable"),
        ("снег идёт", b"base64"),
        ("with \0 a NUL in a text of some length", b"quoted-printable"),
    ],
)
def test_the_encoding_fits_the_text(text: str, encoding: bytes) -> None:
    """ASCII travels as it is, Latin text as quoted-printable, other scripts as base64."""
    assert encode_text(text)[0] == encoding


@pytest.mark.parametrize("before", [0, 1, 997, 998, 5000])
@pytest.mark.parametrize("length", [997, 998, 999, 1000, 2000])
def test_long_lines_are_found(before: int, length: int) -> None:
    """One line over 998 octets is found wherever it stands."""
    data = b"y" * min(before, 998) + b"\r\n" + b"z\r\n" * before + b"x" * length
    for tail in (b"", b"\r\n", b"\r\nq"):
        assert has_long_line(data + tail) is (length > 998)


@given(st.binary(max_size=500))
def test_base64_lines(data: bytes) -> None:
    """Lines of 76, the octets unchanged."""
    encoded = base64_lines(data)
    assert b64decode(encoded) == data
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


def test_line_ends_are_mended() -> None:
    """Bare CR and bare LF are line ends as well."""
    assert crlf("a\nb\rc\r\nd\n\re") == "a\r\nb\r\nc\r\nd\r\n\r\ne"
