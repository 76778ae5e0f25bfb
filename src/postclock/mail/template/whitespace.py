"""Whitespace control: ``~`` trims up to the next visible character, a tag alone on its line takes the line along.

The order of the steps is that of Handlebars, whose results depend on it: inner blocks first, then around them from left to
right. What stands alone is judged by the texts as written, not as trimmed so far.
"""

import re
from typing import Final

from postclock.mail.template.lexer import SPACES
from postclock.mail.template.tree import Block, Comment, Node, Output, Strip, Text

_LINE_START: Final = re.compile(r"[ \t]*+\r?\n?")


def control(root: list[Node]) -> None:
    """Trims the texts of the whole tree in place."""
    _body(root, root=True)


def _body(body: list[Node], *, root: bool = False) -> None:
    for i, node in enumerate(body):
        match node:
            case Text():
                continue
            case Output():
                _strip(body, i, node.strip)
            case Comment():
                _strip(body, i, node.strip)
                if _line_before(body, i, root=root) and _line_after(body, i, root=root):
                    _trim_right_of(body, i)
                    _trim_left_of(body, i)
            case Block():
                opens, closes = _block(node)
                opens = opens and _line_before(body, i, root=root)
                closes = closes and _line_after(body, i, root=root)
                _strip(body, i, Strip(node.clauses[0].strip.left, node.close_strip.right))
                first, last = _ends(node)
                if opens:
                    _trim_right_of(first, -1)
                    _trim_left_of(body, i)
                if closes:
                    _trim_right_of(body, i)
                    _trim_left_of(last, len(last))


def _strip(body: list[Node], i: int, strip: Strip) -> None:
    if strip.right:
        _trim_right_of(body, i, everything=True)
    if strip.left:
        _trim_left_of(body, i, everything=True)


def _ends(block: Block) -> tuple[list[Node], list[Node]]:
    """The bodies the opening and the closing tag are judged against. In an inverted block Handlebars takes the else first."""
    first = block.clauses[0].body
    if len(block.clauses) > 1:
        # The last line of a chain belongs to a block of its own, which its opening else already trimmed.
        return first, []
    if block.otherwise is None:
        return first, first
    return (block.otherwise, first) if block.inverted else (first, block.otherwise)


def _block(block: Block) -> tuple[bool, bool]:
    """Trims inside the block; tells whether its opening and closing tag stand alone seen from inside."""
    bodies = [clause.body for clause in block.clauses]
    strips = [clause.strip for clause in block.clauses]
    if block.otherwise is not None:
        bodies.append(block.otherwise)
        strips.append(block.otherwise_strip)
    for body in bodies:
        _body(body)
    if block.inverted:
        bodies.reverse()
    # Handlebars nests the clauses of a chain as blocks in the else of the one before; it ends with the first.
    opens = closes = False
    for k in reversed(range(len(block.clauses))):
        body = bodies[k]
        following = bodies[k + 1] if k + 1 < len(bodies) else None
        # The nested blocks of a chain count as closed by the block's end (the first) or by their own else (the others).
        closing = block.close_strip if k <= 1 else strips[k]
        opens, closes = _line_after(body, -1), _line_before(body if following is None else following, None)
        if strips[k].right:
            _trim_right_of(body, -1, everything=True)
        if following is None:
            if closing.left:
                _trim_left_of(body, len(body), everything=True)
            continue
        if strips[k + 1].left:
            _trim_left_of(body, len(body), everything=True)
        if strips[k + 1].right:
            _trim_right_of(following, -1, everything=True)
        if closing.left:
            _trim_left_of(following, len(following), everything=True)
        if _line_before(body, None) and _line_after(following, -1):
            _trim_left_of(body, len(body))
            _trim_right_of(following, -1)
    return opens, closes


def _line_before(body: list[Node], i: int | None, *, root: bool = False) -> bool:
    """Whether only white space stands between the start of a line and the node at ``i`` (None: the end of the body)."""
    i = len(body) if i is None else i
    if i == 0:
        return root
    before = body[i - 1]
    if not isinstance(before, Text):
        return False
    visible = len(before.original.rstrip(SPACES))
    return before.original.find("\n", visible) >= 0 or (root and i == 1 and visible == 0)


def _line_after(body: list[Node], i: int, *, root: bool = False) -> bool:
    """Whether only white space stands between the node at ``i`` (-1: the start of the body) and the end of its line."""
    if i + 1 >= len(body):
        return root
    after = body[i + 1]
    if not isinstance(after, Text):
        return False
    leading = len(after.original) - len(after.original.lstrip(SPACES))
    return after.original.find("\n", 0, leading) >= 0 or (
        root and i + 2 >= len(body) and leading == len(after.original)
    )


def _trim_right_of(body: list[Node], i: int, *, everything: bool = False) -> None:
    text = body[i + 1] if i + 1 < len(body) else None
    if not isinstance(text, Text) or (text.right_trimmed and not everything):
        return
    before = text.value
    if everything:
        text.value = before.lstrip(SPACES)
    else:
        line = _LINE_START.match(before)
        text.value = before[line.end() :] if line else before
    text.right_trimmed = text.value != before


def _trim_left_of(body: list[Node], i: int, *, everything: bool = False) -> None:
    text = body[i - 1] if i > 0 else None
    if not isinstance(text, Text) or (text.left_trimmed and not everything):
        return
    before = text.value
    text.value = before.rstrip(SPACES if everything else " \t")
    text.left_trimmed = text.value != before
