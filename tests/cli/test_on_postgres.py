"""The commands over a PostgreSQL store: the same answers as over the data folder's, and what differs is told."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from postclock.core.ids import public_message_id
from postclock.runtime.clock import SystemClock
from postclock.store.postgres import migrate
from postclock.store.postgres.store import open_beside, open_store
from tests.cli.parts import Commands
from tests.support import mails
from tests.support.dns_server import DnsServer
from tests.support.fleet import SECRET_KEY


@pytest.fixture
def shared(commands: Commands, postgres_dsn: str) -> Commands:
    """The command line over a database with our schema."""
    commands.env |= {"POSTCLOCK_STORE": postgres_dsn, "POSTCLOCK_SECRET_KEY": SECRET_KEY}
    return commands


def parked(dsn: str, *to: str) -> list[str]:
    """Overdue mail of the default tenant that waits for a person."""

    async def work() -> list[str]:
        store = open_beside(dsn)
        try:
            now = SystemClock().now_ms()
            owner = await store.accounts.tenant_named("default")
            accepted = await store.messages.accept(
                mails.acceptance(owner.id, [mails.message(now - 3_600_000, address) for address in to], now)
            )
            await store.ledger.park_overdue(now - 60_000, "held", now)
            return [public_message_id(week, ident) for week, ident in accepted.ids]
        finally:
            store.close()

    return asyncio.run(work())


def test_the_schema_is_made_by_the_command(commands: Commands, empty_postgres_dsn: str) -> None:
    """A look changes nothing; other commands say what to do first; then it fits."""
    commands.env |= {"POSTCLOCK_STORE": empty_postgres_dsn, "POSTCLOCK_SECRET_KEY": SECRET_KEY}
    for _ in range(2):
        done = commands.run("migrate", "--check", "--json")
        assert done.exit_code == 1
        assert json.loads(done.stdout) == {"version": 0, "newest": migrate.newest(), "fits": False}
    assert "postclock migrate" in commands.fails("tenants", "list")
    there = {"version": migrate.newest(), "newest": migrate.newest(), "fits": True}
    assert commands.json("migrate") == there
    assert commands.json("migrate") == there
    assert commands.json("migrate", "--check") == there
    assert [t["name"] for t in commands.json("tenants", "list")["tenants"]] == ["default"]


def test_tenants_keys_and_domains(shared: Commands) -> None:
    """Made, listed, changed, revoked."""
    shared.json("tenants", "create", "acme")
    assert shared.json("tenants", "set", "acme", "rate_sends=5")["settings"]["rate_sends"] == 5
    assert shared.json("tenants", "suspend", "acme")["status"] == "suspended"
    assert shared.json("tenants", "resume", "acme")["status"] == "active"
    assert "already" in shared.fails("tenants", "create", "acme")
    made = shared.json("keys", "create", "--tenant", "acme", "--scopes", "mail.send")
    assert [k["id"] for k in shared.json("keys", "list")["keys"]] == [made["id"]]
    shared.json("keys", "revoke", made["id"])
    added = shared.json("domains", "add", "mail.example.com", "--tenant", "acme", "--trust")
    assert added["verified"] is True
    assert shared.json("domains", "records", "mail.example.com")["records"] == added["records"]
    assert [d["domain"] for d in shared.json("domains", "list")["domains"]] == ["mail.example.com"]


def test_the_queue_is_shown_released_and_dropped(shared: Commands) -> None:
    """Parked mail by its id."""
    shared.json("tenants", "list")
    one, two = parked(shared.env["POSTCLOCK_STORE"], "ada@example.net", "bob@example.net")
    shape = shared.json("queue")
    assert (shape["waiting"], shape["parked"], shape["by_reason"]) == (2, 2, {"held": 2})
    assert one in shared.says("queue")
    assert shared.json("queue", "release", one) == {"released": 1}
    assert shared.json("queue", "drop", two) == {"dropped": 1}
    shape = shared.json("queue")
    assert (shape["waiting"], shape["parked"]) == (1, 0)


@pytest.fixture
def dns(shared: Commands) -> Iterator[None]:
    """A DNS that answers."""
    with DnsServer() as server:
        shared.env["POSTCLOCK_DNS"] = server.address
        yield


def check(commands: Commands, name: str) -> tuple[str, str, str]:
    """What doctor says of one thing: status, what it saw, what to do."""
    done = commands.run("doctor", "--json")
    [found] = [c for c in json.loads(done.stdout)["checks"] if c["name"] == name]
    assert (done.exit_code == 0) is json.loads(done.stdout)["ok"]
    return found["status"], found["what"], found["mend"]


@pytest.mark.usefixtures("dns")
def test_the_doctor_looks_at_the_database(shared: Commands) -> None:
    """In order; under another key; and away, which is a problem and no empty place."""
    shared.json("tenants", "list")
    assert shared.json("doctor")["ok"] is True
    shared.env["POSTCLOCK_SECRET_KEY"] = "ab" * 32
    assert check(shared, "secret key")[0] == "problem"
    shared.env["POSTCLOCK_STORE"] = "postgresql://postgres@127.0.0.1:1/postclock"
    status, what, _ = check(shared, "database")
    assert status == "problem"
    assert "cannot be opened" in what


@pytest.mark.usefixtures("dns")
def test_the_doctor_names_the_command_for_an_empty_database(shared: Commands, empty_postgres_dsn: str) -> None:
    """No start makes the schema here."""
    shared.env["POSTCLOCK_STORE"] = empty_postgres_dsn
    status, what, mend = check(shared, "database")
    assert status != "ok"
    assert "there is none yet" in what
    assert "postclock migrate" in mend


def test_a_backup_is_postgresqls_own_business(shared: Commands, tmp_path: Path) -> None:
    """It says with which tools, and writes nothing."""
    assert "pg_dump" in shared.fails("backup", str(tmp_path / "copy.db"))
    assert not (tmp_path / "copy.db").exists()


@contextmanager
def beating(dsn: str) -> Iterator[None]:
    """A process that lives."""
    store, over = open_store(dsn), threading.Event()

    def beat() -> None:
        while not over.wait(0.2):
            assert asyncio.run(store.ledger.beat(store.clock.now_ms()))

    with ThreadPoolExecutor(1) as thread:
        living = thread.submit(beat)
        try:
            yield
        finally:
            over.set()
            living.result()
            store.close()


def test_the_secret_key_is_changed_when_nobody_works_beside(shared: Commands) -> None:
    """Refused while a process lives; then everything is under the new key, which is printed once, and the old one is refused."""
    shared.json("domains", "add", "mail.example.com", "--trust")
    with beating(shared.env["POSTCLOCK_STORE"]):
        assert shared.fails("secrets", "rotate").startswith("stop every postclock process first")
    said = shared.json("secrets", "rotate")
    assert said["rewrapped"] == 2
    assert "the secret key is not the one" in shared.fails("domains", "list")
    shared.env["POSTCLOCK_SECRET_KEY"] = said["secret_key"]
    assert len(shared.json("domains", "list")["domains"]) == 1
    assert not [p for p in shared.data.iterdir() if p.name.startswith("secret")]


def test_a_process_that_was_killed_does_not_keep_the_secret_key(shared: Commands) -> None:
    """Its life goes on in the store until somebody has seen it stand still: the command looks for itself."""
    dsn = shared.env["POSTCLOCK_STORE"]
    killed = open_store(dsn)
    try:
        assert shared.json("secrets", "rotate")["rewrapped"] == 0
        assert asyncio.run(killed.ledger.beat(killed.clock.now_ms())) is False, "if it wakes it has lost its life"
    finally:
        killed.close()
