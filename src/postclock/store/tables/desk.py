"""The desk: what the slow tables and the readings work at, so that they are written once for both backends.

Their SQL is text that SQLite and PostgreSQL both run: ``?`` for each value in order, a CAST where PostgreSQL could not tell a
value's type, and ``Words`` for what the two call differently. Functions given to a desk are synchronous and may run in any thread.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

DEADLINE_SECONDS: Final = 2.0
"""How long a reading may take: a long snapshot keeps old rows from being cleared away."""


class Run(Protocol):
    """Run a statement inside the snapshot; its rows."""

    def __call__(self, sql: str, args: Sequence[Any] = (), /) -> list[tuple[Any, ...]]: ...


class Writing(Protocol):
    """A transaction as a job sees it. Rows are plain tuples, in the order of the statement's columns."""

    def rows(self, sql: str, args: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        ...

    def one(self, sql: str, args: Sequence[Any] = (), /) -> tuple[Any, ...] | None:
        """The first row, or None."""
        ...

    def do(self, sql: str, args: Sequence[Any] = (), /) -> int:
        """Run a statement; the number of rows it changed."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        """Run a statement once per row."""
        ...

    def ready(self, at: int, /) -> None:
        """Something is ready at ``at`` (UTC milliseconds): the scheduler hears of it after the commit."""
        ...

    def forget_batch(self, ident: int, /) -> None:
        """The job made a batch or changed its flags: whoever keeps them reads them again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the backends' SQL says differently. The joins keep the order in which they stand: each looks rows up one by one.

    Left to itself, a planner reads a whole history to show one page of it.
    """

    message: str
    """``{message}``: joins to a queue row ``q`` its message ``m``."""
    queue: str
    """``{queue}``: joins to a message ``m`` its queue row ``q``, if it has one."""
    submission: str
    """``{submission}``: joins to a message ``m`` its submission ``s``."""
    recipient: str
    """``{recipient}``: says that a message ``m`` is one of those to an address, which is given twice."""
    find: str
    """``{find}``: the function (text, part) that says where the part begins, counted from 1; 0 when it is not there."""
    bytewise: str
    """``{bytewise}``: the collation that compares bytes; by it, lower() folds the letters of ASCII and no others."""

    unlocked: str
    """``{unlocked}``: ends a SELECT that takes its rows for itself until the commit, but for those that somebody else is at."""

    def fill(self, sql: str) -> str:
        """The statement with the words in their places."""
        for field in fields(self):
            sql = sql.replace(f"{{{field.name}}}", getattr(self, field.name))
        return sql


class Desk(Protocol):
    """Reads and transactions of one backend."""

    @property
    def words(self) -> Words:
        """The backend's words."""
        ...

    async def read(self, read: Callable[[Run], T], *, seconds: float = DEADLINE_SECONDS) -> T:
        """``read`` with a function that runs statements, all in one snapshot. Raises Busy past the deadline."""
        ...

    async def write(self, job: Callable[[Writing], T], rows: int = 1, *, bulk: bool = False) -> T:
        """Run ``job`` in a transaction; its result once that is durable, or the job's own error and nothing written.

        Jobs look first and write then, so no two that are not ``bulk`` may run beside each other. ``rows``: about how many the
        job writes. ``bulk``: it can wait behind everything that is not.
        """
        ...
