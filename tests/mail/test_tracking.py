"""The pixel and the tracked links of a mail, and tokens that nobody else can make."""

import hmac
import html as markup
import re
from base64 import urlsafe_b64decode
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.mail.links import MAX_LINK
from postclock.mail.tracking import MAX_LINKS, Named, Tokens, Tracking, before_close, is_target, location

KEY: Final = bytes(range(32))
BASE: Final = "https://mail.shop.example/post"
NAMED: Final = Named(2**62 + 5, 2976, 0)
TOKENS: Final = Tokens(KEY)
TRACKING: Final = Tracking(TOKENS, BASE)
URL: Final = "https://shop.example/a?b=c&d=e#f"
NAMES = st.builds(Named, st.integers(0, 2**63 - 1), st.integers(0, 2**15 - 1), st.none() | st.integers(0, 999))


def tracked(body: str, *, opens: bool = False, clicks: bool = True, tag: str = "") -> str:
    return TRACKING.html(body, NAMED, opens=opens, clicks=clicks, tag=tag)


def pixel() -> str:
    """The only image of a mail that has nothing else."""
    return tracked("", opens=True, clicks=False)


def followed(address: str) -> str:
    """Where a tracked link leads."""
    parts = urlsplit(address)
    (url,) = parse_qs(parts.query, strict_parsing=True)["u"]
    assert address.startswith(f"{BASE}/t/c/")
    assert TOKENS.read("click", parts.path.removeprefix("/post/t/c/"), url) == NAMED
    return url


@given(NAMES, st.text(max_size=50).filter(lambda url: url.isprintable()))
@settings(deadline=None)
def test_a_token_names_what_it_was_made_for(named: Named, url: str) -> None:
    """The same each time, short, and fit for a path; of its own kind, key and address alone."""
    opened, clicked = TOKENS.make("open", named), TOKENS.make("click", named, url)
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", opened)
    assert TOKENS.make("open", named) == opened
    assert TOKENS.read("open", opened) == TOKENS.read("click", clicked, url) == named
    assert TOKENS.read("click", opened, "") is TOKENS.read("open", clicked, "") is None
    assert TOKENS.read("click", clicked, url + "x") is None
    assert Tokens(bytes(32)).read("open", opened) is None


def test_a_token_changed_anywhere_is_nobodys() -> None:
    """Every character, each of the others in its place; longer, shorter, and what only looks like it."""
    token = TOKENS.make("click", NAMED, URL)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n"
    for n, there in enumerate(token):
        for other in alphabet:
            if other != there:
                assert TOKENS.read("click", token[:n] + other + token[n + 1 :], URL) is None
    for forged in ("", token[:-1], token + "A", token + "=", token + "\n", token[:-1] + "é", "\ud800" * 32):
        assert TOKENS.read("click", forged, URL) is None


@pytest.mark.parametrize(
    "url", [URL + "x", URL[:-1], "https://evil.example", URL.replace("https", "http"), URL.upper(), ""]
)
def test_a_token_is_good_for_its_own_address_alone(url: str) -> None:
    """Nobody is led elsewhere."""
    assert TOKENS.read("click", TOKENS.make("click", NAMED, URL), url) is None


def test_the_check_is_an_hmac() -> None:
    """RFC 2104 as the standard library has it, of kind, names and address."""
    for key in (KEY, bytes(16), bytes(range(64))):
        octets = urlsafe_b64decode(Tokens(key).make("click", NAMED, URL))
        names = octets[:12]
        assert octets[12:] == hmac.digest(key, b"click\x00" + names + URL.encode(), "sha256")[:12]


@pytest.mark.parametrize("key", [b"short", bytes(65)])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    """A short one could be guessed."""
    with pytest.raises(ValueError, match="key"):
        Tokens(key)


TARGETS = [
    "http://x.example", "https://x.example/", "HTTPS://X.example:8443/a?b#c", "https://x.example?q", "https://x.example#f", "http://[::1]:80/",
    "http://127.0.0.1/", "https://x_y.example/ä?ö", "http://localhost/", "https://x.example/a'b\"c<d>", "https://x.example/?u=//y.example",
]  # fmt: skip
NO_TARGETS = [
    "", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.example", "/evil", "evil.example", "http:/\\evil.example",
    "http:\\\\evil.example", "http:/evil.example", "http:evil.example", "http://", "http:///evil.example", "https://?x", "ftp://x.example",
    "mailto:a@b.example",
    "https://user:password@x.example/", "https://x.example@evil.example/", "https://x.example\\@evil.example", "https://x.example/\\evil", " https://x.example",
    "https://x.example/\r\nSet-Cookie: a=b", "https://x.example/\n", "https://x.example/a b", "https://x.example/\t", "https://x.example/\x00", "https://x.example/\x7f",
    "https://x.example/\x85", "https://x.example/\u2028", "https://x.example/\xa0", "https://x.example/\ud800", "https://\u0435xample/", "http\u017f://x.example",
    "https://x.example:99999999/", "https://x.example:port/", "https://x.example/" + "a" * MAX_LINK, "http://x.example\n", "https://%65vil.example/",
]  # fmt: skip


@pytest.mark.parametrize("url", TARGETS)
def test_whatever_a_browser_reads_in_one_way_is_tracked_and_found_again(url: str) -> None:
    """Absolute, http or https, a plain host."""
    assert is_target(url)
    (address,) = re.findall('href="([^"]*)"', tracked(f'<a href="{markup.escape(url)}">'))
    assert followed(markup.unescape(address)) == url
    header = location(url)
    assert re.fullmatch(r"[!-~]+", header)
    assert header == url or not url.isascii()


@pytest.mark.parametrize("url", NO_TARGETS)
def test_what_is_odd_is_left_alone_and_never_led_to(url: str) -> None:
    """No other scheme, no user name, nothing that two programs may read in two ways."""
    assert not is_target(url)
    if url != url.strip(" \t\r\n\f"):
        return  # in HTML the spaces around an address are not part of it
    body = f'<a href="{markup.escape(url)}">'
    assert tracked(body) == body


@given(st.text(max_size=60) | st.text("htps:/\\@[]?#.xé\r\n \t%", max_size=20).map(lambda rest: "http://" + rest))
@settings(deadline=None)
def test_a_location_is_one_line_of_ascii(url: str) -> None:
    """Whatever is taken for a target, no header can be made of it."""
    if is_target(url):
        assert re.fullmatch(r"[hH][tT][tT][pP][sS]?://[!-~]+", location(url))


@pytest.mark.parametrize(
    "href",
    [
        "https://x.example/{{id}}", "https://x.example/<%id%>", "https://x.example/[unsubscribe]", "https://x.example/?%asm_group_unsubscribe_raw_url%",
        "[unsubscribe]", "<%asm_group_unsubscribe_raw_url%>", BASE + "/t/c/token", BASE.upper() + "/T/u/token",
    ],
)  # fmt: skip
def test_placeholders_and_our_own_links_are_left_alone(href: str) -> None:
    """Somebody fills them later, or they lead to us already."""
    body = f'<a href="{href}">'
    assert tracked(body) == body


def test_tracking_twice_changes_nothing_more() -> None:
    """Links that lead to us stay."""
    once = tracked(f"<a href='{URL}'>")
    assert tracked(once) == once != f"<a href='{URL}'>"


def test_a_body_that_is_all_links_does_not_grow_without_end() -> None:
    """The first of them are tracked; those that are left alone anyway do not count."""
    body = "<a href='/here'>" + f"<a href='{URL}'>" * (MAX_LINKS + 3)
    html = tracked(body)
    assert html.count("/t/c/") == MAX_LINKS
    assert html.endswith(f"<a href='{URL}'>" * 3)
    text = TRACKING.text(f"{URL} " * (MAX_LINKS + 3), NAMED)
    assert text.count("/t/c/") == MAX_LINKS


def test_a_link_that_grows_beyond_what_servers_take_is_left_alone() -> None:
    """Letters beyond ASCII are six times as long in a link."""
    body = f"<a href='https://x.example/{'ä' * 1_500}'>"
    assert tracked(body) == body


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<p>Hi</p></body></html>", "<p>Hi</p>{}</body></html>"),
        ("<p>Hi</p></BoDy ></html></p>", "<p>Hi</p>{}</BoDy ></html></p>"),
        ("</body></body></bodyguard>", "</body>{}</body></bodyguard>"),
        ("<p>Hi</p>", "<p>Hi</p>{}"),
        ("", "{}"),
        ("İİİİ</body>", "İİİİ{}</body>"),
    ],
)
def test_the_pixel_stands_at_the_end_of_the_body(before: str, after: str) -> None:
    """Before the last end tag of it, or at the very end; letters that grow in lower case do not move it."""
    assert tracked(before, opens=True) == after.format(pixel())
    assert before_close(before, "{}") == after


def test_the_pixel_names_its_message() -> None:
    """An image that nobody sees, with a token in its address."""
    (address,) = re.findall(r'^<img src="([^"]*)" alt="" width="1" height="1" style="[^"]*">$', pixel())
    found = re.fullmatch(re.escape(BASE) + r"/t/o/([A-Za-z0-9_-]{32})\.gif", address)
    assert found is not None
    assert TOKENS.read("open", found[1]) == NAMED


def test_the_pixel_takes_the_place_of_its_tag() -> None:
    """The first one's; the others go, and so does the tag of a mail whose opens are not tracked."""
    assert tracked("<b>%o%</b>%o%</body>", opens=True, tag="%o%") == f"<b>{pixel()}</b></body>"
    assert tracked("<b></b></body>", opens=True, tag="%o%") == f"<b></b>{pixel()}</body>"
    assert tracked("<b>%o%</b>", tag="%o%") == "<b></b>"


def test_plain_text_is_tracked_when_asked() -> None:
    """Addresses alone; the sentence goes on after them."""
    text = TRACKING.text(f"See {URL}. Or mailto:ada@shop.example", NAMED)
    found = re.fullmatch(r"See (\S+)\. Or mailto:ada@shop\.example", text)
    assert found is not None
    assert followed(found[1]) == URL


def test_an_odd_public_address_cannot_break_out_of_the_html() -> None:
    """It is the operator's, and may hold anything but spaces."""
    odd = Tracking(TOKENS, "https://x.example/a\"b&c'd")
    made = odd.html("<a href=https://y.example>", NAMED, opens=True, clicks=True)
    assert made.count('"') == 2 + 10
    assert quote("https://y.example", safe="") in made
