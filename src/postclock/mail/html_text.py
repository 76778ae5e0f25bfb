"""Plain text made from html: the other half of a message whose template has no plain part.

Made once for a template version, not for each message, so it aims at what a reader wants (paragraphs, lists, links), not at
speed. Template expressions in text and in links pass through as they stand.
"""

import re
from html.parser import HTMLParser
from typing import Final

MAX_HTML: Final = 500_000  # characters read: mail programs cut a message at a fifth of that; a second at the worst
MAX_TAG: Final = 10_000  # characters of one tag: the parser reads a broken tag again and again

_UNSEEN: Final = frozenset({"head", "math", "script", "style", "svg", "template", "title"})
_PARAGRAPHS: Final = frozenset(
    {"blockquote", "dl", "fieldset", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"}
)
_LINES: Final = frozenset(
    {
        "address", "article", "aside", "body", "caption", "center", "dd", "div", "dt", "figcaption", "footer", "form",
        "header", "html", "legend", "li", "main", "nav", "option", "section", "tbody", "tfoot", "thead", "tr",
    }
)  # fmt: skip
_VOID: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_LINK: Final = re.compile(r"(?:https?://|mailto:|tel:|\{\{)", re.IGNORECASE)
_SPACES: Final = re.compile(r"[ \t\r\n\f\xa0]+")

# White space is settled at the end, in one pass. Until then breaks are marked by controls that no text can hold.
_NO_CONTROLS: Final = dict.fromkeys((*range(0x09), 0x0B, *range(0x0E, 0x20), *range(0x7F, 0xA0)))
_NEW_LINE, _NEW_PARAGRAPH, _HARD_BREAK, _HARD_SPACE, _BULLET = "\x01", "\x02", "\x03", "\x04", "\x05"
_AFTER_BULLET: Final = re.compile("\x05[ \x01\x02]*")
_GAP: Final = re.compile("[ \x01\x02\x03]+")
_BLANK_LINES: Final = re.compile("\n{3,}")


def text_of(html: str) -> str:
    """The text a reader of the html would see, with LF line ends and one at the end; empty when there is none.

    A link's address follows its text in parentheses, list items begin with ``- `` or a number, an image gives its
    alternative text. At most MAX_HTML characters are read; broken markup gives whatever text is in it, never an error.
    """
    reader = _Reader()
    reader.feed(_tamed(html[:MAX_HTML]))
    reader.close()
    return reader.text()


def _tamed(html: str) -> str:
    """The html without comments and declarations, an unclosed or endless tag as text, so that parsing takes linear time."""
    out = []
    at = 0
    last = html.rfind(">")
    while (start := html.find("<", at)) >= 0:
        out.append(html[at:start])
        if html.startswith("<!--", start):
            end = html.find("-->", start + 4)
            at = len(html) if end < 0 else end + 3
            continue
        end = html.find(">", start, start + MAX_TAG) if start < last else -1
        if html.startswith(("<!", "<?"), start):
            at = len(html) if end < 0 else end + 1
        elif end < 0:
            out.append("&lt;")
            at = start + 1
        else:
            out.append(html[start : end + 1])
            at = end + 1
    out.append(html[at:])
    return "".join(out)


class _Reader(HTMLParser):
    """Collects what is seen of a document."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._unseen = ""
        self._unseen_depth = 0
        self._link: tuple[str, int] | None = None
        self._numbers: list[int] = []  # of the lists around; -1 for one without numbers
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser at each start tag."""
        if self._unseen:
            if tag == self._unseen:
                self._unseen_depth += 1
            if tag != "body":  # the end of a head may be left out
                return
            self._unseen = ""
        style = next((value for name, value in attrs if name == "style" and value), "")
        if tag in _UNSEEN or (tag not in _VOID and "display:none" in style.replace(" ", "").lower()):
            self._unseen, self._unseen_depth = tag, 1
            return
        self._break_at(tag)
        match tag:
            case "br":
                self._out.append(_HARD_BREAK)
            case "hr":
                self._out += _NEW_LINE, "---", _NEW_LINE
            case "td" | "th":
                self._out.append(" ")
            case "img":
                self.handle_data(dict(attrs).get("alt") or "")
            case "a":
                self._end_link()
                self._link = dict(attrs).get("href") or "", len(self._out)
            case "ul" | "ol":
                self._numbers.append(0 if tag == "ol" else -1)
            case "li":
                self._out += self._bullet(), _BULLET
            case "pre":
                self._pre += 1
            case _:
                pass

    def handle_endtag(self, tag: str) -> None:
        """Called by the parser at each end tag."""
        if self._unseen:
            if tag == self._unseen:
                self._unseen_depth -= 1
                if not self._unseen_depth:
                    self._unseen = ""
            return
        if tag == "a":
            self._end_link()
        elif tag in ("ul", "ol") and self._numbers:
            self._numbers.pop()
        elif tag == "pre" and self._pre:
            self._pre -= 1
        self._break_at(tag)

    def handle_data(self, data: str) -> None:
        """Called by the parser with each stretch of text, its character references resolved."""
        if self._unseen:
            return
        data = data.translate(_NO_CONTROLS)
        if self._pre:
            data = data.replace("\r\n", "\n").replace("\n", _HARD_BREAK).replace(" ", _HARD_SPACE)
        self._out.append(_SPACES.sub(" ", data))

    def text(self) -> str:
        """What was collected, its white space settled."""
        self._end_link()
        text = _GAP.sub(_settled, _AFTER_BULLET.sub(_HARD_SPACE, "".join(self._out)))
        text = _BLANK_LINES.sub("\n\n", text.replace(_HARD_SPACE, " ")).strip()
        return text + "\n" if text else ""

    def _break_at(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            # A list in a list goes on line by line.
            self._out.append(_NEW_LINE if tag in ("ul", "ol") and self._numbers else _NEW_PARAGRAPH)
        elif tag in _LINES:
            self._out.append(_NEW_LINE)

    def _bullet(self) -> str:
        indent = _HARD_SPACE * (2 * min(max(len(self._numbers) - 1, 0), 8))
        if not self._numbers or self._numbers[-1] < 0:
            return f"{indent}-"
        self._numbers[-1] += 1
        return f"{indent}{self._numbers[-1]}."

    def _end_link(self) -> None:
        if self._link is None:
            return
        href, start = self._link
        self._link = None
        href = _SPACES.sub(" ", href.translate(_NO_CONTROLS)).strip()
        if not _LINK.match(href):
            return
        shown = "".join(self._out[start:]).strip(" \x01\x02\x03\x04")
        if not shown:
            self._out.append(href)
        elif shown.rstrip("/") not in (href.rstrip("/"), href.partition(":")[2].strip("/")):
            self._out.append(f" ({href})")


def _settled(gap: re.Match[str]) -> str:
    """The white space for a run of spaces and breaks."""
    breaks = gap[0].count(_HARD_BREAK)
    if _NEW_PARAGRAPH in gap[0]:
        breaks = max(breaks, 2)
    elif _NEW_LINE in gap[0]:
        breaks = max(breaks, 1)
    return "\n" * breaks or " "
