"""JSON values as Handlebars sees them: what is empty, how they print, how two compare, what a name finds in them.

Look-ups read dicts and lists only. No attribute of a value is ever read by a name from a template.
"""

import re
from typing import Any, Final

from postclock.mail.template.budget import STEP_CHARACTERS, Budget

_MAX_NUMERIC: Final = 400  # characters of a string that is still tried as a number; a double needs 25
_NUMERIC: Final = re.compile(r"\s*+[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?\s*+")
_EXACT: Final = 2**53  # up to here a double holds every integer
_PLAIN_INTEGERS: Final = 10**21  # from here on JavaScript prints an exponent


def is_empty(value: Any) -> bool:
    """Handlebars' falsity: false, null, undefined, "", 0, NaN and the empty list; an empty object is not."""
    if isinstance(value, float):
        return value == 0 or value != value
    return not value and not isinstance(value, dict)


def member(value: Any, name: str, index: int | None) -> Any:
    """``value.name``: a key of a dict, an item of a list (``index`` is ``name`` as a number), or a length; else None."""
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list | tuple):
        if index is not None:
            return value[index] if index < len(value) else None
        return len(value) if name == "length" else None
    if isinstance(value, str) and name == "length":
        return len(value)
    return None


is_unsafe: Final = re.compile(r"""[&<>"'`=]""").search  # whether a text has anything to escape


def index_of(name: str) -> int | None:
    """``name`` as a list index when it is one as JavaScript writes it (``0``, ``17``, not ``01``)."""
    if len(name) > 15 or not (name.isascii() and name.isdigit()):
        return None
    return int(name) if name == "0" or name[0] != "0" else None


def escape(text: str) -> str:
    """``text`` safe in HTML text and quoted attributes, with the seven entities of Handlebars. See ``is_unsafe``."""
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("'", "&#x27;")
        .replace("`", "&#x60;")
        .replace("=", "&#x3D;")
    )


def size_of(text: str) -> int:
    """Bytes of ``text`` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def text_of(value: Any, budget: Budget, offset: int) -> str:
    """``value`` as JavaScript prints it, null and undefined as nothing; a list costs a step for each item."""
    if type(value) is int and -_EXACT < value < _EXACT:
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return _joined(value, budget, offset)
    return _scalar(value)


def _scalar(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            # Larger than JavaScript's exact integers it still prints in full: an order number must not be rounded.
            return str(value) if -_PLAIN_INTEGERS < value < _PLAIN_INTEGERS else _number(_to_float(value))
        case float():
            return _number(value)
        case _:
            return "[object Object]"


def _joined(items: list[Any] | tuple[Any, ...], budget: Budget, offset: int) -> str:
    """The items joined by commas, lists in lists likewise. Walks with its own stack: data may be nested at will."""
    parts: list[str] = []
    room = budget.output
    stack = [iter(items)]
    fresh = True
    while stack:
        for item in stack[-1]:
            budget.spend(1, offset)
            if not fresh:
                parts.append(",")
            fresh = False
            if isinstance(item, list | tuple):
                stack.append(iter(item))
                fresh = True
                break
            text = item if isinstance(item, str) else _scalar(item)
            budget.steps -= isinstance(item, float)
            room -= len(text)
            if room < 0:
                budget.output = room
                raise budget.overdrawn(offset)
            parts.append(text)
        else:
            stack.pop()
            fresh = False
    return "".join(parts)


def _to_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _number(value: float) -> str:
    """ECMAScript's Number::toString: the shortest digits, an exponent from 1e21 up and below 1e-6."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value.is_integer() and abs(value) < _PLAIN_INTEGERS:
        return str(int(value)) if abs(value) < _EXACT else _digits(value)
    shown = repr(value)
    return _digits(value) if "e" in shown else shown


def _digits(value: float) -> str:
    sign = "-" if value < 0 else ""
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return f"{sign}{digits}{'0' * (point - count)}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    exponent = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"{sign}{digits[0]}{'.' + digits[1:] if count > 1 else ''}{exponent}"


def as_number(value: Any) -> float | int | None:
    """``value`` as a number: numbers, booleans, and strings that hold one; else None."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and len(value) <= _MAX_NUMERIC and _NUMERIC.fullmatch(value):
        return float(value) if any(c in value for c in ".eE") or len(value) > 18 else int(value)
    return None


def equal(a: Any, b: Any, budget: Budget, offset: int) -> bool:
    """Equal after coercion, as SendGrid says of ``equals``: 3 and "3" are, and so are true and "true"."""
    if isinstance(a, str) and isinstance(b, str):
        if len(a) != len(b):
            return False
        budget.spend(len(a) // STEP_CHARACTERS, offset)
        return a == b
    if isinstance(a, dict | list | tuple) or isinstance(b, dict | list | tuple):
        return a is b
    if a is None or b is None:
        return a is b
    if isinstance(a, bool) and isinstance(b, str):
        a, b = b, a
    if isinstance(a, str) and isinstance(b, bool) and a in ("true", "false"):
        return (a == "true") is b
    left, right = as_number(a), as_number(b)
    return left is not None and right is not None and left == right


def less(a: Any, b: Any, budget: Budget, offset: int) -> bool:
    """Less as numbers where both are; two other strings by their characters; anything else is not comparable."""
    left, right = as_number(a), as_number(b)
    if left is not None and right is not None:
        return left < right
    if isinstance(a, str) and isinstance(b, str):
        budget.spend(min(len(a), len(b)) // STEP_CHARACTERS, offset)
        return a < b
    return False
