"""Header fields: whatever goes in, one legal field comes out, and a reader gets the same value back."""

import re
from email import policy
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.utils import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postclock.core.address import Mailbox
from postclock.mail import headers
from postclock.mail.headers import (
    clean,
    content_id,
    date_value,
    disposition_value,
    fold,
    mailboxes_value,
    media_parameters,
    media_type,
    message_id_value,
    text_value,
)
from postclock.mail.message_id import message_id

ANY = st.text(max_size=300)
# What cleaning leaves alone, in all scripts, long enough to be folded.
FAIR = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=300).map(lambda s: s.strip(" "))


def read(name: str, value: str) -> str:
    """The value that the standard library's parser reads from a field."""
    raw = f"{name}: {value}\r\n\r\n".encode()
    return str(BytesHeaderParser(policy=policy.default).parsebytes(raw)[name])


def lines(name: str, value: str) -> list[str]:
    """The lines of a field; each but the first must be a continuation that is not blank."""
    first, *rest = f"{name}: {value}".split("\r\n")
    for line in rest:
        assert line[0] == " "
        assert line.strip(" ")
    assert not re.search("[\x00-\x1f\x7f]", "".join([first, *rest]))
    return [first, *rest]


@settings(deadline=None)
@given(FAIR)
@example("a  b " + "c" * 2000)
@example("=?utf-8?q?Bcc?=")
@example("word " * 60 + "end")
@example("é" * 299)
def test_a_fair_value_comes_back_as_it_was(value: str) -> None:
    """What needs no cleaning is read as it was given, folded and encoded or not."""
    assert read("Subject", text_value("Subject", value)) == value


@settings(deadline=None)
@given(st.text(max_size=300), st.sampled_from(["X-A", "X-" + "a" * 48, "X-" + "a" * 62]))
@example("a\r\nBcc: x@example.com", "X-A")
@example("\ud800\r\n\x00\x85\u2028 " * 30, "X-A")
def test_any_value_makes_one_field(value: str, name: str) -> None:
    """Controls and surrogates give a legal field, and the reader gets the cleaned value."""
    field = text_value(name, value)
    assert all(len(line) <= 998 for line in lines(name, field))
    assert read(name, field) == clean(value)


@settings(deadline=None)
@given(
    st.text(st.characters(min_codepoint=0xA1, max_codepoint=0x1FFFF, exclude_categories=("Cs", "Zl", "Zp")), min_size=1)
)
def test_lines_with_encoded_words_stay_short(value: str) -> None:
    """A line that holds an encoded-word has at most 76 characters, an encoded-word at most 75."""
    for line in lines("Subject", text_value("Subject", value)):
        assert len(line) <= 76
        assert all(len(word) <= 75 for word in line.split(" "))


def test_the_shorter_encoding_is_taken() -> None:
    """A few accents are written in Q, another script in B."""
    assert text_value("Subject", "Your order for Müller") == "=?utf-8?q?Your_order_for_M=C3=BCller?="
    assert text_value("Subject", "Привет").startswith("=?utf-8?b?")


@pytest.mark.parametrize("character", ["é", "雪", "\U0001f600"])
@pytest.mark.parametrize("other", ["x" * 80, "я" * 80])
def test_no_character_is_split(character: str, other: str) -> None:
    """Each encoded-word can be decoded by itself, wherever the border falls."""
    for n in range(80):
        value = other[:n] + character + other
        words = text_value("Subject", value).split("\r\n ")
        assert "".join([str(make_header(decode_header(word))) for word in words]) == value


def test_an_ascii_value_is_left_alone() -> None:
    """A long link is neither folded nor encoded, as readers of List-Unsubscribe take it by the letter."""
    link = f"<https://example.com/u/{'a' * 500}>"
    assert text_value("List-Unsubscribe", link) == link
    assert text_value("List-Unsubscribe", f"{link}, <mailto:u@example.com>") == f"{link},\r\n <mailto:u@example.com>"


def test_controls_become_one_space() -> None:
    """A run of controls and the spaces around it are one space; plain spaces stay; the ends are bare."""
    assert clean("a \x00 \x1f b") == "a b"
    assert clean(" a \r\n\t b\x00c\x85\u2028d  e\x7f ") == "a b c d  e"
    assert clean("\ud83d\ude00 \ud800x") == "\U0001f600 \ufffdx"


@pytest.mark.parametrize("limit", [1, headers.MAX_SUBJECT, headers.MAX_VALUE])
def test_a_value_has_a_bound(limit: int) -> None:
    """What is longer than the bound is cut there."""
    assert len(clean("x" * (limit + 1), limit)) == limit
    assert len(clean("\u2028" * limit + "é" * limit, limit)) <= limit


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a@example.com", "o'x+y@sub.example.org", '"a b"@example.com']), ANY), max_size=6
    )
)
@example([("a@example.com", "n" * 100), ("a@example.com", 'Bell, "Anna" \\')])
@example([("a@example.com", "x\r\nBcc: evil@example.com")])
def test_display_names_come_back(mailboxes: list[tuple[str, str]]) -> None:
    """Names and addresses are read back one by one, the names cleaned."""
    value = mailboxes_value("To", [Mailbox(email, name) for email, name in mailboxes])
    assert all(len(line) <= 400 for line in lines("To", value))
    raw = f"To: {value}\r\n\r\n".encode()
    found = BytesHeaderParser(policy=policy.default).parsebytes(raw)["To"].addresses
    assert [a.addr_spec for a in found] == [email for email, _ in mailboxes]
    for address, (_, name) in zip(found, mailboxes, strict=True):
        expected = clean(name, headers.MAX_DISPLAY_NAME).strip()
        if expected.isascii() and len(expected) < 40:
            assert address.display_name == expected
        # In a phrase the parser keeps the space between encoded-words (RFC 2047 6.2 tells it not to) and drops other spaces.
        assert "".join(address.display_name.split()) == "".join(expected.split())


def test_a_domain_is_written_in_ascii() -> None:
    """An international domain appears in its A-label form, so that the message does not need SMTPUTF8 for it."""
    assert mailboxes_value("To", [Mailbox("a@bücher.example")]) == "a@xn--bcher-kva.example"


def test_a_local_part_beyond_ascii_stays() -> None:
    """It cannot be encoded, so it is written as UTF-8."""
    assert mailboxes_value("To", [Mailbox("jörg@example.com", "Jörg")]) == "=?utf-8?b?SsO2cmc=?= <jörg@example.com>"


@pytest.mark.parametrize(
    "email", ["", "a", "a@b", "a@example.com>\r\nBcc: x@example.com", "a\x00@example.com", "\ud800@example.com", "=?utf-8?q?x=40y.z?=@example.com"]
)  # fmt: skip
def test_what_is_no_address_is_left_out(email: str) -> None:
    """A broken address never reaches a field, nor one that some readers would decode into another."""
    assert mailboxes_value("To", [Mailbox(email, "x"), Mailbox("b@example.com")]) == "b@example.com"


def test_many_mailboxes_fold_between_them() -> None:
    """A thousand recipients make many short lines, and none is lost."""
    value = mailboxes_value("To", [Mailbox(f"anna{i}@example.com", "Anna Bell") for i in range(1000)])
    assert all(len(line) <= 76 for line in lines("To", value))
    assert value.count("@") == 1000


def test_fold_breaks_only_before_a_piece() -> None:
    """Pieces are never cut."""
    assert fold("To", [" " + "a" * 80, " " + "b" * 80]) == "a" * 80 + "\r\n " + "b" * 80


def test_dates_are_in_utc() -> None:
    """A moment is written as RFC 5322 asks; a moment beyond the calendar is its edge."""
    assert date_value(1_789_999_999) == b"Mon, 21 Sep 2026 14:13:19 +0000"
    assert date_value(-1) == b"Thu, 01 Jan 1970 00:00:00 +0000"
    assert date_value(10**15).startswith(b"Fri, 31 Dec 9999")


@settings(deadline=None)
@given(ANY)
@example('a"b\\c.txt')
@example("../../etc/passwd")
@example("rapport_été_" * 20 + ".pdf")
@example("%41.txt")
def test_file_names_come_back(name: str) -> None:
    """The reader gets the cleaned name, and each line is short enough to be sent."""
    value = disposition_value("attachment", name)
    assert all(len(line) <= 300 for line in lines("Content-Disposition", value))
    raw = f"Content-Type: text/plain\r\nContent-Disposition: {value}\r\n\r\n".encode("ascii")
    message = BytesHeaderParser(policy=policy.default).parsebytes(raw)
    assert message.get_content_disposition() == "attachment"
    expected = clean(name, headers.MAX_FILENAME).strip() or "file"
    # The standard library's reader takes <…> and "…" around a whole name for quotes.
    assert message.get_filename() in (expected, unquote(expected))


def test_a_file_name_has_an_ascii_form() -> None:
    """A reader that does not know RFC 2231 finds a name it can show."""
    assert disposition_value("inline", "Überblick.pdf") == (
        "inline;\r\n filename*=UTF-8''%C3%9Cberblick.pdf;\r\n filename=\"Uberblick.pdf\""
    )


@pytest.mark.parametrize(
    ("given_type", "expected"),
    [
        ("Image/PNG", "image/png"),
        ("text/csv; charset=utf-8", "text/csv"),
        ("", "application/octet-stream"),
        ("text", "application/octet-stream"),
        ("text/plain\r\nBcc: x", "application/octet-stream"),
        ("a/b/c", "application/octet-stream"),
        ("é/x", "application/octet-stream"),
        ("message/rfc822", "application/octet-stream"),
        ("multipart/mixed", "application/octet-stream"),
        ("a" * 128 + "/b", "application/octet-stream"),
    ],
)
def test_media_types(given_type: str, expected: str) -> None:
    """A type is two tokens or it is octets; those that may not be in base64 are octets, too."""
    assert media_type(given_type) == expected


def test_media_parameters() -> None:
    """Plain parameters pass; the rest does not."""
    given_type = "text/calendar; method=REQUEST; charset=latin1; x=a\r\nb; y*=z; METHOD=again"
    assert media_parameters(given_type, charset=False) == ";\r\n method=REQUEST"
    assert media_parameters(given_type, charset=True) == ";\r\n method=REQUEST;\r\n charset=latin1"
    assert media_parameters("a/b" + ";a=b" * 100 + ";c=d", charset=True) == ";\r\n a=b"


@given(ANY)
def test_ids_keep_legal_characters_only(value: str) -> None:
    """Whatever is given as an id, no character that ends or splits a field is left."""
    assert re.fullmatch(r"[!-~]*", content_id(value))
    assert re.fullmatch(r"<[^<> ]*>", message_id_value(value))
    assert not set(content_id(value)) & set('<>?"\\(), ;:')


def test_ids_have_bounds() -> None:
    """An absurd id is cut."""
    assert len(content_id("a" * 10_000)) == headers.MAX_CONTENT_ID
    assert len(message_id_value("a" * 10_000)) == headers.MAX_MESSAGE_ID + 2


def test_a_content_id_loses_its_brackets() -> None:
    """Callers write it with and without."""
    assert content_id("<logo@example.com>") == content_id("logo@example.com") == "logo@example.com"


def test_message_ids_are_derived() -> None:
    """The same message has the same Message-ID, in ASCII and with the domain in lower case."""
    assert message_id("msg_00A1B2", "Bücher.Example") == "<msg_00A1B2@xn--bcher-kva.example>"
    assert message_id_value(message_id("msg_00A1B2", "example.com")) == "<msg_00A1B2@example.com>"
