"""The helpers a template may call: Handlebars' ``lookup`` and SendGrid's comparisons, lengths, defaults and dates.

Each is a function of its arguments that pays from the budget for work that grows with them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from postclock.mail.template.budget import STEP_CHARACTERS, Budget
from postclock.mail.template.errors import PlacedError
from postclock.mail.template.format_date import format_date
from postclock.mail.template.values import equal, index_of, is_empty, less, member, text_of

_DEFAULT_MARK: Final = "default="
_DATE_STEPS: Final = 40  # formatting a date costs about as much as forty look-ups


@dataclass(frozen=True, slots=True)
class Helper:
    """``run(arguments, options, budget, offset)`` with ``least`` to ``most`` arguments and the ``options`` it knows.

    ``condition`` helpers answer yes or no and may open a block.
    """

    run: Callable[[list[Any], Mapping[str, Any], Budget, int], Any]
    least: int
    most: int
    condition: bool = False
    options: frozenset[str] = frozenset()


def _if(values: list[Any], options: Mapping[str, Any], _budget: Budget, _offset: int) -> bool:
    value = values[0]
    if type(value) in (int, float) and value == 0 and options:
        return not is_empty(options["includeZero"])
    return not is_empty(value)


def _unless(values: list[Any], options: Mapping[str, Any], budget: Budget, offset: int) -> bool:
    return not _if(values, options, budget, offset)


def _lookup(values: list[Any], _options: Mapping[str, Any], budget: Budget, offset: int) -> Any:
    holder, key = values
    if not holder and not isinstance(holder, dict | list | tuple):
        return holder  # nothing to look in: Handlebars answers with that nothing (false, 0) itself
    if isinstance(key, dict | list | tuple):
        return None
    name = text_of(key, budget, offset)
    budget.spend(len(name) // STEP_CHARACTERS, offset)
    return member(holder, name, index_of(name))


def _length(values: list[Any], _options: Mapping[str, Any], _budget: Budget, _offset: int) -> int:
    return len(values[0]) if isinstance(values[0], str | list | tuple) else 0


def _insert(values: list[Any], options: Mapping[str, Any], budget: Budget, offset: int) -> Any:
    if values[0] is not None and values[0] != "":
        return values[0]
    if len(values) == 1:
        return options.get("default")
    default = values[1]
    if isinstance(default, str) and default.startswith(_DEFAULT_MARK):
        budget.spend(len(default) // STEP_CHARACTERS, offset)
        return default[len(_DEFAULT_MARK) :]
    return default


def _format_date(values: list[Any], _options: Mapping[str, Any], budget: Budget, offset: int) -> Any:
    budget.spend(_DATE_STEPS, offset)
    pattern = values[1] if len(values) > 1 else None
    if not isinstance(pattern, str) or not pattern:
        return values[0]
    try:
        shown = format_date(values[0], pattern, values[2] if len(values) > 2 else None)
    except ValueError as e:
        raise PlacedError(str(e), offset) from None
    return values[0] if shown is None else shown


_MANY: Final = 64  # arguments of and/or

HELPERS: Final[Mapping[str, Helper]] = {
    "if": Helper(_if, 1, 1, condition=True, options=frozenset({"includeZero"})),
    "unless": Helper(_unless, 1, 1, condition=True, options=frozenset({"includeZero"})),
    "equals": Helper(lambda v, _, b, o: equal(v[0], v[1], b, o), 2, 2, condition=True),
    "notEquals": Helper(lambda v, _, b, o: not equal(v[0], v[1], b, o), 2, 2, condition=True),
    "greaterThan": Helper(lambda v, _, b, o: less(v[1], v[0], b, o), 2, 2, condition=True),
    "lessThan": Helper(lambda v, _, b, o: less(v[0], v[1], b, o), 2, 2, condition=True),
    "and": Helper(lambda v, _o, _b, _f: not any(map(is_empty, v)), 1, _MANY, condition=True),
    "or": Helper(lambda v, _o, _b, _f: not all(map(is_empty, v)), 1, _MANY, condition=True),
    "lookup": Helper(_lookup, 2, 2),
    "length": Helper(_length, 1, 1),
    "insert": Helper(_insert, 1, 2, options=frozenset({"default"})),
    "formatDate": Helper(_format_date, 1, 3),
}
SCOPED: Final = frozenset({"each", "with"})  # blocks that change what `this` is; the interpreter knows them
HANDLEBARS: Final = frozenset({"if", "unless", "lookup"}) | SCOPED  # never the name of a variable
BLOCK_ONLY: Final = frozenset({"if", "unless"}) | SCOPED
