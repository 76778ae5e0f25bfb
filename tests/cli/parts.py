"""The command line as a test calls it, and the mail that it finds in a store."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from typer.testing import CliRunner, Result

from postclock.cli.main import app
from postclock.core.ids import public_message_id
from postclock.runtime.clock import SystemClock
from postclock.store.sqlite.store import SqliteStore, open_beside
from tests.support import mails
from tests.support.process import environment

T = TypeVar("T")


class Commands:
    """``postclock`` over one data folder. ``env`` may be changed between calls."""

    def __init__(self, data: Path, **env: str) -> None:
        self.data = data
        self.env = {"POSTCLOCK_HOSTNAME": "mx.example.net"} | env

    def run(self, *args: str) -> Result:
        """One command, whatever becomes of it."""
        # None takes a variable out that the surroundings may have.
        return CliRunner().invoke(app, list(args), env=environment(self.data, self.env))

    def json(self, *args: str) -> Any:
        """What a command that succeeds says with --json: one object, alone on stdout."""
        done = self.run(*args, "--json")
        assert done.exit_code == 0, done.output
        assert done.stdout.count("\n") == 1
        said = json.loads(done.stdout)
        assert isinstance(said, dict)
        return said

    def says(self, *args: str) -> str:
        """What a command that succeeds says to a person."""
        done = self.run(*args)
        assert done.exit_code == 0, done.output
        return done.stdout

    def fails(self, *args: str) -> str:
        """The one line of a command that fails: on stderr, nothing on stdout, with --json as without."""
        for more in ([], ["--json"]):
            done = self.run(*args, *more)
            assert done.exit_code == 1, done.output
            assert done.stdout == ""
            assert done.stderr.count("\n") == 1
            assert done.stderr.startswith("postclock: ")
        return done.stderr.removeprefix("postclock: ").strip()

    def store(self, work: Callable[[SqliteStore], Coroutine[Any, Any, T]]) -> T:
        """Look into the store, or put something there."""

        async def go() -> T:
            store = open_beside(self.data, SystemClock())
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(go())


@dataclass(frozen=True, slots=True)
class Parked:
    """A mail that waits for a person."""

    public: str
    row: int


def park(commands: Commands, tenant: str, reason: str, *to: str) -> list[Parked]:
    """Mails of a tenant, overdue by an hour and parked for ``reason``."""

    commands.json("tenants", "list")  # a new folder gets its first tenant

    async def work(store: SqliteStore) -> list[Parked]:
        now = SystemClock().now_ms()
        owner = await store.accounts.tenant_named(tenant)
        accepted = await store.messages.accept(
            mails.acceptance(owner.id, [mails.message(now - 3_600_000, address) for address in to], now)
        )
        await store.ledger.park_overdue(now - 60_000, reason, now)
        return [Parked(public_message_id(week, ident), ident) for week, ident in accepted.ids]

    return commands.store(work)
