"""What jobs have changed and the database does not know yet: written for the whole group in a few statements."""

from dataclasses import dataclass, field
from typing import Any

from postclock.store.steps.work import Row, StoredMessage


@dataclass(slots=True)
class Changes:
    """By the statement that writes them. A job's own are merged into the group's when it is done, or forgotten."""

    rows: dict[int, Row | None] = field(default_factory=dict)
    """Queue rows as they are now; None: gone."""
    taken: dict[int, int] = field(default_factory=dict)
    """Rows that were only claimed: id to state."""
    departed: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """Rows that departed: id to (when, stamp)."""
    waiting: set[int] = field(default_factory=set)
    """Rows to be written as they are in ``rows``."""
    dropped: list[int] = field(default_factory=list)
    settled: list[tuple[Any, ...]] = field(default_factory=list)
    sent: list[tuple[Any, ...]] = field(default_factory=list)
    messages: dict[int, StoredMessage] = field(default_factory=dict)
    recipients: dict[tuple[int, int], tuple[Any, ...]] = field(default_factory=dict)
    """(message, place) to (week, state, reply, when)."""
    events: list[tuple[Any, ...]] = field(default_factory=list)
    suppressed: list[tuple[Any, ...]] = field(default_factory=list)
    charged: dict[tuple[int, int], int] = field(default_factory=dict)
    inserted: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    """Name of the INSERT to its rows."""
    keys: dict[tuple[int, int, str, str], tuple[bytes, bytes, int]] = field(default_factory=dict)
    reopened: list[tuple[Any, ...]] = field(default_factory=list)
    cancelled_batches: dict[int, int] = field(default_factory=dict)
    swept: list[int] = field(default_factory=list)

    def merge(self, job: "Changes") -> None:
        """A job is done."""
        for mine, its in (
            (self.rows, job.rows), (self.taken, job.taken), (self.departed, job.departed), (self.messages, job.messages),
            (self.recipients, job.recipients), (self.keys, job.keys), (self.cancelled_batches, job.cancelled_batches),
        ):  # fmt: skip
            mine.update(its)  # type: ignore[arg-type]  # each pair has one type
        self.waiting |= job.waiting
        for has, gets in (
            (self.dropped, job.dropped), (self.settled, job.settled), (self.sent, job.sent), (self.events, job.events),
            (self.suppressed, job.suppressed), (self.reopened, job.reopened), (self.swept, job.swept),
        ):  # fmt: skip
            has.extend(gets)  # type: ignore[arg-type]
        for key, n in job.charged.items():
            self.charged[key] = self.charged.get(key, 0) + n
        for table, rows in job.inserted.items():
            self.inserted.setdefault(table, []).extend(rows)
