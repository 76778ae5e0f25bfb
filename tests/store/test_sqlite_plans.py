"""How SQLite reads the hot statements: by the index meant for them, with nothing scanned and nothing sorted aside."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from postclock.core.lifecycle import Shown, State
from postclock.store.records import LIVE
from postclock.store.sqlite.desk import WORDS
from postclock.store.sqlite.store import SqliteStore, open_store
from postclock.store.sqlite.transaction import SQL
from postclock.store.tables import browse
from postclock.store.tables.batches import SQL as BATCH_READING
from postclock.store.tables.ledger_reading import SQL as ENGINE
from postclock.store.tables.outbox import SQL as OUTBOX
from postclock.store.tables.suppressions import SQL as SUPPRESSION_READING
from postclock.store.views import MessageFilter, StatusFilter
from tests.support.clock import MovedClock

QUEUED: Final = frozenset({State.queued, State.deferred})
ANY: Final = frozenset(Shown)

NUMBERED = re.compile(r"\?(\d+)")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """An empty store: the plans must not hang on statistics."""
    opened = open_store(Path(tmp_path_factory.mktemp("plans")), MovedClock())
    yield opened
    opened.close()


def plan(store: SqliteStore, sql: str) -> list[str]:
    """What SQLite says it will do."""
    named = re.findall(r":(\w+)", sql)
    args: Any = (
        dict.fromkeys(named, 1) if named else [1] * (max(map(int, NUMBERED.findall(sql)), default=0) or sql.count("?"))
    )
    return [row[3] for row in store._readers.run_here(lambda run: run(f"EXPLAIN QUERY PLAN {sql}", args))]


def sound(lines: list[str], *wanted: str) -> None:
    """Every access is a search (or a walk along an index in order), and the ones meant are among them."""
    told = "\n".join(lines)
    assert "TEMP B-TREE" not in told, told
    for line in lines:
        assert not line.startswith("SCAN") or "CONSTANT ROW" in line or "COVERING INDEX queue_owner" in line, told
    for each in wanted:
        assert any(each in line for line in lines), told


MESSAGE = "SEARCH messages USING INTEGER PRIMARY KEY (rowid=?)"
ROW = "SEARCH queue USING INTEGER PRIMARY KEY (rowid=?)"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("next_tenant", ("USING COVERING INDEX queue_due (lane=? AND tenant>?)",)),
        (
            "due",
            (
                "USING INDEX queue_due (lane=? AND tenant=? AND ready_at>? AND ready_at<?)",
                "SEARCH m USING INTEGER PRIMARY KEY",
            ),
        ),
        ("take", (ROW,)),
        ("depart", (ROW,)),
        ("row", (ROW,)),
        ("wait", (ROW,)),
        ("drop_row", (ROW,)),
        ("settle_message", (MESSAGE,)),
        ("note_sent", (MESSAGE,)),
        ("message", (MESSAGE,)),
        ("take_out", ("SEARCH queue USING INTEGER PRIMARY KEY",)),
        ("add_event", ("SEARCH events USING PRIMARY KEY (message=?)",)),
        ("recipients", ("SEARCH recipients USING PRIMARY KEY (message=?)",)),
        ("set_recipient", ("SEARCH recipients USING PRIMARY KEY (message=? AND n=?)",)),
        ("is_suppressed", ("SEARCH suppressions USING PRIMARY KEY (tenant=? AND mode=? AND address=?)",)),
        ("domain_verified", ("SEARCH domains USING PRIMARY KEY (tenant=? AND domain=?)",)),
        ("find_key", ("SEARCH idempotency USING PRIMARY KEY",)),
        ("foreign_claims", ("queue_owner",)),
        ("owner_lives", ("SEARCH owners USING INTEGER PRIMARY KEY",)),
    ],
)
def test_a_hot_statement_of_the_ledger_uses_its_index(store: SqliteStore, name: str, wanted: tuple[str, ...]) -> None:
    """On the path of every mail."""
    sound(plan(store, SQL[name]), *wanted)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sweep_rows", "USING INDEX queue_batch (batch=?)"),
        ("exposed_rows", "USING INDEX queue_batch (batch=?)"),
        ("sums", "SEARCH counts USING PRIMARY KEY (scope=?)"),
        ("get_batch", "SEARCH batches USING INTEGER PRIMARY KEY"),
    ],
)
def test_a_batch_is_read_and_swept_by_its_index(store: SqliteStore, name: str, wanted: str) -> None:
    """However many messages other batches have."""
    sound(plan(store, {**BATCH_READING, **SQL}[name]), wanted)


def test_what_is_to_be_forgotten_is_found_among_all_that_was_sent(store: SqliteStore) -> None:
    """It is looked for twice a second."""
    lines = [
        line for line in plan(store, ENGINE["to_redact"]) if "messages_redact" not in line
    ]  # an index of nothing else
    assert lines == [
        "CORRELATED SCALAR SUBQUERY 1",
        "SEARCH s USING INTEGER PRIMARY KEY (rowid=?)",
    ], lines


def test_the_batches_to_be_swept_are_all_that_the_sweep_looks_at(store: SqliteStore) -> None:
    """It walks an index that holds no others."""
    (line,) = plan(store, SQL["unswept"])
    assert "batches_unswept" in line


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (MessageFilter(tenant=1, mode=LIVE), "SEARCH m USING INDEX messages_tenant (tenant=? AND mode=?"),
        (MessageFilter(tenant=1, mode=LIVE, states=QUEUED), "SEARCH q USING INDEX queue_tenant (tenant=? AND mode=?"),
        (MessageFilter(tenant=1, mode=LIVE, batch=5), "SEARCH m USING INDEX messages_batch (batch=?"),
        (MessageFilter(tenant=1, mode=LIVE, batch=5, states=QUEUED), "SEARCH q USING INDEX queue_batch (batch=?"),
        (
            MessageFilter(tenant=1, mode=LIVE, batch=5, states=frozenset({State.cancelled})),
            "SEARCH m USING INDEX messages_batch (batch=?",
        ),
    ],
)
@pytest.mark.parametrize("after", [None, 7])
def test_a_list_walks_its_index_newest_first(
    store: SqliteStore, wanted: MessageFilter, index: str, after: int | None
) -> None:
    """From the mark of the page before it, or from the newest; never sorted."""
    sound(list_plan(store, wanted, after), index)


@pytest.mark.parametrize(
    ("status", "index"),
    [
        (None, "SEARCH m USING INDEX messages_tenant (tenant=? AND mode=? AND id<?)"),
        (StatusFilter(states={State.queued: ANY}, waits=True), "SEARCH q USING INDEX queue_tenant (tenant=? AND mode=? AND id<?)"),
        (StatusFilter(states={State.sent: ANY - {Shown.opened}}), "SEARCH q USING INDEX queue_tenant (tenant=? AND mode=? AND id<?)"),
        (StatusFilter(states={State.bounced: ANY}), "SEARCH m USING INDEX messages_tenant (tenant=? AND mode=? AND id<?)"),
    ],
)  # fmt: skip
def test_a_list_by_position_walks_its_index(store: SqliteStore, status: StatusFilter | None, index: str) -> None:
    """What waits is found among what waits."""
    seen: list[str] = []

    def run(sql: str, _: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        seen.append(sql)
        return []

    browse.browse(run, WORDS, MessageFilter(tenant=1, mode=LIVE, status=status, search="x"), 7, 100)
    sound(plan(store, seen[0]), index)


def test_all_suppressions_together_are_read_by_the_index_of_each_list(store: SqliteStore) -> None:
    """An address's other entries are looked up by the address."""
    told = plan(store, SUPPRESSION_READING["newest"])
    sound(told, "suppressions_newest (tenant=? AND mode=? AND list=? AND created_at<?)", "SEARCH o USING PRIMARY KEY")


@pytest.mark.parametrize("states", [None, QUEUED])
def test_a_list_by_recipient_starts_from_the_recipient(store: SqliteStore, states: frozenset[State] | None) -> None:
    """Not from all that the tenant ever sent, nor from all that waits."""
    wanted = MessageFilter(tenant=1, mode=LIVE, to_email="ada@example.net", states=states)
    told = "\n".join(list_plan(store, wanted, None))
    assert "messages_rcpt (rcpt=?)" in told, told
    assert "recipients_address (address=?)" in told, told
    assert "messages_tenant" not in told, told
    assert "SEARCH m USING INTEGER PRIMARY KEY" in told, told


def list_plan(store: SqliteStore, wanted: MessageFilter, after: int | None) -> list[str]:
    """The plan of the statement that reads a page."""
    seen: list[str] = []

    def run(sql: str, _: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        seen.append(sql)
        return [] if sql.startswith("SELECT m.id") else [(0,)]

    browse.page(run, WORDS, wanted, 100, after, 0)
    return plan(store, seen[0])


STATE: Final = "webhook_deliveries_state ((webhook,state)>(?,?) AND (webhook,state)<(?,?))"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("waiting", (STATE, "webhook_deliveries_again (webhook=? AND message=?)")),
        ("count_waiting", (STATE,)),
        ("deliveries", (STATE,)),
        ("replay", ("webhook_deliveries_state (webhook=? AND state>? AND state<?)",)),
        ("remove_deliveries", (STATE,)),
        ("page", ("webhooks_tenant (tenant=? AND mode=? AND dialect=?)",)),
    ],
)  # fmt: skip
def test_what_is_told_is_found_among_all_that_was(store: SqliteStore, name: str, wanted: Sequence[str]) -> None:
    """What waits for an endpoint lies together, however much was delivered before."""
    told = "\n".join(plan(store, OUTBOX[name]))
    assert "SCAN webhook_deliveries" not in told, told
    for each in wanted:
        assert each in told
