"""Taking mails apart, above all those that were made to break a program that does."""

import base64
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.console import opened_mail
from postclock.console.header_text import MAX_BLOCK, MAX_FIELDS, MAX_VALUE, field_text, header_of, message_number
from postclock.console.opened_mail import MAX_BOUNDARIES, MAX_DASHED_LINES, MAX_LINES, MAX_PARTS, open_mail
from tests.console.parts import DUE, MESSAGE_ID, NUMBER, Inbox, mail

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)

# Lines that mails are made of, put together without sense.
_LINES = st.sampled_from(
    [
        b"Subject: =?utf-8?b?R3I=?= =?x?q?=ff?= =?punycode?q?a-?=", b"Subject: \xff\xfe\0", b'From: "<script>" <a@b>', b"To", b": x", b" folded", b"",
        b"Message-ID: <msg_0000000000000000@x>", b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: multipart/alternative; boundary*0*=b",
        b"Content-Type: message/rfc822", b"Content-Type: message/delivery-status", b"Content-Type: text/html; charset=utf-7",
        b"Content-Type: text/plain; charset=hex", b"Content-Type: text/html; charset=unicode_escape", b"Content-Type: ;;;", b"Content-Type: text",
        b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable", b"Content-Transfer-Encoding: x-uuencode", b"begin 644 x",
        b"Content-Disposition: attachment; filename*=utf-8''%ff", b"Content-Disposition: attachment; filename*0=a; filename*2=b",
        b'Content-Disposition: \xff; filename="\xff"', b"Content-ID: <\xff>", b"Content-ID: i", b"Content-Type: image/png", b"--b", b"--b--",
        b"<img src=cid:i>", b"\\ud800 +2AA-", b"=ZZ=", b"A===", b"\xed\xa0\x80", b"\0",
    ]
)  # fmt: skip
_MAILS = st.lists(st.one_of(_LINES, st.binary(max_size=40)), max_size=40).map(b"\r\n".join)


@settings(deadline=None, max_examples=300)
@given(_MAILS)
def test_no_mail_breaks_it(content: bytes) -> None:
    """Everything that comes out can be written as UTF-8."""
    opened = open_mail(content)
    texts = [
        opened.page(),
        *header_of(content).values(),
        *(p.text + p.name + p.kind + p.content_id for p in opened.parts),
    ]
    for text in (*texts, *(name + value for name, value in opened.fields)):
        text.encode("utf-8")


@settings(deadline=None, max_examples=60)
@given(_MAILS)
async def test_no_mail_breaks_a_page(content: bytes) -> None:
    """Every page of it answers 200, or 404 where the mail has no such thing."""
    inbox = Inbox()
    inbox.box.add("\udcff", ("\udcff\0",), content, DUE)
    async with inbox.client() as client:
        for path in ("", "/1", "/1?view=text", "/1?view=headers", "/1?view=attachments", "/1/raw"):
            assert (await client.get("/inbox" + path)).status_code == 200
        for path in ("/1/html", "/1/parts/1", "/1/parts/2"):
            assert (await client.get("/inbox" + path)).status_code in {200, 404}


def nested(depth: int, kind: bytes = b"multipart/mixed; boundary=b%d\r\n\r\n--b%d") -> bytes:
    return b"".join(b"Content-Type: " + kind % (n, n) + b"\r\n" for n in range(depth)) + b"\r\nHello\r\n"


@pytest.mark.parametrize(
    ("fine", "too_much"),
    [
        (b"X: " + b"x" * (MAX_BLOCK - 10) + b"\r\n\r\n", b"X: " + b"x" * MAX_BLOCK + b"\r\n\r\n"),
        (nested(MAX_BOUNDARIES), nested(MAX_BOUNDARIES + 1)),
        (b"\r\n\r\n" + b"\r\n--" * MAX_DASHED_LINES, b"\r\n\r\n" + b"\r\n--" * (MAX_DASHED_LINES + 1)),
        (b"\r\n" * MAX_LINES, b"\r\n" * (MAX_LINES + 1)),
    ],
    ids=["header", "boundaries", "dashes", "lines"],
)
def test_what_takes_too_long_is_not_taken_apart(fine: bytes, too_much: bytes) -> None:
    """The reader is told so."""
    assert open_mail(fine).trouble == ""
    refused = open_mail(too_much)
    assert "too " in refused.trouble
    assert refused.parts == ()


def test_a_thousand_mails_inside_each_other() -> None:
    """Deeper than the parser can go: malformed, and its header is still there."""
    opened = open_mail(b"Subject: Hello\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 5_000)
    assert "malformed" in opened.trouble
    assert opened.fields[0] == ("subject", "Hello")


def test_parts_are_looked_at_up_to_a_bound() -> None:
    """A hundred."""
    opened = open_mail(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * (MAX_PARTS + 5))
    assert len(opened.parts) == MAX_PARTS


def test_fields_are_shown_up_to_a_bound() -> None:
    """In number and in length."""
    opened = open_mail(b"X: y\r\n" * (MAX_FIELDS + 5) + b"\r\n")
    assert len(opened.fields) == MAX_FIELDS
    assert field_text("x" * MAX_VALUE) == "x" * MAX_VALUE
    assert field_text("x" * (MAX_VALUE + 1)) == "x" * MAX_VALUE + " …"


def test_the_text_and_the_html_are_found() -> None:
    """Attached ones are not taken for them."""
    made = mail(text="Grüße\n", html="<p>Grüße</p>\n")
    made.add_attachment("attached", filename="a.txt")
    made.add_attachment(b"\0\1", maintype="application", subtype="pdf", filename="Rechnung März.pdf")
    made.add_attachment(mail("inner"))
    opened = open_mail(made.as_bytes())
    assert opened.text is not None
    assert opened.html is not None
    assert (opened.text.text, opened.html.text) == ("Grüße\n", "<p>Grüße</p>\n")
    assert [a.name for a in opened.attachments] == ["a.txt", "Rechnung März.pdf", ""]
    assert opened.attachments[1].content == b"\0\1"
    assert b"Subject: inner" in opened.attachments[2].content


def test_a_latin_1_mail_is_read() -> None:
    """And a charset that nobody knows is taken for UTF-8."""
    made = EmailMessage()
    made.set_content("Grüße", charset="iso-8859-1")
    opened = open_mail(made.as_bytes())
    assert opened.text is not None
    assert opened.text.text == "Grüße\n"
    unknown = open_mail(b"Content-Type: text/plain; charset=klingon\r\n\r\nGr\xc3\xbc\xff").text
    assert unknown is not None
    assert unknown.text == "Grü\N{REPLACEMENT CHARACTER}"


def _with_image(html: str) -> EmailMessage:
    made = EmailMessage()
    made.set_content(html, subtype="html")
    made.add_related(PNG, maintype="image", subtype="png", cid="<logo@shop>")
    return made


def test_inline_images_are_put_into_the_html() -> None:
    """Named by their Content-ID (RFC 2392); unknown names stay."""
    page = open_mail(_with_image("<img src='cid:logo%40shop'><img src=\"cid:other\">").as_bytes()).page()
    assert f"<img src='data:image/png;base64,{base64.b64encode(PNG).decode()}'>" in page
    assert '"cid:other"' in page


def test_one_image_a_thousand_times_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound the names stay."""
    monkeypatch.setattr(opened_mail, "MAX_INLINED", 1_000)
    page = open_mail(_with_image("<img src='cid:logo@shop'>" * 1_000).as_bytes()).page()
    assert 10 < page.count("data:image/png") < 20
    assert page.count("cid:logo@shop") > 980


@pytest.mark.parametrize(
    ("header", "number"),
    [
        (MESSAGE_ID, NUMBER),
        (MESSAGE_ID.upper().replace("MSG_", "msg_"), NUMBER),
        (f" {MESSAGE_ID} ", NUMBER),
        ("", None),
        ("<msg_@x>", None),
        (MESSAGE_ID.replace("@", ""), None),
        ("<msg_000zzzzzzzzzzzzz@x>", None),
        ("<msg_000uuuuuuuuuuuuu@x>", None),
    ],
)
def test_the_message_behind_a_message_id(header: str, number: int | None) -> None:
    """Ours carry the message's own id."""
    assert message_number(header) == number
