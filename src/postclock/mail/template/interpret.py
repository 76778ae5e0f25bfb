"""Turns a tree into functions and runs them. No code is generated and none is evaluated: a tag is a closure.

Every closure takes the scope, where to append its text, and the budget it pays from. The steps of a body are known
beforehand but for the loops in it, so they are paid at once when the body is entered.
"""

from collections.abc import Callable
from typing import Any

from postclock.mail.template.budget import Budget
from postclock.mail.template.builtins import HELPERS
from postclock.mail.template.errors import PlacedError
from postclock.mail.template.lookup import Look, Scope, cost_of, helper_of, look, run
from postclock.mail.template.parser import MAX_DEPTH
from postclock.mail.template.tree import Block, Clause, Node, Output, Text
from postclock.mail.template.values import escape, index_of, is_empty, is_unsafe, member, size_of, text_of

Append = Callable[[str], object]
Run = Callable[[Scope, Append, Budget], None]


def sequence(nodes: list[Node], depth: int = 0, *, escaping: bool) -> Run:
    """``nodes`` as one function; PlacedError for what parses but means nothing (an unknown helper, a missing argument)."""
    pairs: list[tuple[str, Run]] = []
    text: list[str] = []
    cost, size, offset = 1, 0, 0
    for node in nodes:
        if isinstance(node, Text):
            text.append(node.value)
        elif isinstance(node, Output | Block):
            offset = offset or (node.call.offset if isinstance(node, Output) else node.offset)
            cost += cost_of(node.call) if isinstance(node, Output) else _entry_cost(node)
            acting = (
                _output(node, escaping=escaping) if isinstance(node, Output) else _block(node, depth, escaping=escaping)
            )
            pairs.append(("".join(text), acting))
            text = []
    tail = "".join(text)
    size = sum(size_of(before) for before, _ in pairs) + size_of(tail)

    def body(scope: Scope, append: Append, budget: Budget) -> None:
        budget.steps -= cost
        budget.output -= size
        if budget.steps < 0 or budget.output < 0:
            raise budget.overdrawn(offset)
        for before, act in pairs:
            append(before)
            act(scope, append, budget)
        append(tail)

    return body


def constant(nodes: list[Node]) -> str | None:
    """The text of ``nodes`` when nothing in them depends on data."""
    if any(isinstance(node, Output | Block) for node in nodes):
        return None
    return "".join(node.value for node in nodes if isinstance(node, Text))


def _output(node: Output, *, escaping: bool) -> Run:
    found, offset = look(node.call), node.call.offset
    escaping = escaping and not node.raw
    # Most tags are a name alone: found here without a call, which is a third of their cost.
    name = None if node.call.arguments else node.call.head.name
    index = index_of(name or "")

    def output(scope: Scope, append: Append, budget: Budget) -> None:
        value = scope[0]
        if name is None:
            value = found(scope, budget)
        elif type(value) is dict:
            value = value.get(name)
        else:
            value = member(value, name, index)
        if type(value) is not str:
            if value is None:
                return
            value = text_of(value, budget, offset)
        if escaping and is_unsafe(value) and len(value) <= budget.output:
            value = escape(value)
        budget.output -= len(value) if value.isascii() else size_of(value)
        if budget.output < 0:
            raise budget.overdrawn(offset)
        append(value)

    return output


def _nothing(_scope: Scope, _append: Append, _budget: Budget) -> None:
    return


def _is_condition(name: str | None) -> bool:
    return name is not None and name in HELPERS and HELPERS[name].condition


def _entry_cost(block: Block) -> int:
    """Steps paid on entering ``block``: its first clause, and those of its chain that do not pay when they are reached."""
    first, *others = [clause.call for clause in block.clauses]
    return cost_of(first) + sum(cost_of(call) for call in others if not _is_condition(helper_of(call)))


def _block(block: Block, depth: int, *, escaping: bool) -> Run:
    # Conditions of a chain run in a loop; only other clauses in it nest, and count as blocks in blocks.
    names = [helper_of(clause.call) for clause in block.clauses]
    conditions = [_is_condition(name) for name in names]
    depth += 1 + conditions[1:].count(False)
    if depth > MAX_DEPTH:
        raise PlacedError(f"blocks are nested deeper than {MAX_DEPTH}", block.offset)
    inverse = _nothing if block.otherwise is None else sequence(block.otherwise, depth, escaping=escaping)
    pending: list[tuple[Look, Run, int]] = []
    for clause, name, condition in reversed(list(zip(block.clauses, names, conditions, strict=True))):
        body = sequence(clause.body, depth, escaping=escaping)
        if block.inverted:
            body, inverse = inverse, body
        if condition:
            assert name is not None
            pending.append((run(clause.call, HELPERS[name]), body, cost_of(clause.call)))
            continue
        inverse = _conditions(pending, inverse, block.offset)
        pending = []
        inverse = _scoped(clause, name, body, inverse)
    return _conditions(pending, inverse, block.offset)


def _conditions(pending: list[tuple[Look, Run, int]], inverse: Run, offset: int) -> Run:
    """The clauses gathered from the last to the first as one function."""
    if not pending:
        return inverse
    first_holds, first_body, _ = pending[-1]
    others = tuple(reversed(pending[:-1]))

    def conditions(scope: Scope, append: Append, budget: Budget) -> None:
        if first_holds(scope, budget):
            first_body(scope, append, budget)
            return
        for holds, body, cost in others:
            budget.spend(cost, offset)
            if holds(scope, budget):
                body(scope, append, budget)
                return
        inverse(scope, append, budget)

    return conditions


def _scoped(clause: Clause, name: str | None, body: Run, inverse: Run) -> Run:
    call = clause.call
    if name is None:
        return _section(look(call), body, inverse, call.offset)
    if name in HELPERS:
        raise PlacedError(f"{name!r} does not open a block", call.offset)
    if len(call.arguments) != 1:
        raise PlacedError(f"{name!r} takes 1 argument", call.offset)
    if call.options:
        raise PlacedError(f"{name!r} has no option {next(iter(call.options))!r}", call.offset)
    found = look(call.arguments[0])
    return _each(found, body, inverse, call.offset) if name == "each" else _with(found, body, inverse)


def _inside(scope: Scope, context: Any, loop: Any) -> Scope:
    """The scope in ``scope`` for ``context``. Handlebars counts no level for ``../`` where the context stays the same."""
    here = scope[0]
    same = context is here or (
        isinstance(context, str | int | float) and type(context) is type(here) and context == here
    )
    return (context, scope[1] if same else scope, loop, scope[3])


def _with(found: Look, body: Run, inverse: Run) -> Run:
    def with_(scope: Scope, append: Append, budget: Budget) -> None:
        value = found(scope, budget)
        if is_empty(value) and not (type(value) in (int, float) and value == 0):
            inverse(scope, append, budget)
        else:
            body(_inside(scope, value, scope[2]), append, budget)

    return with_


def _each(found: Look, body: Run, inverse: Run, offset: int) -> Run:
    def each(scope: Scope, append: Append, budget: Budget) -> None:
        _loop(found(scope, budget), scope, append, budget, body, inverse, offset)

    return each


def _section(found: Look, body: Run, inverse: Run, offset: int) -> Run:
    """``{{#x}}``: a loop over a list, a condition for a boolean, else the body with ``x`` as its context."""

    def section(scope: Scope, append: Append, budget: Budget) -> None:
        value = found(scope, budget)
        if value is None or value is False:
            inverse(scope, append, budget)
        elif value is True:
            body(scope, append, budget)
        elif isinstance(value, list | tuple):
            _loop(value, scope, append, budget, body, inverse, offset)
        else:
            body(_inside(scope, value, scope[2]), append, budget)

    return section


def _loop(value: Any, scope: Scope, append: Append, budget: Budget, body: Run, inverse: Run, offset: int) -> None:
    if not value or not isinstance(value, dict | list | tuple):
        inverse(scope, append, budget)
        return
    budget.spend(len(value), offset)
    last = len(value) - 1
    around, root = scope[2], scope[3]
    if isinstance(value, dict):
        for index, (key, item) in enumerate(value.items()):
            body(_inside(scope, item, (key, index, index == last, around)), append, budget)
        return
    for index, item in enumerate(value):
        loop = (index, index, index == last, around)
        if type(item) is dict and item is not scope[0]:
            body((item, scope, loop, root), append, budget)
        else:
            body(_inside(scope, item, loop), append, budget)
