"""Sendara's templates: ``{{ name }}`` is replaced by a value, and anything else stays as it is.

A message with a template whose id begins with ``tmpl_`` passes here between take-over and composition. There are no conditions,
loops or faults of syntax; a value that holds ``{{ name }}`` itself is not looked at again. Work grows with the length of the texts alone.
"""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from postclock.core.errors import MissingVariable, TooLarge
from postclock.core.template import Variable
from postclock.mail.headers import clean

MAX_OUTPUT: Final = (
    10 * 1024 * 1024
)  # bytes of UTF-8 of all the texts of one mail together, as for templates in Handlebars
NAME: Final = re.compile(r"[A-Za-z0-9_]+")
# Possessive: a long name or a long run of spaces without its braces is read once.
_TAG: Final = re.compile(r"\{\{[ \t\r\n\f]*+([A-Za-z0-9_]++)[ \t\r\n\f]*+\}\}")
_json: Final = msgspec.json.Encoder()


class Values:
    """What the variables of a template stand for in one mail; its texts are filled one after the other.

    Each name is resolved to the value given, else the variable's default, else the empty string. Strings stand as they are; numbers,
    booleans, objects and lists as JSON; null counts as not given. Raises MissingVariable when a required variable has neither.
    """

    __slots__ = ("_escaped", "_room", "_values")

    def __init__(self, variables: Sequence[Variable], given: Mapping[str, Any], *, limit: int = MAX_OUTPUT) -> None:
        values = {name: text for name, value in given.items() if (text := _text(value)) is not None}
        for variable in variables:
            if variable.name in values:
                continue
            default = _text(variable.default)
            if default is not None:
                values[variable.name] = default
            elif variable.required:
                raise MissingVariable(f"The template variable {variable.name} is required.", variable.name)
        self._values = values
        self._escaped: dict[str, str] = {}
        self._room = limit

    def text(self, source: str) -> str:
        """Plain text, values verbatim. Raises TooLarge."""
        return self._filled(source, self._values)

    def line(self, source: str) -> str:
        """One line as a header may hold it, such as a subject: a line break becomes a space. Raises TooLarge."""
        return clean(self._filled(source, self._values))

    def html(self, source: str) -> str:
        """HTML, values escaped so that they stand between tags and in quoted attributes as they are. Raises TooLarge."""
        for name in {m[1] for m in _TAG.finditer(source)}:
            if name in self._values and name not in self._escaped:
                self._escaped[name] = html.escape(self._values[name])
        return self._filled(source, self._escaped)

    def _filled(self, source: str, values: Mapping[str, str]) -> str:
        parts: list[str] = []
        done = 0
        for tag in _TAG.finditer(source):
            value = values.get(tag[1], "")
            self._spend(source[done : tag.start()])
            self._spend(value)
            parts += (source[done : tag.start()], value)
            done = tag.end()
        self._spend(source[done:])
        parts.append(source[done:])
        return "".join(parts)

    def _spend(self, text: str) -> None:
        self._room -= len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self._room < 0:
            raise TooLarge("the rendered template is too large")


def _text(value: Any) -> str | None:
    """The value as it stands in a text; None: not given."""
    match value:
        case None:
            return None
        case str():
            return value
        case _:
            return _json.encode(value).decode()
