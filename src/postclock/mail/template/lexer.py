"""Cuts a template's source into texts and tags, and tags into tokens, by the rules of Handlebars.

One pass, no look-back: each character is read a bounded number of times whatever the source holds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from postclock.mail.template.errors import PlacedError
from postclock.mail.template.tree import Strip

# What ECMAScript calls white space; Python's idea of it differs at the edges.
SPACES: Final = (
    "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

TagKind = Literal["output", "raw", "open", "inverted", "else", "else-chain", "close", "comment"]
TokenKind = Literal["name", "bracket", "string", "number", "word", "up", "dot", "separator", "@", "(", ")", "="]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a tag; ``text`` is unquoted for strings and bracketed names."""

    kind: TokenKind
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Tag:
    """A whole tag; ``offset`` is where its braces open, ``end`` the first character behind it."""

    kind: TagKind
    tokens: tuple[Token, ...]
    strip: Strip
    offset: int
    end: int


_SPACE: Final = f"[{SPACES}]"
_OPENING: Final = re.compile(
    r"\{\{(?P<left>~)?(?:"
    r"(?P<comment>!)|(?P<partial>\#?>)|(?P<decorator>\#?\*)|(?P<open>\#)|(?P<close>/)"
    rf"|(?P<caret>\^)|(?P<raw>[{{&])|(?P<else>{_SPACE}*else\b)|(?P<output>))"
)
_TOKEN: Final = re.compile(
    rf"(?P<space>{_SPACE}++)"
    r"|(?P<end3>\}~?\}\})|(?P<end>~?\}\})"
    r"|(?P<punctuation>[()@=])"
    rf"|(?P<up>\.\.)|(?P<dot>\.(?=[=~}}/.)|\]{SPACES}]))|(?P<separator>[/.])"
    rf"|(?P<word>(?:true|false|null|undefined)(?=[~}})\]{SPACES}]))"
    rf"|(?P<number>-?[0-9]++(?:\.[0-9]++)?(?=[~}})\]{SPACES}]))"
    rf"|(?P<name>[^{SPACES}!\"#%&'()*+,./;<=>@\[\\\]^`{{|}}~]++(?=[=~}}/.)|\]{SPACES}]|\Z))"
    r"|(?P<quote>[\"'\[])"
)
_KINDS: Final[dict[str, TagKind]] = {
    "open": "open",
    "close": "close",
    "raw": "raw",
    "caret": "inverted",
    "else": "else",
}
_COMMENT_END: Final = re.compile(r"--~?\}\}")
MAX_TOKENS: Final = 1000  # of one tag; a long chain of arguments has ten
_MAX_NUMBER: Final = 64  # characters of a number; JavaScript keeps 17 digits of them


def scan(source: str) -> Iterator[str | Tag]:
    """The texts and tags of ``source`` in order; PlacedError on a tag that cannot be read."""
    at = 0
    while (brace := source.find("{{", at)) >= 0:
        # A backslash makes the braces plain text up to the next tag, two stand for one.
        if source.endswith("\\", at, brace) and not source.endswith("\\\\", at, brace):
            if brace - 1 > at:
                yield source[at : brace - 1]
            at = _end_of_escaped(source, brace)
            yield source[brace:at]
            continue
        text = source[at : brace - 1] if source.endswith("\\\\", at, brace) else source[at:brace]
        if text:
            yield text
        tag = _tag(source, brace)
        at = tag.end
        yield tag
    if at < len(source):
        yield source[at:]


def _end_of_escaped(source: str, brace: int) -> int:
    end = source.find("{{", brace + 2)
    if end < 0:
        return len(source)
    for _ in range(2):
        if end - 1 >= brace + 2 and source[end - 1] == "\\":
            end -= 1
    return end


def _tag(source: str, offset: int) -> Tag:
    opening = _OPENING.match(source, offset)
    assert opening is not None
    left = opening["left"] is not None
    what = opening.lastgroup
    if what == "comment":
        return _comment(source, offset, opening.end(), left=left)
    if what == "partial":
        raise PlacedError("partials are not supported", offset)
    if what == "decorator":
        raise PlacedError("decorators are not supported", offset)
    triple = opening["raw"] == "{"
    if triple and source.startswith("{", opening.end()):
        raise PlacedError("raw blocks are not supported", offset)
    tokens, end, right = _tokens(source, opening.end(), offset, triple=triple)
    kind: TagKind = _KINDS.get(what or "", "output")
    if kind == "inverted" and not tokens:
        kind = "else"
    elif kind == "else" and tokens:
        kind = "else-chain"
    if not tokens and kind != "else":
        raise PlacedError("empty tag", offset)
    return Tag(kind, tuple(tokens), Strip(left, right), offset, end)


def _comment(source: str, offset: int, start: int, *, left: bool) -> Tag:
    if not source.startswith("--", start):
        end = source.find("}}", start)
        if end < 0:
            raise PlacedError("the comment is not closed", offset)
        return Tag("comment", (), Strip(left, source[end - 1] == "~"), offset, end + 2)
    ending = _COMMENT_END.search(source, start)
    if ending is None:
        raise PlacedError("the comment is not closed with --}}", offset)
    return Tag("comment", (), Strip(left, "~" in ending[0]), offset, ending.end())


def _tokens(source: str, at: int, offset: int, *, triple: bool) -> tuple[list[Token], int, bool]:
    """The tokens from ``at`` to the closing braces, where those end, and whether a ``~`` stood there."""
    tokens: list[Token] = []
    while (match := _TOKEN.match(source, at)) is not None:
        if len(tokens) > MAX_TOKENS:
            raise PlacedError(f"the tag has more than {MAX_TOKENS} parts", offset)
        kind, text, start = match.lastgroup, match[0], at
        at = match.end()
        if kind == "space":
            continue
        if kind == "end3" or kind == "end":
            if (kind == "end3") is not triple:
                raise PlacedError("the tag opens with a different number of braces than it closes with", start)
            return tokens, at, "~" in text
        if kind == "quote":
            token, at = _quoted(source, start)
            tokens.append(token)
        elif kind == "punctuation":
            tokens.append(Token(text, text, start))  # type: ignore[arg-type]
        else:
            if kind == "number" and len(text) > _MAX_NUMBER:
                raise PlacedError(f"a number is longer than {_MAX_NUMBER} characters", start)
            tokens.append(Token(kind, text, start))  # type: ignore[arg-type]
    if not source[at:].strip(SPACES):
        raise PlacedError("the tag is not closed", offset)
    raise PlacedError(f"unexpected {source[at]!r} in a tag", at)


def _quoted(source: str, start: int) -> tuple[Token, int]:
    """A string or a ``[name]``; a backslash escapes the closing mark, and in brackets itself."""
    mark = "]" if source[start] == "[" else source[start]
    end = source.find(mark, start + 1)
    while end >= 0 and source[end - 1] == "\\":
        end = source.find(mark, end + 1)
    if end < 0:
        raise PlacedError("the name in brackets is not closed" if mark == "]" else "the string is not closed", start)
    text = source[start + 1 : end]
    if mark == "]":
        return Token("bracket", re.sub(r"\\([\\\]])", r"\1", text), start), end + 1
    return Token("string", text.replace("\\" + mark, mark), start), end + 1
