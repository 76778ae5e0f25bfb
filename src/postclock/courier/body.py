"""A message's bytes on their way into DATA: dots doubled, the last line ended, large ones in pieces.

Pieces are cut at line ends, so that doubling dots needs no memory of the piece before.
"""

from collections.abc import Iterator
from typing import Final

PIECE: Final = 65_536
"""A large body goes to the transport in pieces of about this size, each when the one before has left (asyncio's high-water
mark is 64 KiB too), so that few octets are ever out of our hands and a 20 MB body does not hold up the loop."""
END: Final = b".\r\n"


def stuffed(content: bytes) -> bytes:
    """The content with leading dots doubled (RFC 5321 4.5.2) and its last line ended; the final dot is not in it."""
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content if not content or content.endswith(b"\r\n") else content + b"\r\n"


def pieces(content: bytes) -> Iterator[bytes]:
    """What ``stuffed`` gives, in pieces."""
    at, end = 0, len(content)
    while at < end:
        cut = min(at + PIECE, end)
        if cut < end:
            line_end = content.rfind(b"\n", at, cut) + 1
            if line_end:
                cut = line_end
            elif content[cut - 1] == 0x0D:
                cut -= 1  # one endless line: only keep CR and LF together
        piece = content[at:cut].replace(b"\r\n.", b"\r\n..")
        if piece.startswith(b".") and (at == 0 or content[at - 1] == 0x0A):
            piece = b"." + piece
        yield piece
        at = cut
    if end and not content.endswith(b"\r\n"):
        yield b"\r\n"


def lines_are_whole(content: bytes, start: int, end: int) -> bool:
    """Whether CR and LF stand only together, looking at the octets from ``start`` to ``end``.

    A bare one lets two servers disagree on where a message ends, and so lets one mail carry another (SMTP smuggling;
    RFC 5321 2.3.8 forbids them).
    """
    pairs = content.count(b"\r\n", max(start - 1, 0), end)
    # A CR that is the very last octet of this stretch has its LF in the next one, and is counted there.
    late = int(start < end < len(content) and content[end - 1] == 0x0D)
    early = int(start > 0 and content[start - 1] == 0x0D)
    return content.count(b"\n", start, end) == pairs == content.count(b"\r", start, end) - late + early
