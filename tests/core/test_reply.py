"""Replies off the wire, whatever pieces they come in, and what a refusal says about an address."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.core.reply import MAX_KEPT, MAX_LINE, MAX_LINES, MAX_REPLY, Reply, ReplyReader, bounce_type


def read(data: bytes) -> list[Reply]:
    reader = ReplyReader()
    replies = reader.feed(data)
    assert reader.garbage is None
    assert not reader.pending
    return list(replies)


@pytest.mark.parametrize(
    ("octets", "reply", "shown"),
    [
        (b"250 OK\r\n", Reply(250, None, "OK"), "250 OK"),
        (b"250\r\n", Reply(250, None, ""), "250"),
        (b"250 \r\n", Reply(250, None, ""), "250"),
        (b"250 2.1.5 fine\r\n", Reply(250, "2.1.5", "fine"), "250 2.1.5 fine"),
        (b"250 2.1.5\r\n", Reply(250, "2.1.5", ""), "250 2.1.5"),
        (b"550 5.1.1 no such user\n", Reply(550, "5.1.1", "no such user"), "550 5.1.1 no such user"),
        (
            b"550 4.1.1 the class differs\r\n",
            Reply(550, None, "4.1.1 the class differs"),
            "550 4.1.1 the class differs",
        ),
        (b"250 2.1.5.7 no code\r\n", Reply(250, None, "2.1.5.7 no code"), "250 2.1.5.7 no code"),
        (b"354 go on\r\n", Reply(354, None, "go on"), "354 go on"),
        (
            b"550-5.7.1 blocked\r\n550-5.7.1 see our page\r\n550 5.7.1 bye\r\n",
            Reply(550, "5.7.1", "blocked\nsee our page\nbye"),
            "550 5.7.1 blocked see our page bye",
        ),
        (b"250-peer\r\n250-SIZE 100\r\n250\r\n", Reply(250, None, "peer\nSIZE 100\n"), "250 peer SIZE 100 "),
        (
            b"550 gr\xc3\xbc\xc3\x9fe \xff\0\x1b[31m\r\n",
            Reply(550, None, "grüße \ufffd  [31m"),
            "550 grüße \ufffd  [31m",
        ),
    ],
)
def test_a_reply_is_read(octets: bytes, reply: Reply, shown: str) -> None:
    """Code, enhanced code and text; controls and foreign octets are made harmless."""
    assert read(octets) == [reply]
    assert str(reply) == shown


@given(st.data())
@settings(deadline=None)
def test_pieces_do_not_matter(data: st.DataObject) -> None:
    """However the network cuts them, the same replies come out."""
    octets = b"220-a\r\n220 b\r\n250 2.0.0 c\n421\r\n550-5.1.1 x\r\n550 5.1.1 y\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(octets) - 1))))
    reader = ReplyReader()
    found: list[Reply] = []
    for begin, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        found += reader.feed(octets[begin:end])
    assert found == read(octets)
    assert [r.code for r in found] == [220, 250, 421, 550]


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b"25\r\n",
        b"2500 x\r\n",
        b"abc\r\n",
        b"199 x\r\n",
        b"600 x\r\n",
        b"250_x\r\n",
        b" 250 x\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"250-a\r\n550 b\r\n",
        b"250-a\r\nb\r\n",
    ],
)
def test_garbage_is_called_so(octets: bytes) -> None:
    """And what came before it is still given; what follows is not read."""
    reader = ReplyReader()
    assert [*reader.feed(b"220 fine\r\n" + octets)] == [Reply(220, None, "fine")]
    assert reader.garbage
    assert reader.feed(b"250 fine\r\n") == []


@given(st.lists(st.binary(max_size=300), max_size=20))
@settings(deadline=None)
def test_any_octets_are_survived(pieces: list[bytes]) -> None:
    """Replies, garbage or waiting for more; never an exception."""
    reader = ReplyReader()
    for piece in pieces:
        for reply in reader.feed(piece):
            assert 200 <= reply.code <= 599
            assert "\0" not in reply.text


@pytest.mark.parametrize("end", [b"\r\n", b""])
def test_a_line_has_a_bound(end: bytes) -> None:
    """Of 2 KiB, whether it ends or not."""
    reader = ReplyReader()
    assert len(reader.feed(b"250 ".ljust(MAX_LINE, b"x") + b"\r\n")) == 1
    assert reader.feed(b"250 ".ljust(MAX_LINE + 1, b"x") + end) == []
    assert reader.garbage is not None
    assert "longer" in reader.garbage


def test_a_reply_has_a_bound_of_lines() -> None:
    """128 are read, 129 are not."""
    assert len(read(b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n")) == 1
    reader = ReplyReader()
    assert reader.feed(b"250-x\r\n" * MAX_LINES + b"250 x\r\n") == []
    assert reader.garbage is not None
    assert "lines" in reader.garbage


def test_a_reply_has_a_bound_of_octets() -> None:
    """64 KiB, although each line and their number are within theirs."""
    reader = ReplyReader()
    line = b"250-".ljust(1_500, b"x") + b"\r\n"
    assert MAX_REPLY // 1_500 < MAX_LINES
    assert reader.feed(line * (MAX_REPLY // 1_500 + 1)) == []
    assert reader.garbage is not None
    assert "octets" in reader.garbage


def test_what_is_kept_of_a_reply_has_a_bound() -> None:
    """A thousand characters are shown and stored."""
    assert len(str(Reply(550, "5.7.1", "x" * 5_000))) == MAX_KEPT


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(550, "5.1.1", "no such user"), "hard"),
        (Reply(550, "5.1.10", "null MX"), "hard"),
        (Reply(553, "5.1.3", "bad syntax"), "hard"),
        (Reply(550, "5.2.1", "mailbox disabled"), "hard"),
        (Reply(550, None, "user unknown"), "hard"),
        (Reply(550, "5.0.0", "user unknown"), "hard"),
        (Reply(551, None, "not local"), "hard"),
        (Reply(550, "5.1.8", "the sender's domain does not exist"), "block"),
        (Reply(550, "5.7.1", "refused"), "block"),
        (Reply(550, "5.7.26", "unauthenticated"), "block"),
        (Reply(550, None, "Message rejected as spam"), "block"),
        (Reply(554, None, "Client host blocked using a list"), "block"),
        (Reply(554, None, "no"), "block"),
        (Reply(552, "5.2.2", "mailbox full"), "soft"),
        (Reply(552, "5.3.4", "too big"), "soft"),
        (Reply(552, None, "too much"), "soft"),
        (Reply(554, "5.6.0", "bad content"), "soft"),
        (Reply(450, "4.7.1", "later"), "soft"),
        (Reply(450, "4.1.1", "later"), "soft"),
    ],
)
def test_what_a_refusal_says_of_the_address(reply: Reply, kind: str) -> None:
    """Hard: it does not exist. Block: the sender or the content. Soft: the rest."""
    assert bounce_type(reply) == kind
