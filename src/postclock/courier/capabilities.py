"""What a server said it can do, read from its reply to EHLO (RFC 5321 4.1.1.1)."""

from typing import Final

import msgspec

from postclock.core.reply import Reply

_MAX_SIZE_DIGITS: Final = 20  # RFC 1870 section 3


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The extensions we use. ``size``: the largest message in octets, None when no limit was named."""

    pipelining: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    starttls: bool = False
    declares_size: bool = False
    size: int | None = None
    auth: frozenset[str] = frozenset()


def capabilities(reply: Reply) -> Capabilities:
    """The capabilities in a 250 to EHLO; the first line is the server's greeting and none of them."""
    offered: dict[str, str] = {}
    auth: set[str] = set()
    for line in reply.lines[1:]:
        keyword, _, rest = line.strip().partition(" ")
        # Old servers wrote "AUTH=LOGIN"; the standard form stands beside it where it matters.
        offered[keyword.upper()] = rest
        if keyword.upper() == "AUTH":
            auth.update(rest.upper().split())
    size = offered.get("SIZE", "").strip()
    limit = int(size) if size.isascii() and size.isdigit() and len(size) <= _MAX_SIZE_DIGITS else 0
    return Capabilities(
        pipelining="PIPELINING" in offered,
        eight_bit_mime="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        starttls="STARTTLS" in offered,
        declares_size="SIZE" in offered,
        size=limit or None,  # 0: no fixed limit (RFC 1870 section 4)
        auth=frozenset(auth),
    )
