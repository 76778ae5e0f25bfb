"""How PostgreSQL finds what is to be told: by the endpoint's own index, however much was told to others before."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

import asyncpg
import pytest

from postclock.store.postgres.connection import WRITING, History, connect
from postclock.store.postgres.desk import numbered
from postclock.store.postgres.store import migrate_store
from postclock.store.tables.outbox import SQL
from tests.support.postgres import Cluster

TOLD, WAITING, NOTHING = 1, 2, 3
"""Endpoints: one with a long past, one with much to come, one that never heard of anything."""
ROWS: Final = 100_000
NOW: Final = 1_000
FAR: Final = 9_000
CALLS: Final = {
    "leasable": (NOW, FAR, NOW, NOW, FAR, 7, NOW, 16, 7, NOW, 16, 64),
    "waiting": (WAITING, WAITING, NOW, FAR, NOW, FAR, 1000),
    "count_waiting": (NOTHING, NOTHING, 100_000),
    "deliveries": (*(WAITING, WAITING, 500) * 3, 500),
    "replay": (WAITING, 1, 1, 0, 2**62, 1000),
    "remove_deliveries": (WAITING, WAITING, 1000),
}
WRITTEN: Final = {"replay", "remove_deliveries"}


@pytest.fixture(scope="module", params=["unknown", "known"])
def database(request: pytest.FixtureRequest, postgres_cluster: Cluster) -> Iterator[str]:
    """A store with deliveries, before and after statistics were taken."""
    name = f"outbox_plans_{request.param}"
    dsn = postgres_cluster.create_database(name)
    migrate_store(dsn)
    for sql in (
        "ALTER TABLE webhook_deliveries SET (autovacuum_enabled = off)",
        "INSERT INTO tenants (id, name, settings, created_at) VALUES (1, 'shop', '', 1)",
        (
            "INSERT INTO webhooks (id, tenant, mode, dialect, kind, url, types, active, created_at, updated_at, public_key) "
            f"SELECT n, 1, 0, 'scaisend', 'endpoint', 'https://x', '', 1, 1, 1, '' FROM generate_series(1, {NOTHING}) AS n"
        ),
        (
            "INSERT INTO webhook_deliveries (webhook, message, week, n, type, at, state) "
            f"SELECT {TOLD}, n, 1, 0, 'processed', n, 1 FROM generate_series(1, {ROWS}) AS n"
        ),
        (
            "INSERT INTO webhook_deliveries (webhook, message, week, n, type, at) "
            f"SELECT {WAITING}, n, 1, 0, 'processed', n FROM generate_series(1, {ROWS}) AS n"
        ),
        (
            "INSERT INTO webhook_deliveries (webhook, message, week, n, type, at, retry_at) "
            f"SELECT 101 + n % 900, n, 1, 0, 'processed', n, CASE WHEN n % 10 = 0 THEN 500 END FROM generate_series(1, {ROWS}) AS n"
        ),
    ):
        postgres_cluster.sql(sql, database=name)
    if request.param == "known":
        postgres_cluster.sql("ANALYZE", database=name)
    yield dsn
    postgres_cluster.drop_database(name)


@pytest.fixture
async def connection(database: str, name: str) -> AsyncIterator[asyncpg.Connection]:
    """Such as the statement runs on."""
    made = await connect(database, History(), settings=dict(WRITING) if name in WRITTEN else {})
    yield made
    await made.close()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("name", sorted(CALLS))
async def test_what_is_told_is_found_among_all_that_was(connection: asyncpg.Connection, name: str, mode: str) -> None:
    """By nobody else's deliveries: not by a walk over the ids, nor by reading the table."""
    await connection.execute(f"SET plan_cache_mode = {mode}")
    await connection.execute(f"PREPARE asked AS {numbered(SQL[name])}")
    values = ", ".join(map(str, CALLS[name]))
    undone = connection.transaction()
    await undone.start()
    lines = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE asked ({values})")
    await undone.rollback()
    plan = "\n".join(line for (line,) in lines)
    assert "Seq Scan on webhook_deliveries" not in plan, plan
    removed = [int(line.split(":")[1]) for line in plan.splitlines() if "Rows Removed by Filter" in line]
    assert sum(removed) < ROWS // 10, plan
    assert f"rows={ROWS}" not in plan, plan
