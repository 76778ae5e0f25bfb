"""The composer: a reader finds what the draft holds, and nothing that it does not."""

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from postclock.core.address import Mailbox
from postclock.core.message import Content
from postclock.mail.compose import MAX_CUSTOM_HEADERS, Composed, Draft, File, compose
from postclock.mail.encoding import crlf
from postclock.mail.headers import MAX_DISPLAY_NAME, MAX_SUBJECT, clean, content_id, mended

SHOP = Mailbox("shop@example.com", "Example Shop")
ANNA = Mailbox("anna@example.org", "Anna Bell")
STANDARD = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]


def draft(**more: Any) -> Draft:
    """A plain draft with some fields as asked."""
    fields: dict[str, Any] = {
        "from_": SHOP,
        "to": (ANNA,),
        "subject": "Your order",
        "text": "Hello",
        "message_id": "<msg_0001@example.com>",
        "sent_at": 1_790_000_000,
    }
    return Draft(**(fields | more))


def parsed(composed: Composed) -> EmailMessage:
    """The message as the standard library reads it; its own laws of lines are checked on the way."""
    raw = composed.raw()
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.endswith(b"\r\n")
    message = BytesParser(policy=policy.default).parsebytes(raw)
    for part in message.walk():
        assert not part.defects
    return message


def shape(message: EmailMessage) -> Any:
    """The tree of a message's types."""
    if message.is_multipart():
        return [message.get_content_type(), *[shape(cast(EmailMessage, part)) for part in message.iter_parts()]]
    return message.get_content_type()


def content(part: Any) -> str:
    """A text part's text, with LF line ends."""
    return cast(str, part.get_content()).replace("\r\n", "\n")


def lf(text: str) -> str:
    """The text as it may be read: line ends as LF, no lone surrogates."""
    return mended(crlf(text)).replace("\r\n", "\n")


def test_a_short_text_is_one_plain_part() -> None:
    """A single body needs no multipart, and its octets are known to the last."""
    assert compose(draft(headers={"X-Order": "12345"}, reply_to=(Mailbox("help@example.com"),))).raw() == (
        b"From: Example Shop <shop@example.com>\r\n"
        b"To: Anna Bell <anna@example.org>\r\n"
        b"Reply-To: help@example.com\r\n"
        b"Subject: Your order\r\n"
        b"Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n"
        b"Message-ID: <msg_0001@example.com>\r\n"
        b"X-Order: 12345\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hello\r\n"
    )


def test_the_same_draft_gives_the_same_octets() -> None:
    """Nothing comes from a clock or from chance: every attempt sends the same."""
    again = draft(html="<p>Hello</p>", files=(File(filename="a", content=b"x"),))
    assert compose(again).raw() == compose(again).raw()


LOGO = File(filename="logo.png", type="image/png", content=b"\x89PNG", disposition="inline", content_id="logo")
BILL = File(filename="bill.pdf", type="application/pdf", content=b"%PDF" * 100)


@pytest.mark.parametrize(
    ("more", "tree"),
    [
        ({}, "text/plain"),
        ({"text": None}, "text/plain"),
        ({"text": None, "html": "<p>"}, "text/html"),
        ({"html": "<p>"}, ["multipart/alternative", "text/plain", "text/html"]),
        ({"files": (BILL,)}, ["multipart/mixed", "text/plain", "application/pdf"]),
        ({"text": None, "files": (BILL,)}, "application/pdf"),
        ({"text": None, "html": "<p>", "files": (LOGO,)}, ["multipart/related", "text/html", "image/png"]),
        ({"files": (LOGO,)}, ["multipart/mixed", "text/plain", "image/png"]),
        (
            {"html": "<p>", "files": (BILL, LOGO)},
            [
                "multipart/mixed",
                ["multipart/alternative", "text/plain", ["multipart/related", "text/html", "image/png"]],
                "application/pdf",
            ],
        ),
        (
            {
                "html": "<p>",
                "alternatives": (Content("text/calendar; method=REQUEST", "BEGIN"), Content("text/x-amp-html", "⚡")),
            },
            ["multipart/alternative", "text/plain", "text/x-amp-html", "text/html", "text/calendar"],
        ),
    ],
)
def test_the_tree_has_only_the_levels_it_needs(more: dict[str, Any], tree: Any) -> None:
    """Bodies are alternatives, pictures go with the html that shows them, other files come after."""
    assert shape(parsed(compose(draft(**more)))) == tree


def test_parameters_of_other_bodies_stay() -> None:
    """A calendar keeps its method, without which it is no invitation."""
    message = parsed(compose(draft(alternatives=(Content("text/calendar; method=REQUEST; charset=latin1", "é"),))))
    calendar = list(message.iter_parts())[1]
    assert dict(calendar["Content-Type"].params) == {"charset": "utf-8", "method": "REQUEST"}


def test_blind_recipients_alone_leave_no_address() -> None:
    """A message to nobody in particular says so."""
    assert parsed(compose(draft(to=())))["To"] == "undisclosed-recipients:;"


def test_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    """Only an address asks for SMTPUTF8; names, subjects and domains do not."""
    plain = compose(draft(to=(Mailbox("a@bücher.example", "Jörg"),), subject="Grüße", text="Grüße"))
    assert not plain.smtputf8
    assert plain.raw().isascii()
    assert not plain.eight_bit
    for field in ("to", "cc", "reply_to"):
        assert compose(draft(**{field: (Mailbox("jörg@example.com"),)})).smtputf8
    assert compose(draft(from_=Mailbox("jörg@example.com"))).smtputf8
    assert b"To: J <j\xc3\xb6rg@example.com>\r\n" in compose(draft(to=(Mailbox("jörg@example.com", "J"),))).raw()


def test_a_boundary_never_occurs_in_a_body() -> None:
    """Even a body that holds the boundary it would get, and the next ones, stays whole."""
    text = "before"
    for _ in range(3):
        boundary = dict(parsed(compose(draft(text=text, html="<p>")))["Content-Type"].params)["boundary"]
        text += f"\n--{boundary}\nBcc: x\n--{boundary}--\n"
    plain, html = parsed(compose(draft(text=text, html="<p>"))).iter_parts()
    assert content(plain) == text
    assert content(html) == "<p>"


def test_reserved_and_broken_fields_are_left_out() -> None:
    """The draft's own fields cannot take the place of the composer's, nor be something other than a field."""
    headers = {
        "bcc": "x@example.com",
        "SUBJECT": "x",
        "From": "x@example.com",
        "Content-Type": "text/html",
        "content-foo": "x",
        "DKIM-Signature": "v=1",
        "Return-Path": "<x@example.com>",
        "Received": "x",
        "X Space": "x",
        "X-Colon:": "x",
        "X-Line\r\nBcc": "x",
        "": "x",
        "X-É": "x",
        "X-" + "a" * 100: "x",
        "X-Empty": " \r\n ",
        "X-Good": "1",
        "x-good": "2",
    }
    message = parsed(compose(draft(headers=headers)))
    assert [name for name in message if name not in STANDARD] == ["X-Good", "Content-Transfer-Encoding"]
    assert message["X-Good"] == "1"


def test_custom_fields_have_a_bound() -> None:
    """A draft with endless fields sends the first hundred."""
    message = parsed(compose(draft(headers={f"X-{i}": "x" for i in range(1000)})))
    assert len([name for name in message if name.startswith("X-")]) == MAX_CUSTOM_HEADERS


def test_a_broken_sender_does_not_break_the_message() -> None:
    """A From must be there, so one that is no address becomes one that cannot be."""
    message = parsed(compose(draft(from_=Mailbox("a@b\r\nBcc: x@example.com", "Shop\r\nBcc: x"))))
    assert message["From"] == '"Shop Bcc: x" <unknown@address.invalid>'


def test_signatures_stand_first() -> None:
    """Signature lines go before the fields they sign."""
    assert compose(draft()).raw([b"A: 1\r\n", b"B: 2\r\n"]).startswith(b"A: 1\r\nB: 2\r\nFrom: ")


TEXT = st.text(max_size=120) | st.sampled_from(
    [
        "",
        "a\r\nBcc: evil@example.com",
        "\r\n\r\nbody",
        "x" * 3000,
        "é" * 1200,
        "\ud800\x00\x85",
        "=?utf-8?q?=0D=0ABcc:?=",
        "--",
    ]
)
NAMES = st.from_regex(r"\AX-[A-Za-z0-9-]{1,30}\Z")
FILES = st.builds(
    File,
    filename=TEXT,
    content=st.binary(max_size=200),
    type=TEXT
    | st.sampled_from(["image/png", "text/plain", "message/rfc822", "text/csv; charset=latin1", "a/b; c=\r\nX: y"]),
    disposition=st.sampled_from(["attachment", "inline"]),
    content_id=TEXT,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    subject=TEXT,
    name=TEXT,
    text=st.none() | TEXT,
    html=st.none() | TEXT,
    other=st.lists(st.builds(Content, TEXT | st.just("text/x-amp-html"), TEXT), max_size=2),
    files=st.lists(FILES, max_size=3),
    custom=st.dictionaries(NAMES, TEXT, max_size=3),
    hostile=st.dictionaries(TEXT, TEXT, max_size=2),
)
@example(
    subject="x", name="x", text="\r\n", html=None, other=[], files=[], custom={"X-A": "\r\nBcc: x"}, hostile={"X: y\r\nBcc": "x"}
)  # fmt: skip
def test_hostile_drafts_make_honest_messages(
    subject: str,
    name: str,
    text: str | None,
    html: str | None,
    other: list[Content],
    files: list[File],
    custom: dict[str, str],
    hostile: dict[str, str],
) -> None:
    """Any text anywhere: the reader gets it cleaned, and finds no field and no part that was not asked for."""
    composed = compose(
        draft(
            subject=subject,
            to=(Mailbox("anna@example.org", name),),
            text=text,
            html=html,
            alternatives=tuple(other),
            files=tuple(files),
            headers=hostile | custom,
        )
    )
    message = parsed(composed)
    assert message["Subject"] == clean(subject, MAX_SUBJECT)
    (to,) = message["To"].addresses
    assert to.addr_spec == "anna@example.org"
    assert "".join(to.display_name.split()) == "".join(clean(name, MAX_DISPLAY_NAME).split())

    asked = {key.lower() for key in {**hostile, **custom}}
    first: dict[str, str] = {}
    for key, value in custom.items():
        first.setdefault(key.lower(), value)
    for key in set(message.keys()) - set(STANDARD) - {"Content-Transfer-Encoding", "Content-Disposition", "Content-ID"}:
        assert key.lower() in asked
        if key.lower() in first and not any(h.lower() == key.lower() for h in hostile):
            assert message[key] == clean(first[key.lower()])
    assert len(message.keys()) == len(set(message.keys()))

    parts = [part for part in message.walk() if not part.is_multipart()]
    found = [part for part in parts if part.get_content_disposition() is None]
    bodies = [t for t in (text, html, *[c.value for c in other]) if t is not None] or ([] if files else [""])
    wanted = sorted(lf(body) for body in bodies)
    got = sorted((part.get_payload(decode=True) or b"").decode().replace("\r\n", "\n") for part in found)  # type: ignore[union-attr]
    if len(parts) == 1:
        assert [body.removesuffix("\n") for body in got] == [body.removesuffix("\n") for body in wanted]
    else:
        assert got == wanted
    attached = [part for part in parts if part.get_content_disposition() is not None]
    assert sorted(part.get_payload(decode=True) for part in attached) == sorted(file.content for file in files)  # type: ignore[type-var]
    assert sorted(part.get_filename() or "" for part in attached) == sorted(
        clean(file.filename, 255).strip() or "file" for file in files
    )
    ids = sorted(cid for file in files if (cid := content_id(file.content_id)))
    assert sorted(part["Content-ID"] for part in attached if part["Content-ID"]) == [f"<{cid}>" for cid in ids]
    for part in parts:
        if part is not message:
            assert set(part.keys()) <= {
                "Content-Type",
                "Content-Transfer-Encoding",
                "Content-Disposition",
                "Content-ID",
            }
