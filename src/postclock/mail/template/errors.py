"""What a template can be told: where it is wrong, and that it asked for too much.

Inside the engine faults carry an offset into the source; at its door the offset becomes the line and column people read.
"""

from postclock.core.errors import PostclockError


class TemplateError(PostclockError):
    """The template cannot be compiled or rendered. ``line`` and ``column`` count characters from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        self.message, self.line, self.column = message, line, column
        super().__init__(f"line {line}, column {column}: {message}")


class PlacedError(Exception):
    """A fault at ``offset`` of the source; never leaves the package."""

    def __init__(self, message: str, offset: int) -> None:
        self.message, self.offset = message, offset
        super().__init__(message)


def in_source(fault: PlacedError, source: str) -> TemplateError:
    """The same fault, with the line and column of its offset in ``source``."""
    offset = min(fault.offset, len(source))
    line = source.count("\n", 0, offset) + 1
    return TemplateError(fault.message, line, offset - source.rfind("\n", 0, offset))
