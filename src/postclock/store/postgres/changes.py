"""What jobs have changed and the database does not know yet: written for the whole group in a few statements."""

from dataclasses import dataclass, field
from typing import Any

from postclock.core.plan import Spent
from postclock.store.steps.work import Charge, Row, StoredMessage


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
    shown: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
    """Message to (week, shown, opens, clicks)."""
    events: list[tuple[Any, ...]] = field(default_factory=list)
    suppressed: list[tuple[Any, ...]] = field(default_factory=list)
    charged: dict[tuple[int, int, str], tuple[int, int, int]] = field(default_factory=dict)
    """(tenant, month, message type) to (recipients, cost, free ones)."""
    charged_keys: dict[tuple[int, int, int], tuple[int, int]] = field(default_factory=dict)
    """(tenant, month, API key) to (recipients, cost)."""
    inserted: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    """Name of the INSERT to its rows."""
    keys: dict[tuple[int, int, str, str], tuple[bytes, bytes, int]] = field(default_factory=dict)
    reopened: list[tuple[Any, ...]] = field(default_factory=list)
    cancelled_batches: dict[int, int] = field(default_factory=dict)
    swept: list[int] = field(default_factory=list)

    def charge(self, c: Charge) -> None:
        """A hand-off is counted."""
        n, cost, free = self.charged.get((c.tenant, c.month, c.type), (0, 0, 0))
        self.charged[c.tenant, c.month, c.type] = (n + c.n, cost + c.cost, free + c.free)
        if c.api_key and c.n:
            n, cost = self.charged_keys.get((c.tenant, c.month, c.api_key), (0, 0))
            self.charged_keys[c.tenant, c.month, c.api_key] = (n + c.n, cost + c.cost)

    def spent(self, tenant: int, month: int, before: Spent) -> Spent:
        """What the month has counted with these charges, when it had ``before`` without them."""
        mine = [sums for (whose, when, _), sums in self.charged.items() if (whose, when) == (tenant, month)]
        by_key = dict(before.by_key)
        for (whose, when, key), (_, cost) in self.charged_keys.items():
            if (whose, when) == (tenant, month):
                by_key[key] = by_key.get(key, 0) + cost
        return Spent(
            n=before.n + sum(n for n, _, _ in mine),
            cost_micros=before.cost_micros + sum(cost for _, cost, _ in mine),
            by_key=by_key,
        )

    def merge(self, job: "Changes") -> None:
        """A job is done."""
        for mine, its in (
            (self.rows, job.rows), (self.taken, job.taken), (self.departed, job.departed), (self.messages, job.messages),
            (self.recipients, job.recipients), (self.shown, job.shown), (self.keys, job.keys), (self.cancelled_batches, job.cancelled_batches),
        ):  # fmt: skip
            mine.update(its)  # type: ignore[arg-type]  # each pair has one type
        self.waiting |= job.waiting
        for has, gets in (
            (self.dropped, job.dropped), (self.settled, job.settled), (self.sent, job.sent), (self.events, job.events),
            (self.suppressed, job.suppressed), (self.reopened, job.reopened), (self.swept, job.swept),
        ):  # fmt: skip
            has.extend(gets)  # type: ignore[arg-type]
        for kind, (n, cost, free) in job.charged.items():
            has_n, has_cost, has_free = self.charged.get(kind, (0, 0, 0))
            self.charged[kind] = (has_n + n, has_cost + cost, has_free + free)
        for key, (n, cost) in job.charged_keys.items():
            has_n, has_cost = self.charged_keys.get(key, (0, 0))
            self.charged_keys[key] = (has_n + n, has_cost + cost)
        for table, rows in job.inserted.items():
            self.inserted.setdefault(table, []).extend(rows)
