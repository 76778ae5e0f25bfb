"""Turns the expressions of a tree into functions of the scope: look-ups, literals, calls of helpers.

A scope is a tuple, because one is made for each item of a loop: the context (``this``), the scope around it (``../``),
the loop it runs in and the root. A loop is again a tuple: key, index, whether last, and the loop around it.
"""

from collections.abc import Callable
from typing import Any, Final

from postclock.mail.template.budget import STEP_CHARACTERS, Budget
from postclock.mail.template.builtins import BLOCK_ONLY, HANDLEBARS, HELPERS, SCOPED, Helper
from postclock.mail.template.errors import PlacedError
from postclock.mail.template.tree import Call, Expression, Literal, Path
from postclock.mail.template.values import index_of, member

Loop = tuple[Any, int, bool, Any]
Scope = tuple[Any, Any, Loop | None, Any]
Look = Callable[[Scope, Budget], Any]

_LOOP: Final[dict[str, Callable[[Loop], Any]]] = {
    "key": lambda loop: loop[0],
    "index": lambda loop: loop[1],
    "first": lambda loop: loop[1] == 0,
    "last": lambda loop: loop[2],
}


def cost_of(expression: Expression) -> int:
    """Steps of evaluating ``expression`` once, as far as they do not depend on the data."""
    match expression:
        case Literal():
            return 0
        case Path():
            return 1 + expression.parent + sum(1 + len(part) // STEP_CHARACTERS for part in expression.parts)
        case Call():
            inside = [*expression.arguments, *expression.options.values()]
            return 1 + (sum(map(cost_of, inside)) if inside else cost_of(expression.head))


def helper_of(call: Call) -> str | None:
    """The name of the helper ``call`` calls, None when it is a look-up; PlacedError when there is no such helper.

    Handlebars would let its helpers win over variables of the same name. Without arguments SendGrid's have nothing to
    work on, so a variable called ``length`` or ``insert`` stays reachable.
    """
    name = call.head.name
    if not call.arguments and not call.options:
        if name is None or name not in HANDLEBARS:
            return None
    elif name is None or (name not in HELPERS and name not in SCOPED):
        raise PlacedError(f"there is no helper {call.head.original!r}", call.offset)
    return name


def look(expression: Expression) -> Look:
    """``expression`` as a function that finds its value; PlacedError when it cannot have one."""
    match expression:
        case Literal():
            value = expression.value
            return lambda _scope, _budget: value
        case Path():
            return _path(expression)
        case Call():
            name = helper_of(expression)
            if name is None:
                return _path(expression.head)
            if name in BLOCK_ONLY:
                raise PlacedError(f"{name!r} opens a block: {{{{#{name} ...}}}}", expression.offset)
            return run(expression, HELPERS[name])


def run(call: Call, helper: Helper) -> Look:
    """A call of ``helper`` as a function that finds its value; PlacedError when the arguments do not fit."""
    name, offset, act = call.head.original, call.offset, helper.run
    if not helper.least <= len(call.arguments) <= helper.most:
        count = str(helper.least) if helper.least == helper.most else f"{helper.least} to {helper.most}"
        raise PlacedError(f"{name!r} takes {count} argument{'' if count == '1' else 's'}", offset)
    for option in call.options:
        if option not in helper.options:
            raise PlacedError(f"{name!r} has no option {option!r}", offset)
    arguments = [look(argument) for argument in call.arguments]
    options = {key: look(option) for key, option in call.options.items()}
    if len(arguments) == 1 and not options:
        only = arguments[0]
        return lambda scope, budget: act([only(scope, budget)], options, budget, offset)

    def called(scope: Scope, budget: Budget) -> Any:
        given = {key: option(scope, budget) for key, option in options.items()} if options else options
        return act([argument(scope, budget) for argument in arguments], given, budget, offset)

    return called


def _path(path: Path) -> Look:
    if path.data:
        return _data(path)
    parts = tuple((part, index_of(part)) for part in path.parts)
    if path.parent:
        return _from_parent(path.parent, parts)
    if not parts:
        return lambda scope, _budget: scope[0]
    if len(parts) == 1:
        return _one(*parts[0])

    def several(scope: Scope, _budget: Budget) -> Any:
        value = scope[0]
        for name, index in parts:
            if type(value) is dict:
                value = value.get(name)
            elif value is None:
                return None
            else:
                value = member(value, name, index)
        return value

    return several


def _one(name: str, index: int | None) -> Look:
    def one(scope: Scope, _budget: Budget) -> Any:
        value = scope[0]
        return value.get(name) if type(value) is dict else member(value, name, index)

    return one


def _from_parent(levels: int, parts: tuple[tuple[str, int | None], ...]) -> Look:
    def parent(scope: Scope, _budget: Budget) -> Any:
        above: Any = scope
        for _ in range(levels):
            above = above[1]
            if above is None:
                return None
        value = above[0]
        for name, index in parts:
            value = member(value, name, index)
        return value

    return parent


def _data(path: Path) -> Look:
    levels, first = path.parent, path.parts[0] if path.parts else ""
    parts = tuple((part, index_of(part)) for part in path.parts[1:])
    if first == "root":

        def root(scope: Scope, _budget: Budget) -> Any:
            value = scope[3]
            for name, index in parts:
                value = member(value, name, index)
            return value

        return root
    read = _LOOP.get(first)
    if read is None:
        raise PlacedError(f"there is no variable {path.original!r}", path.offset)

    def of_loop(scope: Scope, _budget: Budget) -> Any:
        loop: Any = scope[2]
        for _ in range(levels):
            if loop is None:
                return None
            loop = loop[3]
        value = None if loop is None else read(loop)
        for name, index in parts:
            value = member(value, name, index)
        return value

    return of_loop
