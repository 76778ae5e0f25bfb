"""SQL read as SQL: named blocks in ``.sql`` files, the same names in every backend.

A block starts at a line ``-- name: word``; comment lines after it belong to it. A placeholder ``{step:cancel}`` stands for the
allowed sources of that step, ``{set:waiting}`` for a set of states: the tables of core/lifecycle.py are where they come from.
"""

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Final

from postclock.core import lifecycle
from postclock.core.lifecycle import State, Step

_NAME: Final = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_PLACE: Final = re.compile(r"\{(step|set|state):(\w+)\}")


def _list(states: Iterable[State]) -> str:
    return "(" + ", ".join(str(int(s)) for s in sorted(states)) + ")"


def _fill(match: re.Match[str]) -> str:
    kind, word = match.groups()
    match kind:
        case "step":
            return _list(lifecycle.sources(Step[word]))
        case "set":
            states = getattr(lifecycle, word.upper())
            return _list(states)
        case _:
            return str(int(State[word]))


def load(package: str, name: str) -> dict[str, str]:
    """The named blocks of ``name.sql`` in ``package``; raises ValueError when a name stands twice."""
    text = (files(package) / f"{name}.sql").read_text("utf-8")
    parts = _NAME.split(text)
    blocks: dict[str, str] = {}
    for block, sql in zip(parts[1::2], parts[2::2], strict=True):
        if block in blocks:
            raise ValueError(f"{name}.sql has two blocks named {block}")
        lines = [line for line in sql.strip().splitlines() if not line.startswith("--")]
        blocks[block] = _PLACE.sub(_fill, "\n".join(lines)).rstrip().rstrip(";")
    return blocks
