"""How PostgreSQL reads the hot statements: by an index, in generic and in custom plans, on an empty store and on a full one."""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import asyncpg
import pytest

from postclock.core.ids import week_of
from postclock.core.lifecycle import Shown, State
from postclock.store.postgres.connection import WRITING, History, connect
from postclock.store.postgres.desk import WORDS, numbered
from postclock.store.postgres.loading import _SUMS as SUMS
from postclock.store.postgres.loading import SQL
from postclock.store.postgres.store import migrate_store
from postclock.store.postgres.weeks import ensure_weeks
from postclock.store.postgres.writing import _COUNT as COUNT
from postclock.store.tables import browse
from postclock.store.tables.ledger_reading import SQL as ENGINE
from postclock.store.views import MessageFilter, StatusFilter
from tests.support.clock import MovedClock
from tests.support.postgres import Cluster

STATEMENTS: Final = SQL | {"counts": SUMS, "count": COUNT}
# Whoever runs these walks through all lives, which are few, or looks for a batch to sweep by the index of such.
RARE: Final = {"foreign_claims", "drop_dead_claims"}
INDEX: Final = {
    "next_tenant": "queue_due", "due": "queue_due", "row": "queue_pkey", "take": "queue_pkey", "depart": "queue_pkey", "set_row": "queue_pkey",
    "drop_row": "queue_pkey", "sweep_rows": "queue_batch", "unswept": "batches_unswept", "drop_claims": "claims_pkey",
}  # fmt: skip
ROWS: Final = 20_000
VALUES: Final = {"bigint": "1", "integer": "1", "smallint": "1", "text": "'x'", "bytea": "'\\x00'"}


@pytest.fixture(scope="module", params=["empty", "full"])
def database(request: pytest.FixtureRequest, postgres_cluster: Cluster) -> Iterator[str]:
    """A store without statistics, or one of 20,000 waiting mails whose statistics were taken while nobody owned any of them."""
    name = f"plans_{request.param}"
    dsn = postgres_cluster.create_database(name)
    migrate_store(dsn)
    week = week_of(MovedClock().now_ms())
    if request.param == "full":
        _run(postgres_cluster, name, week)
    yield dsn
    postgres_cluster.drop_database(name)


def _run(cluster: Cluster, name: str, week: int) -> None:
    for table in ("submissions", "messages", "recipients", "events"):
        for each in range(week - 4, week + 1):
            cluster.sql(f"CREATE TABLE {table}_w{each} PARTITION OF {table} FOR VALUES IN ({each})", database=name)
    cluster.sql(
        "INSERT INTO messages (id, week, tenant, mode, submission, n_rcpt, rcpt, due_at, created_at) "
        f"SELECT n, {week} - n % 5, 1, 0, n, 1, 'x', n, n FROM generate_series(1, {ROWS}) AS n",
        database=name,
    )
    cluster.sql(
        "INSERT INTO queue (id, message, week, tenant, mode, lane, due_at, ready_at, status) "
        f"SELECT n, n, {week} - n % 5, n % 50, 0, 2, n, n, 0 FROM generate_series(1, {ROWS}) AS n",
        database=name,
    )
    cluster.sql(
        f"INSERT INTO events (message, n, week, type, at) SELECT n, 1, {week} - n % 5, 'x', 1 FROM generate_series(1, {ROWS}) AS n",
        database=name,
    )
    cluster.sql("ANALYZE", database=name)


@pytest.fixture
async def writer(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection set up as a writer's."""
    connection = await connect(database, History(), settings=dict(WRITING))
    await ensure_weeks(connection, [week_of(MovedClock().now_ms())])
    yield connection
    await connection.close()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - RARE))
async def test_a_hot_statement_goes_by_an_index(writer: asyncpg.Connection, name: str, mode: str) -> None:
    """Plans are kept from a time when tables were small, and must hold when they are not."""
    plan = await explain(writer, STATEMENTS[name], mode)
    assert not re.search(r"Seq Scan on", plan), plan
    assert INDEX.get(name, "") in plan, plan


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_what_is_to_be_forgotten_is_found_among_all_that_was_sent(writer: asyncpg.Connection, mode: str) -> None:
    """It is looked for twice a second."""
    plan = await explain(writer, numbered(ENGINE["to_redact"]), mode)
    assert not re.search(r"Seq Scan on", plan), plan
    assert "redact = 2" not in plan, "the partial index has nothing else"


@pytest.mark.parametrize("state", [State.delivered, State.bounced, State.failed, State.sandbox])
async def test_a_list_of_what_is_settled_asks_the_messages_alone(writer: asyncpg.Connection, state: State) -> None:
    """Whether a row is one of them is seen on the row: with a million others no queue row is looked up for each."""
    asked: list[str] = []

    def run(sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return []

    status = StatusFilter(states={state: frozenset(Shown)}, waits=None, now=0)
    browse.browse(run, WORDS, MessageFilter(tenant=1, mode=0, status=status), None, 50)
    plan = await explain(writer, numbered(asked[0]), "force_generic_plan")
    assert f"status = {int(state)})" in plan, plan
    assert "CASE" not in plan, plan


async def test_no_index_of_the_queue_has_what_a_departure_changes(writer: asyncpg.Connection) -> None:
    """Neither as a key nor in its condition: or no departure would stay on its page (HOT), at twice the cost."""
    changed = {"status", "departed_at", "handed_at", "tried_at", "stamp"}
    for (definition,) in await writer.fetch("SELECT indexdef FROM pg_indexes WHERE tablename = 'queue'"):
        assert not changed & set(re.findall(r"\w+", definition)), definition


async def explain(connection: asyncpg.Connection, sql: str, mode: str) -> str:
    """The plan, with a hundred values in every array."""
    await connection.execute("DEALLOCATE ALL")
    await connection.execute(f"PREPARE hot AS {sql}")
    types = await connection.fetchval(
        "SELECT array(SELECT t::text FROM unnest(parameter_types) AS t) FROM pg_prepared_statements WHERE name = 'hot'"
    )
    await connection.execute(f"SET plan_cache_mode = {mode}")
    given = f"({', '.join(_value(t) for t in types)})" if types else ""
    lines: list[Any] = await connection.fetch(f"EXPLAIN EXECUTE hot{given}")
    return "\n".join(line for (line,) in lines)


def _value(kind: str) -> str:
    base = kind.removesuffix("[]")
    if base == kind:
        return VALUES[kind]
    values = ", ".join(
        f"{n % 7}::{base}"
        if base == "smallint"
        else f"{n}::{base}"
        if base != "bytea" and base != "text"
        else f"'{n}'::{base}"
        for n in range(1, 101)
    )
    return f"ARRAY[{values}]"
