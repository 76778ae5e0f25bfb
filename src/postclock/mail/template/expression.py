"""Reads the inside of a tag: paths, literals, helper calls with arguments and options, parentheses in parentheses."""

from typing import Final

from postclock.mail.template.errors import PlacedError
from postclock.mail.template.lexer import Tag, Token
from postclock.mail.template.tree import Call, Expression, Literal, Path

MAX_PARENTHESES: Final = 16  # each level is a call on the interpreter's stack; nobody writes more than three
_WORDS: Final = {"true": True, "false": False, "null": None, "undefined": None}
_SEGMENTS: Final = frozenset({"name", "bracket", "number", "word", "up", "dot"})


def read_call(tag: Tag) -> Call:
    """The tag's content as a call; PlacedError where it makes no sense."""
    reader = _Reader(tag.tokens, tag.offset)
    call = reader.call(0)
    if (token := reader.peek()) is not None:
        raise PlacedError(f"unexpected {token.text!r} in a tag", token.offset)
    return call


class _Reader:
    def __init__(self, tokens: tuple[Token, ...], offset: int) -> None:
        self._tokens, self._at, self._offset = tokens, 0, offset

    def peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def call(self, depth: int) -> Call:
        head = self._value(depth)
        if isinstance(head, Literal):
            # A literal in the place of the name is the name: {{"first name"}}, {{12}}.
            name = head.value if isinstance(head.value, str) else head.original
            head = Path(name, (name,), 0, data=False, name=name, offset=head.offset)
        if isinstance(head, Call):
            raise PlacedError("a tag cannot begin with parentheses", head.offset)
        arguments: list[Expression] = []
        options: dict[str, Expression] = {}
        while (token := self.peek()) is not None and token.kind != ")":
            following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
            if token.kind in ("name", "bracket", "word", "number") and following is not None and following.kind == "=":
                self._at += 2
                options[token.text] = self._value(depth)
            elif options:
                raise PlacedError("an argument stands behind an option", token.offset)
            else:
                arguments.append(self._value(depth))
        return Call(head, tuple(arguments), options, head.offset)

    def _value(self, depth: int) -> Expression:
        token = self.peek()
        if token is None:
            raise PlacedError("a value is missing in a tag", self._offset)
        match token.kind:
            case "string":
                self._at += 1
                return Literal(token.text, token.text, token.offset)
            case "number":
                self._at += 1
                number = float(token.text) if "." in token.text else int(token.text)
                return Literal(number, token.text, token.offset)
            case "word":
                self._at += 1
                return Literal(_WORDS[token.text], token.text, token.offset)
            case "(":
                if depth >= MAX_PARENTHESES:
                    raise PlacedError(f"parentheses are nested deeper than {MAX_PARENTHESES}", token.offset)
                self._at += 1
                call = self.call(depth + 1)
                closing = self.peek()
                if closing is None:
                    raise PlacedError("the parenthesis is not closed", token.offset)
                self._at += 1
                return call
            case "@" | "name" | "bracket" | "up" | "dot":
                return self._path()
            case _:
                raise PlacedError(f"unexpected {token.text!r} in a tag", token.offset)

    def _path(self) -> Path:
        offset = self._tokens[self._at].offset
        data = self._tokens[self._at].kind == "@"
        original = ["@"] if data else []
        self._at += data
        parts: list[str] = []
        parent = 0
        scoped = False
        while True:
            token = self.peek()
            if token is None or token.kind not in _SEGMENTS:
                raise PlacedError("a name is missing in a path", token.offset if token else self._offset)
            self._at += 1
            original.append(token.text)
            if token.kind in ("up", "dot") or (token.kind == "name" and token.text == "this"):
                if parts:
                    raise PlacedError(f"{token.text!r} cannot stand in the middle of a path", token.offset)
                scoped = True
                parent += token.kind == "up"
            else:
                parts.append(token.text)
            separator = self.peek()
            if separator is None or separator.kind != "separator":
                break
            self._at += 1
            original.append(separator.text)
        name = parts[0] if len(parts) == 1 and not (scoped or data) else None
        return Path("".join(original), tuple(parts), parent, data, name, offset)
