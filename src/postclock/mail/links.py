"""The links of a body: found where a reader finds them, replaced in place, and everything else left byte for byte.

Rendered HTML or text goes in, the same with other addresses comes out; what is done with an address is the caller's word (see
tracking). The HTML is tokenized as the HTML standard says (section 13.2.5), by two expressions that never go back: time is linear
whatever the HTML holds, and from the first thing on that a browser would not read to its end nothing is touched.
"""

import re
from collections.abc import Callable
from html import escape, unescape
from html.entities import html5
from typing import Final
from unicodedata import category

Replace = Callable[[str], str | None]
"""The new address for an address as a browser would take it; None leaves the link as it is."""

MAX_LINK: Final = 2_000  # characters of an address: mail programs and proxies cut longer ones

_W: Final = r"[ \t\r\n\f]"
_NAME: Final = r"(?:=[^ \t\r\n\f/>=]*+|[^ \t\r\n\f/>=]++)"
_VALUE: Final = r"""(?:"[^"]*+"|'[^']*+'|[^ \t\r\n\f>"'][^ \t\r\n\f>]*+|(?=>))"""
# A quote that is never closed must fail the tag, so "no value" is only where no "=" follows.
_ATTRIBUTE: Final = rf"[ \t\r\n\f/]*+{_NAME}(?:{_W}*+={_W}*+{_VALUE}|(?!{_W}*+=))"
_USUAL: Final = r'(?: [a-zA-Z-]++="[^"]*+")*+'  # how nearly all attributes are written: a third of the time
_REST: Final = rf"{_USUAL}(?:{_ATTRIBUTE})*+[ \t\r\n\f/]*+>"
_RAW: Final = ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "plaintext")
_OF_INTEREST: Final = (
    r"(?:[aA](?i:rea)?+|[sS](?i:cript|tyle)|[tT](?i:itle|extarea)|[xX](?i:mp)|[iI](?i:frame)|[nN](?i:oembed|oframes)"
    r"|[pP](?i:laintext))(?=[ \t\r\n\f/>])"
)
_COMMENT: Final = r"<!--(?:-?>|(?:[^-]++|-(?!-!?>))*+--!?>)"
_BOGUS: Final = r"<!(?!--|\[CDATA\[)[^>]*+>|<\?[^>]*+>|</[^a-zA-Z>][^>]*+>|</>"
_CDATA: Final = r"<!\[CDATA\[(?:[^\]]++|\](?!\]>))*+\]\]>"  # text in SVG, a comment elsewhere: passed over in both
_NEXT: Final = re.compile(
    rf"(?:[^<]*+(?:</[a-zA-Z]++>|<(?!{_OF_INTEREST})[a-zA-Z][^ \t\r\n\f/>]*+{_REST}|</[a-zA-Z][^ \t\r\n\f/>]*+{_REST}"
    rf"|<(?![a-zA-Z/!?])|{_COMMENT}|{_BOGUS}|{_CDATA}))*+[^<]*+<({_OF_INTEREST}){_REST}",
    re.ASCII,  # else a letter without its dot makes other names
)
_HREF: Final = re.compile(
    rf"(?:(?![ \t\r\n\f/]*+[hH][rR][eE][fF][ \t\r\n\f/=>]){_ATTRIBUTE})*+[ \t\r\n\f/]*+[hH][rR][eE][fF]{_W}*+={_W}*+({_VALUE})"
)
_MARK: Final = re.compile(
    rf"(?:(?![ \t\r\n\f/]*+(?i:clicktracking)[ \t\r\n\f/=>]){_ATTRIBUTE})*+"
    rf"([ \t\r\n\f/]*+(?i:clicktracking){_W}*+={_W}*+(?i:\"off\"|'off'|off(?=[ \t\r\n\f>])))",
    re.ASCII,
)
_ENDS: Final = {name: re.compile(rf"</{name}(?=[ \t\r\n\f/>])", re.IGNORECASE | re.ASCII) for name in _RAW}
_QUOTES: Final = ('"', "'")
_REFERENCE: Final = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[a-zA-Z][a-zA-Z0-9]*+(?:;|(?!=)))")

_IN_TEXT: Final = re.compile(r'(?<![0-9A-Za-z+.-])[hH][tT][tT][pP][sS]?://[^\s<>"]++')
_CLOSERS: Final = {")": "(", "]": "[", "}": "{"}
_SENTENCE: Final = ".,;:!?'*_~"


def replace_links(html: str, by: Replace) -> str:
    """The HTML with the ``href`` of each ``a`` and ``area`` replaced by what ``by`` says. Raises nothing of its own.

    A link marked ``clicktracking="off"`` (SendGrid's convention) keeps its address and loses the mark.
    """
    out: list[str] = []
    at = kept = 0
    while (found := _NEXT.match(html, at)) is not None:
        name = found[1].lower()
        at = found.end()
        if name in ("a", "area"):
            change = _change(html, found.end(1), at, by)
            if change is not None:
                out += html[kept : change[0]], change[2]
                kept = change[1]
            continue
        ending = _ENDS[name].search(html, at) if name != "plaintext" else None
        if ending is None or (name == "script" and _is_tangled(html[at : ending.start()])):
            break
        at = ending.start()
    out.append(html[kept:])
    return "".join(out)


def _is_tangled(script: str) -> bool:
    """Whether the script's end may not be its end (the script data double escaped state of the standard)."""
    comment = script.find("<!--")
    return comment >= 0 and script.lower().find("<script", comment) >= 0


def _change(html: str, start: int, end: int, by: Replace) -> tuple[int, int, str] | None:
    """What to change between the name and the end of a link's tag: (from, to, new)."""
    if "clicktracking" in html[start:end].lower() and (mark := _MARK.match(html, start, end)) is not None:
        return (*mark.span(1), "")
    found = _HREF.match(html, start, end)  # of two the first counts
    if found is None:
        return None
    first, last = found.span(1)
    if last - first > 10 * MAX_LINK:  # with every character written as a reference
        return None
    quote = html[first : first + 1]
    written = html[first + 1 : last - 1] if quote in _QUOTES else html[first:last]
    new = by(_unescaped(written).strip(" \t\r\n\f"))
    if new is None:
        return None
    quote = quote if quote in _QUOTES else '"'
    return first, last, f"{quote}{escape(new)}{quote}"


def _unescaped(value: str) -> str:
    """An attribute's value as a browser reads it: ``&copy=1`` stands for itself there (section 13.2.5.73)."""
    ampersands = value.count("&")
    if ampersands == value.count("&amp;"):  # nearly always, and a tenth of the time
        return value.replace("&amp;", "&") if ampersands else value
    return _REFERENCE.sub(_character, value)


def _character(reference: re.Match[str]) -> str:
    written = reference[0]
    return unescape(written) if written[1] == "#" or written[1:] in html5 else written


def replace_links_in_text(text: str, by: Replace) -> str:
    """The plain text with each address in it replaced by what ``by`` says; a sentence's end is not part of an address.

    An address that has, or runs on into, characters beyond ASCII is left as it is.
    """

    def replaced(found: re.Match[str]) -> str:
        whole = found[0]
        if len(whole) > MAX_LINK:
            return whole
        address = _without_end(whole)
        if not address.isascii():  # it may have ended before: Chinese and Japanese put no space after it
            return whole
        new = by(address)
        return whole if new is None else new + whole[len(address) :]

    return _IN_TEXT.sub(replaced, text)


def _without_end(address: str) -> str:
    end = len(address)
    alone: dict[str, int] = {}  # closers without their opener; counted once, for there may be thousands
    while end:
        last = address[end - 1]
        if last in _CLOSERS:
            if last not in alone:
                alone[last] = address.count(last) - address.count(_CLOSERS[last])
            if alone[last] <= 0:
                break
            alone[last] -= 1
        elif last not in _SENTENCE and (last.isascii() or category(last)[0] != "P"):
            break
        end -= 1
    return address[:end]
