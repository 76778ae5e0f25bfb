"""The parsed template: texts, outputs, comments and blocks, and the expressions in their tags.

Texts are mutable because whitespace control trims them after parsing; nothing else changes once built.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Strip:
    """Whether the tag had a ``~`` at its left and at its right end."""

    left: bool = False
    right: bool = False


NO_STRIP: Final = Strip()


@dataclass(frozen=True, slots=True)
class Path:
    """``@../a.b``: ``parent`` levels up, ``data`` for the ``@`` variables; ``name`` when it could name a helper."""

    original: str
    parts: tuple[str, ...]
    parent: int
    data: bool
    name: str | None
    offset: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, boolean, null or undefined (both None) written in a tag."""

    value: str | int | float | bool | None
    original: str
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """``head a b key=c``, in a tag or in parentheses; without arguments it is a plain look-up."""

    head: Path
    arguments: tuple["Expression", ...]
    options: Mapping[str, "Expression"]
    offset: int


Expression = Path | Literal | Call


@dataclass(slots=True)
class Text:
    """Text between tags: ``original`` as written decides what stands alone on its line, ``value`` is what is printed."""

    original: str
    value: str
    left_trimmed: bool = False
    right_trimmed: bool = False


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment: prints nothing, but may take its line along."""

    strip: Strip


@dataclass(frozen=True, slots=True)
class Output:
    """``{{x}}``, or with ``raw`` ``{{{x}}}`` and ``{{&x}}``."""

    call: Call
    raw: bool
    strip: Strip


@dataclass(slots=True)
class Clause:
    """``{{#if x}}`` or ``{{else if x}}`` with what follows it."""

    call: Call
    strip: Strip
    body: list["Node"] = field(default_factory=list)


@dataclass(slots=True)
class Block:
    """A block: its clauses in order (the first opens it), then the part after a plain else, None without one.

    ``inverted`` is the ``{{^x}}`` form, where the first body is for the empty case.
    """

    clauses: list[Clause]
    inverted: bool
    offset: int
    otherwise: list["Node"] | None = None
    otherwise_strip: Strip = NO_STRIP
    close_strip: Strip = NO_STRIP


Node = Text | Comment | Output | Block
