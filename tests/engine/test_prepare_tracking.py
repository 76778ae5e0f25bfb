"""Pixel and links get into a mail at its hand-off: by the send's word, else the tenant's, and the same on every attempt."""

import re
from typing import Any, Final
from urllib.parse import unquote

import dkim
import msgspec
import pytest

from postclock.core.account import TenantSettings
from postclock.core.message import Content, Footer, Personalization, Recipient
from postclock.core.stamp import unpack
from postclock.engine.prepare import Order, Prepared
from postclock.mail.dkim.key import generate_rsa, load_key
from postclock.mail.dkim.record import txt_record
from postclock.mail.tracking import Named, Tokens, Tracking
from tests.engine.parts import TEMPLATE, person, private_key, version
from tests.engine.test_prepare import context, made, order, parsed, text_of

TOKENS: Final = Tokens(bytes(range(32)))
TRACKING: Final = Tracking(TOKENS, "https://track.example")
ON: Final = TenantSettings(open_tracking=True, click_tracking=True)
PAST: Final = 1_700_000_000  # verifiers do not believe what is signed in the future
URL: Final = "https://shop.example/a?b=c&d=e"
BODIES: Final = (
    Content("text/plain", f"Hello {URL}"),
    Content("text/html", "<html><body><a href='https://shop.example/a?b=c&amp;d=e'>Hi</a></body></html>"),
)


def tracked(personal: Personalization | None = None, *, tenant: TenantSettings = ON, **more: Any) -> Order:
    """An order of a tenant with these settings."""
    told: dict[str, Any] = {"contents": BODIES, "within": context((1, private_key()), settings=tenant)} | more
    made_of = order(personal, **told) if personal is not None else order(**told)
    return msgspec.structs.replace(made_of, tracking=TRACKING)


def pixels(done: Prepared) -> list[str]:
    return re.findall(r'<img src="https://track\.example/t/o/(.{32})\.gif"', text_of(parsed(done), "html"))


def clicks(done: Prepared, kind: str = "html") -> list[tuple[str, str]]:
    """(token, address) of each tracked link."""
    return [
        (token, unquote(u))
        for token, u in re.findall(r"https://track\.example/t/c/(.{32})\?u=([^'\"\s]*)", text_of(parsed(done), kind))
    ]


def test_a_tracked_mail_names_itself_in_pixel_and_links() -> None:
    """Message, week and its only recipient; plain text stays as it was."""
    done = made(tracked())
    (pixel,) = pixels(done)
    ((token, url),) = clicks(done)
    assert url == URL
    assert TOKENS.read("open", pixel) == TOKENS.read("click", token, URL) == Named(5, 2976, 0)
    assert text_of(parsed(done)).strip() == f"Hello {URL}"
    assert re.search(r'gif" [^>]*></body></html>$', text_of(parsed(done), "html").strip())


def test_with_several_recipients_nobody_is_named() -> None:
    """They get the same octets; it stays so when one of them alone is left for a retry."""
    personal = Personalization(recipients=(Recipient("to", "ada@example.net"), Recipient("to", "bob@example.net")))
    first, rest = made(tracked(personal)), made(tracked(personal, pending=(1,)))
    assert TOKENS.read("open", pixels(first)[0]) == Named(5, 2976, None)
    assert rest.content == first.content


@pytest.mark.parametrize("tenant", [ON, TenantSettings()], ids=["on", "off"])
@pytest.mark.parametrize("said", [None, True, False])
def test_the_sends_word_counts_before_the_tenants(tenant: TenantSettings, said: bool | None) -> None:
    """For opens and clicks each; silence leaves it to the tenant."""
    expected = tenant.open_tracking if said is None else said
    both = made(tracked(tenant=tenant, open_tracking=said, click_tracking=said))
    assert (bool(pixels(both)), bool(clicks(both))) == (expected, expected)
    opens = made(tracked(tenant=tenant, open_tracking=said, click_tracking=False))
    assert (bool(pixels(opens)), bool(clicks(opens))) == (expected, False)
    links = made(tracked(tenant=tenant, open_tracking=False, click_tracking=said))
    assert (bool(pixels(links)), bool(clicks(links))) == (False, expected)


@pytest.mark.parametrize(
    ("tenant", "said", "expected"),
    [
        (ON, None, False),
        (ON, True, True),
        (TenantSettings(click_tracking=True, click_text=True), None, True),
        (TenantSettings(click_tracking=True, click_text=True), False, False),
        (TenantSettings(click_text=True), None, False),
        (TenantSettings(), True, False),
    ],
)
def test_links_in_plain_text_are_tracked_when_somebody_asks(
    tenant: TenantSettings, said: bool | None, expected: bool
) -> None:
    """And only where those in the HTML are."""
    assert bool(clicks(made(tracked(tenant=tenant, click_text=said)), "plain")) is expected


def test_a_mail_without_html_has_no_pixel() -> None:
    """There is nothing to put it in."""
    done = made(tracked(contents=(Content("text/plain", f"Hello {URL}"),)))
    assert b"track.example" not in done.content


def test_the_pixel_stands_where_the_send_wants_it() -> None:
    """The tag is gone either way."""
    contents = (Content("text/html", "<p>%open%</p><p>Hi</p>"),)
    assert re.search(
        r"<p><img [^>]*></p><p>Hi</p>", text_of(parsed(made(tracked(contents=contents, open_tag="%open%"))), "html")
    )
    off = made(tracked(contents=contents, open_tag="%open%", tenant=TenantSettings()))
    assert text_of(parsed(off), "html").strip() == "<p></p><p>Hi</p>"  # fmt: skip


def test_what_templates_and_footers_bring_is_tracked_too() -> None:
    """After everything was rendered; the pixel comes last."""
    made_of = version(1, html="<body><a href='{{url}}'>x</a></body>")
    done = made(
        tracked(
            person("ada@example.net", template_data={"url": URL}),
            version=made_of,
            template_id=TEMPLATE,
            contents=(),
            footer=Footer("", "<a href='https://shop.example/bye'>Bye</a>"),
        )
    )
    assert [url for _, url in clicks(done)] == [URL, "https://shop.example/bye"]
    assert re.search(r"Bye</a><img [^>]*></body>", text_of(parsed(done), "html"))


def test_a_retry_has_the_same_octets_and_its_signature_holds() -> None:
    """Hours later, from the stamp; an independent verifier agrees."""
    key = generate_rsa()
    within = context((1, key), settings=ON)
    first = made(tracked(within=within, click_text=True, sent_at=PAST))
    again = made(tracked(within=within, click_text=True, stamp=unpack(first.stamp), sent_at=PAST + 7_200))
    assert again.content == first.content
    assert not again.reissued
    record = txt_record(load_key("example.com", "pc1", key)).encode()
    assert dkim.verify(again.content, dnsfunc=lambda name, timeout=5: record)


def test_without_a_tracker_nothing_is_tracked() -> None:
    """Whatever the tenant and the send say."""
    plain = msgspec.structs.replace(tracked(open_tracking=True, click_tracking=True), tracking=None)
    assert b"/t/o/" not in made(plain).content
