"""Dots, line ends and pieces, against the rule written plainly."""

from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.courier import body

LINES = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x.", b"abc", b"." * 5]), max_size=30).map(b"\r\n".join)
ROUGH = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x"]), max_size=30).map(b"".join)


def plainly(content: bytes) -> bytes:
    if not content:
        return b""
    lines = content.removesuffix(b"\r\n").split(b"\r\n")
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)


@given(LINES)
@settings(deadline=None)
def test_dots_are_doubled_and_the_last_line_ended(content: bytes) -> None:
    """As RFC 5321 4.5.2 has it."""
    assert body.stuffed(content) == plainly(content)


@given(LINES, st.integers(3, 40))
@settings(deadline=None)
def test_pieces_make_the_same_body(content: bytes, size: int) -> None:
    """Wherever it is cut, also inside a line longer than a piece."""
    whole = body.PIECE
    try:
        body.PIECE = size  # type: ignore[misc]
        assert b"".join(body.pieces(content)) == plainly(content)
    finally:
        body.PIECE = whole  # type: ignore[misc]


@given(ROUGH, st.integers(1, 31))
@settings(deadline=None)
def test_bare_line_ends_are_found_wherever_they_stand(content: bytes, size: int) -> None:
    """Looked at in stretches, as a large body is."""
    bare = b"\r" in content.replace(b"\r\n", b"") or b"\n" in content.replace(b"\r\n", b"")
    stretches = [(at, min(at + size, len(content))) for at in range(0, len(content), size)]
    assert all(body.lines_are_whole(content, begin, end) for begin, end in stretches) == (not bare)
