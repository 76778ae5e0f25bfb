"""The stamp: what a mail's bytes are made from ever after its hand-off.

Written once, with the first depart. Every later attempt has the same Message-ID, Date and content by it; the same bytes while
the key and the template version it names live.
"""

import msgspec


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """``sent_at`` (Unix seconds, UTC) is the Date and the DKIM time; ``body_hash`` is the SHA-256 of the relaxed body."""

    sent_at: int
    template_version: int | None
    revision: int
    keys: tuple[int, ...]
    composer: int
    body_hash: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Stamp).decode


def pack(stamp: Stamp) -> bytes:
    """How a stamp is stored."""
    return _encode(stamp)


def unpack(data: bytes) -> Stamp:
    """A stored stamp."""
    return _decode(data)
