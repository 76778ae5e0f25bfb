"""The bad fields of one request, gathered so that the caller is told of all of them at once.

Every JSON endpoint fills one of these: first from the shape of the body, then from its meaning; nothing is stored while it holds one.
"""

from typing import Final

from postclock.core.errors import FieldError, Invalid

MAX_LISTED: Final = 100  # an answer is for a person to read: the rest is counted
MAX_COUNTED: Final = 10_000  # nobody mends so many one by one, and each costs a microsecond or two
MAX_FIELD: Final = 200  # keys come from outside: a path is cut so that the answer cannot outgrow the request

# Keys may hold what an answer or a log line must not: controls and lone surrogates.
_UNPRINTABLE: Final = dict.fromkeys((*range(32), *range(127, 160), *range(55296, 57344), 8232, 8233), "�")


class Findings:
    """A growing list of bad fields: as long as what was found, of which at most ``MAX_LISTED`` are listed."""

    __slots__ = ("_errors", "_fields", "_more")

    def __init__(self) -> None:
        self._errors: list[FieldError] = []
        self._fields: set[str] = set()
        self._more = 0

    def __len__(self) -> int:
        return len(self._errors) + self._more

    def add(self, field: str, message: str) -> None:
        """Note a bad field by its dotted path; the empty path is the body as a whole.

        Raises Invalid, with what is listed so far, at the ``MAX_COUNTED``-th.
        """
        if len(self._errors) >= MAX_LISTED:
            self._more += 1
            if len(self) >= MAX_COUNTED:
                raise self.invalid()
            return
        field = field[:MAX_FIELD]
        self._fields.add(field)
        self._errors.append(FieldError(message, _printable(field) or None))

    def add_unless_known(self, field: str, message: str) -> None:
        """Note a bad field unless it, or what holds it, is listed: one mistake is told once."""
        if not self.known(field):
            self.add(field, message)

    def known(self, field: str) -> bool:
        """Whether the field, or something that holds it, is listed already."""
        if not self._fields:
            return False
        if "" in self._fields:
            return True
        field = field[:MAX_FIELD]
        while field:
            if field in self._fields:
                return True
            field = field.rpartition(".")[0]
        return False

    def errors(self) -> list[FieldError]:
        """What was found, in order; the last entry says how many more there are when not all are listed."""
        if not self._more:
            return list(self._errors)
        least = "at least " if len(self) >= MAX_COUNTED else ""
        return [*self._errors, FieldError(f"\u2026and {least}{self._more} more.")]

    def invalid(self) -> Invalid:
        """The refusal to raise."""
        return Invalid(self.errors())


def _printable(field: str) -> str:
    return field.translate(_UNPRINTABLE)
