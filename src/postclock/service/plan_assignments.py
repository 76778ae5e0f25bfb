"""A tenant's plan and caps as the operator writes them: ``included=1000 price=400 soft_cap=… hard_cap=…``; ``none`` clears one."""

from collections.abc import Sequence
from typing import Final

import msgspec

from postclock.core.errors import FieldError, Invalid
from postclock.core.plan import MAX_INCLUDED, MAX_MICROS, Spending

MOST: Final[dict[str, int]] = {
    "included": MAX_INCLUDED,
    "price": MAX_MICROS,
    "soft_cap": MAX_MICROS,
    "hard_cap": MAX_MICROS,
}
"""The names there are, each with its largest value."""
_PLAN: Final = {"included": "included", "price": "price_micros"}
_CAPS: Final = {"soft_cap": "soft_micros", "hard_cap": "hard_micros"}
DIGITS: Final = 16  # of the largest value; a number of thousands of them is not even read


def with_plan_assignments(spending: Spending, assignments: Sequence[str]) -> Spending:
    """Plan and caps with each ``key=value`` applied, money in micro-dollars; raises Invalid naming every bad one."""
    values: dict[str, int | None] = {}
    errors: list[FieldError] = []
    for assignment in assignments:
        key, sign, text = (part.strip() for part in assignment.partition("="))
        if not sign:
            errors.append(FieldError(f"{assignment!r} is not of the form key=value", key))
        elif key not in MOST:
            errors.append(FieldError(f"Unknown part of a plan {key!r}; there are: {', '.join(MOST)}", key))
        elif text.lower() == "none":
            values[key] = None
        elif text.isascii() and text.isdigit() and len(text) <= DIGITS and int(text) <= MOST[key]:
            values[key] = int(text)
        else:
            errors.append(FieldError(f"{key}: must be none or a whole number from 0 to {MOST[key]}, not {text!r}", key))
    if errors:
        raise Invalid(errors)
    plan = {_PLAN[key]: value for key, value in values.items() if key in _PLAN}
    caps = {_CAPS[key]: value for key, value in values.items() if key in _CAPS}
    return msgspec.structs.replace(
        spending,
        plan=msgspec.structs.replace(spending.plan, **plan),
        caps=msgspec.structs.replace(spending.caps, **caps),
    )
