"""What a job has to have loaded and locked before it runs: named by the caller, so that one statement serves the whole group."""

from dataclasses import dataclass, field

from postclock.store.records import IdempotencyKey


@dataclass(slots=True)
class Needs:
    """Sets of keys; ``scoped``: queue rows or messages whose tenant and batch have to be found out first."""

    tenants: set[int] = field(default_factory=set)
    batches: set[int] = field(default_factory=set)
    alone: set[int] = field(default_factory=set)
    """Batches whose flag the job changes."""
    rows: set[int] = field(default_factory=set)
    messages: set[int] = field(default_factory=set)
    scoped: set[int] = field(default_factory=set)
    single: set[int] = field(default_factory=set)
    """Messages known to have one recipient: none of theirs are loaded."""
    recipients: set[int] = field(default_factory=set)
    addresses: set[tuple[int, int, str]] = field(default_factory=set)
    domains: set[tuple[int, str]] = field(default_factory=set)
    keys: set[tuple[int, int, str, str]] = field(default_factory=set)
    owners: set[int] = field(default_factory=set)
    contents: set[int] = field(default_factory=set)
    sums: set[int] = field(default_factory=set)
    spent: set[tuple[int, int]] = field(default_factory=set)
    """(tenant, month)."""
    weeks: set[int] = field(default_factory=set)

    def add(self, other: "Needs") -> None:
        """What both need."""
        for name in self.__slots__:
            getattr(self, name).update(getattr(other, name))

    @property
    def touched(self) -> set[int]:
        """Rows and messages that the job may change: no two jobs of a group share one."""
        return self.rows | self.messages


def key_of(tenant: int, mode: int, key: IdempotencyKey) -> tuple[int, int, str, str]:
    """What names an idempotency key in the store."""
    return tenant, mode, key.dialect, key.key


class NotLoaded(Exception):
    """A job asked for what nobody had named: it is loaded, and the group runs again."""

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"{kind} {key}")
        self.needs = Needs()
        getattr(self.needs, kind).add(key)
