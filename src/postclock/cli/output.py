"""How commands speak: one JSON object for programs, aligned columns for people."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import typer

from postclock.core.when import iso


def say(value: Mapping[str, Any], *lines: str, as_json: bool) -> None:
    """Print ``value`` as one JSON object on one line, or ``lines`` for a person."""
    if as_json:
        typer.echo(msgspec.json.encode(value).decode())
    else:
        for line in lines:
            typer.echo(line)


def columns(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of aligned columns under their titles; None shows as a dash."""
    texts = [list(titles), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in texts) for n in range(len(titles))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts]


def moment(ms: int | None) -> str | None:
    """UTC milliseconds as ISO 8601; None stays None."""
    return None if ms is None else iso(ms)


def _text(cell: object) -> str:
    match cell:
        case None | "":
            return "-"
        case bool():
            return "yes" if cell else "no"
        case _:
            return str(cell)
