"""Links are replaced where a reader finds them, and nothing else of a body changes by a single character."""

import time
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.mail.links import MAX_LINK, replace_links, replace_links_in_text
from tests.mail.html_states import links_of

MARK = "https://t.example/?u="


def marked(url: str) -> str | None:
    """Another address for each absolute one."""
    return (
        MARK + quote(url, safe="", errors="surrogatepass") if url.lower().startswith(("http://", "https://")) else None
    )


def seen(html: str) -> list[str]:
    """The addresses of all links."""
    found: list[str] = []
    replace_links(html, lambda url: found.append(url))
    return found


class Events(HTMLParser):
    """What the standard library's parser makes of a document."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.events: list[tuple[str, ...]] = []
        self.links: list[str | None] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A link's address goes aside; everything else is kept as it stands."""
        if tag in ("a", "area"):
            n = next((n for n, (name, _) in enumerate(attrs) if name == "href"), None)
            if n is not None:
                self.links.append(attrs[n][1])
                attrs[n] = ("href", "?")
            self.events.append(("link", tag, repr(attrs)))
        else:
            self.events.append(("start", self.get_starttag_text() or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The same with a slash."""
        self.handle_starttag(tag, attrs)
        self.events.append(("slash",))

    def handle_endtag(self, tag: str) -> None:
        self.events.append(("end", tag))

    def handle_data(self, data: str) -> None:
        self.events.append(("data", data))

    def handle_entityref(self, name: str) -> None:
        self.events.append(("entity", name))

    def handle_charref(self, name: str) -> None:
        self.events.append(("character", name))

    def handle_comment(self, data: str) -> None:
        self.events.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.events.append(("declaration", decl))

    def unknown_decl(self, data: str) -> None:
        self.events.append(("unknown", data))

    def handle_pi(self, data: str) -> None:
        self.events.append(("instruction", data))


AROUND = st.sampled_from(
    [
        "Hello ", "a < b & c &amp; d &nbsp; &#8364;", "\r\n\t", "<br/>", "<br />", "<p class='x'>", "</p >", "</P\n>", "<HR>",
        "<!DOCTYPE html>", '<!-- a comment with <a href="http://in.example/"> -->', "<!---->",
        "<!--[if mso]><a href='http://mso.example/'><![endif]-->", "<![if !mso]>", "<![endif]>",
        "<style>a > b { content: \"<a href='http://css.example'>\" }</style>", "<script>x = '<a href=\"http://js.example\">' < 2;</script>",
        "<p title='<a href=\"http://title.example\">'>", '<img alt="it\'s > that" src=x>', "<img alt=it's>", "<abbr href='http://abbr.example'>",
        "<link href='http://link.example/a.css'>", '<base href="http://base.example/">', "<custom-a href='http://c.example'>", "👋", "İstanbul", "</a>",
    ]
)  # fmt: skip
URLS = st.sampled_from(
    [
        "http://example.com", "https://example.com/a/b?c=d&e=f#g", "HTTPS://EXAMPLE.com/?q=%20+x", "https://example.com/ä?ö=ü", "mailto:ada@example.com",
        "tel:+123", "#top", "/relative", "//host.example/x", "javascript:alert(1)", "", "ftp://example.com/", "https://example.com/'quoted'",
    ]
)  # fmt: skip


@st.composite
def link(draw: st.DrawFn) -> str:
    """A link as people write them."""
    url = draw(URLS).replace("&", draw(st.sampled_from(["&amp;", "&#38;", "&#x26;", "&"])))
    values = [f'"{url}"']
    if "'" not in url:
        values += [f"'{url}'"]
        if url:
            values += [url]
    equals = draw(st.sampled_from(["=", " = ", "=\n"]))
    href = draw(st.sampled_from(["href", "HREF", "Href"])) + equals + draw(st.sampled_from(values))
    before = draw(
        st.sampled_from(
            ["", 'class="a > b" ', "style='x:\"y\"' ", "hidden ", 'data-href="http://data.example" ', "target=_blank\n"]
        )
    )
    after = draw(
        st.sampled_from(["", " title='href=\"http://no.example\"'", " hidden", ' href="http://second.example"', "\t"])
    )
    name = draw(st.sampled_from(["a", "A", "area"]))
    return f"<{name} {before}{href}{after}>link"  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(AROUND | link(), max_size=12).map("".join))
def test_only_addresses_of_links_change(html: str) -> None:
    """Another parser finds the same document before and after, but for the addresses."""
    before, after = Events(html), Events(replace_links(html, marked))
    assert after.events == before.events
    assert after.links == [(marked(url) or url) if url else url for url in before.links]


@settings(deadline=None, max_examples=300)
@given(st.lists(AROUND | link(), max_size=12).map("".join))
def test_a_body_in_which_nothing_is_replaced_stays_as_it_is(html: str) -> None:
    """Byte for byte; and replaced addresses can be put back."""
    assert replace_links(html, lambda _: None) == html
    back = replace_links(
        replace_links(html, marked), lambda url: unquote(url.removeprefix(MARK)) if url.startswith(MARK) else None
    )
    assert Events(back).events == Events(html).events
    assert seen(back) == seen(html)


JUNK = st.lists(
    st.sampled_from(
        ["<", ">", "/", "!", "--", "-", '"', "'", "=", " ", "\n", "a", "A", "area", "href", "href=", "http://x.example", "<a ", "<a href=", "</a>", "<!--",
         "-->", "<script", "</script", "<style>", "</style>", "<title>", "<![CDATA[", "]]>", "<?", "&", "&amp;", "clicktracking=off",
         "\x00", "\ud800", "\u0131"]
    ), max_size=40,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(JUNK | st.text(max_size=100))
def test_junk_raises_nothing_and_keeps_its_shape(html: str) -> None:
    """Whatever it is: left alone where nothing is to be replaced, and with the same links after as before."""
    found = seen(html)
    if "clicktracking" not in html:
        assert replace_links(html, lambda _: None) == html
        assert seen(replace_links(html, marked)) == [marked(url) or url for url in found]
    replace_links_in_text(html, marked)


PIECES = st.lists(
    st.sampled_from(
        ["<", ">", "/", "!", "--", "-", '"', "'", "=", " ", "\n", "?", "a", "A", "area", "b", "href", "href=", "x", "<a ", "<a href=", "<b ", "</a>", "</a ",
         "<!--", "-->", "--!>", "<!", "<?", "<style>", "</style>", "<title>", "</title", "<TEXTAREA ", "</textarea ",
         "'>", '">', " href='http://1.example'", ' href="2"', " href=HTTP://3.example", "/>"]
    ), max_size=30,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=600)
@given(PIECES)
def test_links_are_those_of_the_standards_states(html: str) -> None:
    """The tokenizer of the HTML standard, written down state by state, finds the same, before and after."""
    links = [url.strip(" \t\r\n\f") for url in links_of(html)]
    assert seen(html) == links
    after = [url.strip(" \t\r\n\f") for url in links_of(replace_links(html, marked))]
    assert after == [marked(url) or url for url in links]


@pytest.mark.parametrize(
    ("html", "links"),
    [
        ('<a href="http://x.example/?a=1&copy=2">', ["http://x.example/?a=1&copy=2"]),
        ('<a href="http://x.example/?a=1&copy;2&copyb">', ["http://x.example/?a=1©2&copyb"]),
        ('<a href="http://x.example/?a=1&amp;b=2&#38;c&notit;">', ["http://x.example/?a=1&b=2&c&notit;"]),
        ('<a href="\n http://x.example \t">', ["http://x.example"]),
        ("<a href=http://x.example/>", ["http://x.example/"]),
        ("<a/href='http://x.example'>", ["http://x.example"]),
        ("<a class=x\"y href='http://x.example'>", ["http://x.example"]),
        ('<a =="> href="http://x.example">', []),
        ('<a href="http://1.example" href="http://2.example">', ["http://1.example"]),
        ("<a href>", []),
        ("<a href=>x", [""]),
        ("<aside href='http://x.example'>", []),
        ("<title><a href='http://x.example'></title><a href='http://y.example'>", ["http://y.example"]),
        (
            "<TEXTAREA><a href='http://x.example'></textareas></TextArea ><a href='http://y.example'>",
            ["http://y.example"],
        ),
        ("<style><!-- </style><a href='http://y.example'>-->", ["http://y.example"]),
        ("<style><a href='http://x.example'>", []),
        ("<plaintext></plaintext><a href='http://x.example'>", []),
        ("<script><!-- <script> </script> <a href='http://x.example'>", []),
        ("<script><!-- hidden --></script><a href='http://y.example'>", ["http://y.example"]),
        ("<t\u0131tle><a href='http://y.example'>", ["http://y.example"]),
        ("<!--><a href='http://y.example'>", ["http://y.example"]),
        ("<!---><a href='http://y.example'>", ["http://y.example"]),
        ("<!-- x --!><a href='http://y.example'>", ["http://y.example"]),
        ("<!-- x -- ><a href='http://x.example'>", []),
        ("<!-- - -- ---><a href='http://y.example'>", ["http://y.example"]),
        ("<!-- never closed <a href='http://x.example'>", []),
        ("<![CDATA[ > <a href='http://x.example'> ]]><a href='http://y.example'>", ["http://y.example"]),
        ("</ x='>'<a href='http://y.example'>", ["http://y.example"]),
        ("</p title='>'><a href='http://y.example'>", ["http://y.example"]),
        ("<p title=\"never closed><a href='http://x.example'>", []),
        ("<a href='http://x.example", []),
        ("<3 <a href='http://y.example'>", ["http://y.example"]),
    ],
)
def test_what_a_browser_takes_for_a_link(html: str, links: list[str]) -> None:
    """By the HTML standard's tokenizer, in its odd corners too."""
    assert seen(html) == links


@pytest.mark.parametrize(
    ("html", "after"),
    [
        ('<a clicktracking="off" href="http://x.example">', '<a href="http://x.example">'),
        ('<a href="http://x.example" clicktracking=off>', '<a href="http://x.example">'),
        ("<a href='http://x.example'\n ClickTracking = 'OFF' class=b>", "<a href='http://x.example' class=b>"),
        (
            '<a clicktracking="on" href="http://x.example">',
            f'<a clicktracking="on" href="{MARK}http%3A%2F%2Fx.example">',
        ),
        ('<a title="clicktracking=off" href=http://x.example>', f'<a title="clicktracking=off" href="{MARK}http%3A%2F%2Fx.example">'),
    ],
)  # fmt: skip
def test_a_link_marked_as_untracked_keeps_its_address_and_loses_the_mark(html: str, after: str) -> None:
    """SendGrid's convention; the mark is not HTML and has no business with the reader."""
    assert replace_links(html, marked) == after


def test_the_new_address_is_escaped() -> None:
    """What stands in an attribute must not end it."""
    assert replace_links("<a href='http://x'>", lambda _: "http://y/?a=1&b='\"<") == (
        "<a href='http://y/?a=1&amp;b=&#x27;&quot;&lt;'>"
    )


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("See https://x.example/a, or http://y.example.", ["https://x.example/a", "http://y.example"]),
        ("(https://x.example/a_(b))", ["https://x.example/a_(b)"]),
        ("<https://x.example/?a=b&c=d>", ["https://x.example/?a=b&c=d"]),
        ('"https://x.example"', ["https://x.example"]),
        ("[link](https://x.example/)!", ["https://x.example/"]),
        ("[a (https://x.example/b(c)[d])).].", ["https://x.example/b(c)[d]"]),
        ("\u201chttps://x.example/a\u201d", ["https://x.example/a"]),
        ("\u8bf7\u8bbf\u95eehttps://x.example/a\u3002", ["https://x.example/a"]),
        ("https://x.example/a\u3002\u8c22\u8c22", []),
        ("https://x.example/stra\u00dfe", []),
        ("xhttps://x.example mailto:a@b.example www.x.example", []),
        ("https://x.example/" + "a" * MAX_LINK, []),
    ],
)
def test_addresses_in_plain_text_end_where_a_sentence_goes_on(text: str, links: list[str]) -> None:
    """Punctuation after an address is the sentence's."""
    found: list[str] = []

    def by(url: str) -> None:
        found.append(url)

    assert replace_links_in_text(text, by) == text
    assert found == links
    replaced = replace_links_in_text(text, lambda url: "{" + url + "}")
    assert replaced.replace("{", "").replace("}", "") == text
    assert replaced.count("{") == len(links)


HOSTILE = [
    *("<a ", "<", "</", '<a href="', "<a href=x ", "<a b=", "<!--", "<![CDATA[", "<style>", "<script><!--", '<p a=" b', "&", "<a href=http://x>"),
    *("<script><!--<script></script>", "<!-- - ", "<a clicktracking ", "<a clicktracking=off ", "<a href ='", "https://x" + ")" * 60, "</body"),
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear_in_hostile_bodies(piece: str) -> None:
    """A megabyte takes about ten times as long as a tenth of it: a hundred times would be minutes."""

    def seconds(work: Callable[[str, Callable[[str], str | None]], str], size: int) -> float:
        body = piece * (size // len(piece))
        begun = time.process_time()
        work(body, marked)
        return time.process_time() - begun

    for work in (replace_links, replace_links_in_text):
        assert seconds(work, 1_000_000) < 5


def test_closed_brackets_take_no_longer_than_full_stops() -> None:
    """Each is looked at once: counted anew after each one that goes, they took ten times as long."""

    def seconds(last: str) -> float:
        body = ("https://x/" + last * 1_980 + " ") * 300
        begun = time.process_time()
        assert replace_links_in_text(body, lambda _: "y") == ("y" + last * 1_980 + " ") * 300
        return time.process_time() - begun

    seconds(".")
    assert seconds(")") < 5 * seconds(".") + 0.1
