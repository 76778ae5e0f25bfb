"""Builds the tree: pairs the block tags, keeps the clauses of else chains flat, bounds the nesting."""

from typing import Final

from postclock.mail.template.errors import PlacedError
from postclock.mail.template.expression import read_call
from postclock.mail.template.lexer import Tag, scan
from postclock.mail.template.tree import Block, Clause, Comment, Node, Output, Text
from postclock.mail.template.whitespace import control

MAX_SOURCE: Final = 1024 * 1024  # characters; SendGrid takes 1 MB of a template version
MAX_PARTS: Final = (
    30_000  # tags and the words in them; half a second to compile, and no mail written by people has 3,000
)
MAX_DEPTH: Final = 64  # blocks in blocks: each level takes two or three frames of the interpreter's stack of 1,000


def parse(source: str) -> list[Node]:
    """The tree of ``source`` with its whitespace controlled; PlacedError where it is no template."""
    if len(source) > MAX_SOURCE:
        raise PlacedError(f"the template is longer than {MAX_SOURCE} characters", 0)
    root: list[Node] = []
    body = root
    stack: list[tuple[Block, list[Node]]] = []
    parts = 0
    for piece in scan(source):
        parts += 1 if isinstance(piece, str) else 1 + len(piece.tokens)
        if parts > MAX_PARTS:
            offset = 0 if isinstance(piece, str) else piece.offset
            raise PlacedError(f"the template has more than {MAX_PARTS} parts", offset)
        if isinstance(piece, str):
            body.append(Text(piece, piece))
            continue
        match piece.kind:
            case "comment":
                body.append(Comment(piece.strip))
            case "output" | "raw":
                body.append(Output(read_call(piece), piece.kind == "raw", piece.strip))
            case "open" | "inverted":
                if len(stack) >= MAX_DEPTH:
                    raise PlacedError(f"blocks are nested deeper than {MAX_DEPTH}", piece.offset)
                clause = Clause(read_call(piece), piece.strip)
                block = Block([clause], piece.kind == "inverted", piece.offset)
                body.append(block)
                stack.append((block, body))
                body = clause.body
            case "else" | "else-chain":
                if not stack:
                    raise PlacedError("else stands outside of any block", piece.offset)
                body = _else(stack[-1][0], piece)
            case "close":
                if not stack:
                    raise PlacedError("a block is closed that was never opened", piece.offset)
                block, body = stack.pop()
                _close(block, piece)
    if stack:
        block = stack[-1][0]
        raise PlacedError(f"the block {block.clauses[0].call.head.original!r} is not closed", block.offset)
    control(root)
    return root


def _else(block: Block, tag: Tag) -> list[Node]:
    if block.otherwise is not None:
        raise PlacedError("nothing may follow the block's else but its end", tag.offset)
    if tag.kind == "else":
        block.otherwise, block.otherwise_strip = [], tag.strip
        return block.otherwise
    if block.inverted:
        raise PlacedError("a block opened with ^ takes a plain else only", tag.offset)
    clause = Clause(read_call(tag), tag.strip)
    block.clauses.append(clause)
    return clause.body


def _close(block: Block, tag: Tag) -> None:
    call = read_call(tag)
    opened = block.clauses[0].call.head.original
    if call.arguments or call.options or call.head.original != opened:
        raise PlacedError(f"the block {opened!r} is open here, not {call.head.original!r}", tag.offset)
    block.close_strip = tag.strip
