"""Named points of a mail's path, where the kill tests end the process (``serve --die-at POINT``)."""

from collections.abc import Callable
from typing import Final, Literal

Point = Literal[
    "accept_committed", "reserved", "claimed", "prepared", "departed", "mail_sent", "data_half", "dot_sent", "reply_read", "recorded"
]  # fmt: skip
POINTS: Final[tuple[Point, ...]] = (
    "accept_committed", "reserved", "claimed", "prepared", "departed", "mail_sent", "data_half", "dot_sent", "reply_read", "recorded",
)  # fmt: skip
OnPoint = Callable[[str], None]


def nowhere(_: str) -> None:
    """Nobody waits at any point: the courier then need not stop at its own (it writes a body in one piece)."""
