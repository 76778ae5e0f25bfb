"""Plain text from html: what a reader would see, in bounded time, from any markup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.mail.html_text import MAX_HTML, MAX_TAG, text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("<p></p>", ""),
        ("plain", "plain\n"),
        ("<p>One   two\n three</p><p>four</p>", "One two three\n\nfour\n"),
        ("a<br>b<br/><br>c", "a\nb\n\nc\n"),
        ("<div>a</div><div>b</div>c", "a\nb\nc\n"),
        ("<b>a</b> <i>b</i>c", "a bc\n"),
        ("&lt;a&gt; &amp; &eacute;&#233;&nbsp;x", "<a> & éé x\n"),
        ("<ul><li>a</li><li><p>b</p></li></ul>", "- a\n- b\n"),
        ("<ol><li>a<li>b<ul><li>c</ul></ol>", "1. a\n2. b\n  - c\n"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc\n"),
        ("<pre>a\n  b</pre>", "a\n  b\n"),
        ("a<hr>b", "a\n---\nb\n"),
        ('<img alt="Logo" src="cid:x"> x', "Logo x\n"),
        ("<head><title>t</title><style>p{}</style></head><body>x<script>y</script>", "x\n"),
        ("<head><title>t</title><body>x", "x\n"),
        ("a<!-- hidden <b> -->b<!doctype html><?php x ?>c", "abc\n"),
        ("<!--[if mso]>no<![endif]-->a<!--[if !mso]><!-->b<!--<![endif]-->", "ab\n"),
        ('<div style="Display: none">x<div>y</div>z</div>a', "a\n"),
        ("1 < 2 and a<b", "1 < 2 and a<b\n"),
        ("a\x00\x01\x02b", "ab\n"),
    ],
)
def test_what_a_reader_sees(html: str, text: str) -> None:
    """Paragraphs, lines, lists, tables and characters come out as text; what is not shown does not."""
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://example.com/a">here</a>.', "here (https://example.com/a).\n"),
        ('<a href="https://example.com">https://example.com/</a>', "https://example.com/\n"),
        ('<a href="https://example.com/">example.com</a>', "example.com\n"),
        ('<a href="mailto:a@example.com">a@example.com</a>', "a@example.com\n"),
        ('<a href="https://example.com"><img src="x"></a>', "https://example.com\n"),
        ('<a href="javascript:x()">x</a> <a href="#top">top</a> <a>none</a>', "x top none\n"),
        ('<a href="https://a.example">a <a href="https://b.example">b', "a (https://a.example)b (https://b.example)\n"),
        ('Dear {{name}}, <a href="{{link}}">go</a>', "Dear {{name}}, go ({{link}})\n"),
    ],
)
def test_links_are_not_lost(html: str, text: str) -> None:
    """The address follows the text, unless the text is the address."""
    assert text_of(html) == text


PIECES = st.sampled_from(
    ["<", ">", "<p", "</p>", "<!--", "-->", "<a href='", "'", '"', "<pre>", "&#", ";", " ", "x", "<li>", "\x01"]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join) | st.text())
def test_any_markup_gives_a_text(html: str) -> None:
    """Broken markup raises nothing, and no mark of the reader's own is left in the text."""
    text = text_of(html)
    assert not set(text) & {chr(n) for n in range(0x20) if n != 0x0A}
    assert text == "" or text.endswith("\n")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "pattern", ["<!--", "<", "<a ", "</a", "<![CDATA[", '<a x="', "&#", "<script>", "<a " + "' " * 4000 + ">"]
)
def test_hostile_markup_takes_linear_time(pattern: str) -> None:
    """Markup that never closes is read in seconds, not in minutes."""
    text_of(pattern * (MAX_HTML // len(pattern)))


def test_markup_has_bounds() -> None:
    """What stands beyond the bound is not read; an endless tag is text."""
    assert text_of("x" * MAX_HTML + "end") == "x" * MAX_HTML + "\n"
    assert text_of(f"<{'b' * MAX_TAG}>").startswith("<bbb")
