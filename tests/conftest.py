"""What tests of every floor may ask for."""

import secrets
from collections.abc import Iterator

import pytest

from postclock.store.postgres.store import migrate_store
from tests.support.postgres import Cluster


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for the whole run (of this xdist worker), started when a test first asks; it does not fsync."""
    with Cluster(durable=False) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _migrated(postgres_cluster: Cluster) -> str:
    """A database with our schema that nobody connects to: copies of it are quick."""
    name = f"migrated_{secrets.token_hex(6)}"
    migrate_store(postgres_cluster.create_database(name))
    return name


@pytest.fixture
def empty_postgres_dsn(postgres_cluster: Cluster) -> Iterator[str]:
    """An empty database of the test's own, without our schema."""
    name = f"empty_{secrets.token_hex(6)}"
    yield postgres_cluster.create_database(name)
    postgres_cluster.drop_database(name)


@pytest.fixture
def postgres_dsn(postgres_cluster: Cluster, _migrated: str) -> Iterator[str]:
    """A database of the test's own, with our schema and nothing in it."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgres_cluster.create_database(name, _migrated)
    postgres_cluster.drop_database(name)


@pytest.fixture(scope="module")
def module_postgres_dsn(postgres_cluster: Cluster, _migrated: str) -> Iterator[str]:
    """The same for the stories of a file together."""
    name = f"module_{secrets.token_hex(6)}"
    yield postgres_cluster.create_database(name, _migrated)
    postgres_cluster.drop_database(name)
