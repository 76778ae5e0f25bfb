"""A compiled template: what the service caches for a template version and runs for every mail of it."""

from collections.abc import Mapping
from typing import Any, final

from postclock.mail.template.budget import Budget
from postclock.mail.template.errors import PlacedError, in_source
from postclock.mail.template.interpret import constant, sequence
from postclock.mail.template.parser import parse
from postclock.mail.template.values import size_of


@final
class Template:
    """A template ready to render. It never changes: threads may share it, and renderings may overlap."""

    __slots__ = ("_body", "_constant", "_size", "_source")

    def __init__(self, source: str, *, escape: bool) -> None:
        try:
            tree = parse(source)
            self._body = sequence(tree, escaping=escape)
        except PlacedError as fault:
            raise in_source(fault, source) from None
        self._source = source
        self._constant = constant(tree)
        self._size = 0 if self._constant is None else size_of(self._constant)

    def render(self, data: Mapping[str, Any], *, budget: Budget | None = None) -> str:
        """The text for ``data`` (JSON: dicts, lists, strings, numbers, booleans, None). Names not in it print nothing.

        ``budget`` is what it may cost, by default a fresh one. Raises TemplateError when that is not enough.
        """
        if budget is None:
            budget = Budget()
        try:
            if self._constant is not None:
                budget.output -= self._size
                if budget.output < 0:
                    raise budget.overdrawn(0)
                return self._constant
            root = data if isinstance(data, dict) else dict(data)
            parts: list[str] = []
            self._body((root, None, None, root), parts.append, budget)
        except PlacedError as fault:
            raise in_source(fault, self._source) from None
        return "".join(parts)


def compile_template(source: str, *, escape: bool) -> Template:
    """``source`` as a template; ``{{x}}`` is HTML-escaped where ``escape`` is set, verbatim elsewhere (subjects, plain text).

    Raises TemplateError where the source is no template, with line and column.
    """
    return Template(source, escape=escape)
