"""The server of the tests keeps what it committed through every death, and the wire to it breaks just where it is told to."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from tests.support.cutting_proxy import Proxy
from tests.support.postgres import Cluster

LOST: Final = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)
"""What a client gets when its connection breaks."""
PATIENCE: Final = 20.0
_names = (f"wire_{n}" for n in count())


@pytest.fixture
def database(postgres_cluster: Cluster) -> Iterator[str]:
    """A database with a table of its own."""
    name = next(_names)
    postgres_cluster.create_database(name)
    postgres_cluster.sql("CREATE TABLE kept (n int PRIMARY KEY)", database=name)
    yield name
    postgres_cluster.drop_database(name)


@pytest.fixture
def proxy(postgres_cluster: Cluster) -> Iterator[Proxy]:
    """A wire to the server."""
    with Proxy("127.0.0.1", postgres_cluster.port) as wire:
        yield wire


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    """A connection that is dropped in the end, whatever became of it."""
    connection = await asyncpg.connect(dsn, timeout=PATIENCE)
    try:
        yield connection
    finally:
        connection.terminate()


def rows(cluster: Cluster, database: str = "postgres") -> list[int]:
    """What is committed, asked for without the wire."""
    return [n for (n,) in cluster.sql("SELECT n FROM kept ORDER BY n", database=database)]


async def insert(connection: Any, n: int) -> None:
    """One row in a transaction, as the store writes."""
    async with connection.transaction():
        await connection.execute("INSERT INTO kept VALUES ($1)", n)


def test_it_answers_as_postgresql_18(postgres_cluster: Cluster) -> None:
    """A server that has started answers, and is the one we say it is."""
    ((version,),) = postgres_cluster.sql("SHOW server_version_num")
    assert int(version) // 10_000 == 18


def test_a_database_is_copied_from_a_template(postgres_cluster: Cluster, database: str) -> None:
    """A copy has the template's rows and goes its own way."""
    postgres_cluster.sql("INSERT INTO kept VALUES (1)", database=database)
    postgres_cluster.create_database("copied", template=database)
    postgres_cluster.sql("INSERT INTO kept VALUES (2)", database="copied")
    assert (rows(postgres_cluster, "copied"), rows(postgres_cluster, database)) == ([1, 2], [1])
    postgres_cluster.drop_database("copied")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        rows(postgres_cluster, "copied")


async def test_killed_it_keeps_what_it_committed() -> None:
    """Killed in the middle of a transaction and started again, it has the committed row, not the other, on the same port."""
    with Cluster() as cluster:
        cluster.sql("CREATE TABLE kept (n int PRIMARY KEY)")
        dsn = cluster.dsn()
        async with connected(dsn) as connection:
            await insert(connection, 1)
            await connection.execute("BEGIN; INSERT INTO kept VALUES (2)")
            cluster.kill()
            assert not cluster.alive
            with pytest.raises(LOST):
                await connection.execute("COMMIT")
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncpg.connect(dsn, timeout=PATIENCE)
        cluster.start()
        assert cluster.dsn() == dsn
        assert rows(cluster) == [1]
        assert "automatic recovery in progress" in cluster.log


def test_settings_are_given_changed_and_kept() -> None:
    """Given settings and changed ones outlive a restart; one that cannot be changed in a running server is told and not kept."""
    with Cluster(durable=False, settings={"work_mem": "7MB"}) as cluster:
        cluster.configure({"temp_buffers": "2048kB"})
        with pytest.raises(RuntimeError, match="shared_buffers"):
            cluster.configure({"shared_buffers": "32MB"})
        cluster.restart()
        shown = "SELECT current_setting('work_mem'), current_setting('temp_buffers'), current_setting('shared_buffers')"
        assert cluster.sql(shown) == [("7MB", "2MB", "64MB")]


def test_a_server_that_does_not_start_says_why() -> None:
    """The error has the server's own words, and nothing runs."""
    cluster = Cluster(settings={"work_mem": "much"})
    with pytest.raises(RuntimeError, match='invalid value for parameter "work_mem"'):
        cluster.start()
    assert not cluster.alive
    cluster.close()


async def test_a_promoted_standby_has_what_the_primary_acknowledged() -> None:
    """Writers run until the primary is killed; each row whose commit was answered is on the promoted standby, which takes new ones."""
    with Cluster() as primary:
        primary.sql("CREATE TABLE kept (n int PRIMARY KEY)")
        standby = primary.standby()
        primary.require_standby()
        numbers, acknowledged = count(), set[int]()
        enough = asyncio.Event()

        async def write() -> None:
            async with connected(primary.dsn()) as connection:
                while True:
                    n = next(numbers)
                    await insert(connection, n)
                    acknowledged.add(n)
                    if len(acknowledged) >= 200:
                        enough.set()

        writers = [asyncio.create_task(write()) for _ in range(4)]
        await asyncio.wait_for(enough.wait(), PATIENCE)
        await asyncio.to_thread(primary.kill)
        ended = await asyncio.gather(*writers, return_exceptions=True)
        assert all(isinstance(e, LOST) for e in ended), ended
        standby.promote()
        assert acknowledged <= set(rows(standby))
        standby.sql("INSERT INTO kept VALUES (-1)")
        assert standby.sql("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)") == [("00000002",)]


async def test_without_its_standby_a_commit_waits() -> None:
    """A commit that no standby has is not answered; once the standby is back, it is."""
    with Cluster(durable=False) as primary:
        primary.sql("CREATE TABLE kept (n int PRIMARY KEY)")
        standby = primary.standby()
        primary.require_standby()
        standby.kill()
        async with connected(primary.dsn()) as connection:
            writing = asyncio.create_task(insert(connection, 1))
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            async with asyncio.timeout(PATIENCE):
                while not await asyncio.to_thread(primary.sql, waiting):
                    assert not writing.done()
            assert rows(primary) == []
            standby.start()
            await asyncio.wait_for(writing, PATIENCE)
        assert rows(primary) == [1]


async def test_a_lost_commit_answer_leaves_the_row(postgres_cluster: Cluster, database: str, proxy: Proxy) -> None:
    """The client sees a broken connection, the row is there; the next transaction is not touched."""
    url = proxy.url(postgres_cluster.dsn(database))
    async with connected(url) as connection:
        await insert(connection, 1)
        proxy.lose_commit_answer()
        with pytest.raises(LOST):
            await insert(connection, 2)
    async with connected(url) as connection:
        await insert(connection, 3)
    assert rows(postgres_cluster, database) == [1, 2, 3]
    assert (proxy.commits_lost, proxy.commits_prevented) == (1, 0)


async def test_a_commit_that_failed_is_no_lost_answer(postgres_cluster: Cluster, database: str, proxy: Proxy) -> None:
    """COMMIT of a transaction that failed is answered ROLLBACK: that answer passes, and the next real one is lost."""
    proxy.lose_commit_answer()
    async with connected(proxy.url(postgres_cluster.dsn(database))) as connection:
        await connection.execute("BEGIN")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")
        assert await connection.execute("COMMIT") == "ROLLBACK"
        assert proxy.commits_lost == 0
        with pytest.raises(LOST):
            await insert(connection, 1)
    assert proxy.commits_lost == 1


async def test_a_lost_commit_leaves_no_row(postgres_cluster: Cluster, database: str, proxy: Proxy) -> None:
    """The client sees a broken connection, the row is not there and, the server having noticed, may be written again."""
    url = proxy.url(postgres_cluster.dsn(database))
    async with connected(url) as connection:
        proxy.lose_commit()
        with pytest.raises(LOST):
            await insert(connection, 1)
    assert rows(postgres_cluster, database) == []
    async with connected(url) as connection:
        await insert(connection, 1)
    assert rows(postgres_cluster, database) == [1]
    assert (proxy.commits_lost, proxy.commits_prevented) == (0, 1)


async def test_an_outage_refuses_until_it_is_over(postgres_cluster: Cluster, database: str, proxy: Proxy) -> None:
    """Connections break, new ones are refused, and after the outage the same address answers."""
    url = proxy.url(postgres_cluster.dsn(database))
    async with connected(url) as connection:
        proxy.refuse()
        assert proxy.connections == 0
        with pytest.raises(LOST):
            await connection.fetchval("SELECT 1")
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(url, timeout=PATIENCE)
    proxy.accept()
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_cut_resets_what_runs_and_takes_new_ones(
    postgres_cluster: Cluster, database: str, proxy: Proxy
) -> None:
    """A query that runs while all connections are cut ends at once; a new connection answers."""
    url = proxy.url(postgres_cluster.dsn(database))
    async with connected(url) as connection:
        sleeping = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
        running = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(postgres_cluster.sql, running):
                assert not sleeping.done()
        proxy.cut()
        with pytest.raises(LOST):
            await asyncio.wait_for(sleeping, PATIENCE)
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_frozen_nothing_passes_and_nothing_is_lost(
    postgres_cluster: Cluster, database: str, proxy: Proxy
) -> None:
    """A statement sent into a frozen wire is answered after the thaw, on the same connection, and has not been seen before."""
    async with connected(proxy.url(postgres_cluster.dsn(database))) as connection:
        own = await connection.fetchval("SELECT pg_backend_pid()")
        proxy.freeze()
        writing = asyncio.create_task(connection.execute("INSERT INTO kept VALUES (1)"))
        done, _ = await asyncio.wait([writing], timeout=0.2)
        assert not done
        assert rows(postgres_cluster, database) == []
        proxy.thaw()
        assert await asyncio.wait_for(writing, PATIENCE) == "INSERT 0 1"
        assert await connection.fetchval("SELECT pg_backend_pid()") == own


async def test_large_rows_pass_whole(postgres_cluster: Cluster, proxy: Proxy) -> None:
    """Messages of many reads arrive as they were sent, in both directions."""
    octets = bytes(range(256)) * 20_000
    async with connected(proxy.url(postgres_cluster.dsn())) as connection:
        assert await connection.fetchval("SELECT $1::bytea", octets) == octets


ORPHAN = """
import sys
from tests.support.postgres import Cluster
cluster = Cluster(durable=False)
cluster.start()
print(cluster._server.pid, cluster._data.parent, flush=True)
sys.stdin.read()
"""


def test_a_killed_test_process_leaves_no_server() -> None:
    """When the process that started a server is killed, the server ends and its folder is removed."""
    words = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        assert process.stdout is not None
        pid, folder = process.stdout.readline().split()
        os.kill(int(pid), 0)
        process.send_signal(signal.SIGKILL)
    ends = time.monotonic() + PATIENCE
    while Path(folder).exists() or _runs(int(pid)):
        assert time.monotonic() < ends
        time.sleep(0.01)


def _runs(process: int) -> bool:
    try:
        return b"postgres" in Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return False
