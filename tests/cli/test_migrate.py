"""postclock migrate: the schema brought up to date, or only looked at."""

import json

import apsw

from postclock.store.sqlite.migrate import newest
from tests.cli.parts import Commands


def change(commands: Commands, sql: str) -> None:
    connection = apsw.Connection(str(commands.data / "postclock.db"))
    connection.execute(sql)
    connection.close()


def test_a_look_changes_nothing(commands: Commands) -> None:
    """Where there is no store there is something to do: exit status 1, and no folder is made."""
    done = commands.run("migrate", "--check", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"version": 0, "newest": newest(), "fits": False}
    assert not commands.data.exists()


def test_a_store_is_made_and_then_fits(commands: Commands) -> None:
    """A second run finds nothing to do."""
    there = {"version": newest(), "newest": newest(), "fits": True}
    assert commands.json("migrate") == there
    assert commands.json("migrate") == there
    assert commands.json("migrate", "--check") == there
    assert "up to date" in commands.says("migrate", "--check")


def test_a_store_of_a_later_release_still_fits(commands: Commands) -> None:
    """Migrations only widen, so releases roll one process at a time."""
    commands.json("migrate")
    change(commands, "UPDATE meta SET value = '99' WHERE key = 'version'")
    assert commands.json("migrate", "--check") == {"version": 99, "newest": newest(), "fits": True}
    commands.json("tenants", "list")


def test_a_store_that_needs_a_later_release_is_refused(commands: Commands) -> None:
    """By a look, by a migration and by every other command."""
    commands.json("migrate")
    change(commands, "UPDATE meta SET value = '99' WHERE key IN ('version', 'oldest_app')")
    done = commands.run("migrate", "--check")
    assert done.exit_code == 1
    assert "needs a newer Postclock" in done.stdout
    for args in (("migrate",), ("tenants", "list"), ("serve",)):
        assert commands.fails(*args).startswith("the store needs an application of schema 99")
