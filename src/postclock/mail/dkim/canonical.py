"""The relaxed canonical forms of DKIM (RFC 6376 3.4.2, 3.4.4), and the body hash that the signatures of a message share.

Written as a few passes of substring search and replacement over the whole body: on the usual body several times as fast as
one regular expression over its white space.
"""

from hashlib import sha256


def relaxed_header(name: bytes, value: bytes) -> bytes:
    """The field in relaxed form, with its final CR LF; ``value`` may be folded."""
    if b"\r\n" in value:
        value = value.replace(b"\r\n", b"")
    return b"%b:%b\r\n" % (name.lower().rstrip(b" \t"), _one_space(value).strip(b" "))


def relaxed_body(body: bytes) -> bytes:
    """The body (lines that end in CR LF) in relaxed form: white space collapsed, none at line ends, no empty lines at the end."""
    body = _one_space(body)
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    end = len(body)
    if body.endswith(b" "):
        end -= 1
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[:end] + b"\r\n" if end else b""


def body_hash(body: bytes) -> bytes:
    """SHA-256 of the relaxed body: what ``bh=`` carries, made once for all signatures of a message."""
    return sha256(relaxed_body(body)).digest()


def _one_space(data: bytes) -> bytes:
    """Each run of spaces and tabs as one space. Runs halve with each pass, so even a long one takes few."""
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data
