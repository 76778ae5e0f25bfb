"""Several processes over one PostgreSQL store, all of them the real ``postclock serve``, with one sink as their relay.

    with Fleet(tmp_path, dsn, apis=2, engines=2) as fleet:
        fleet.engines[0].kill()
        ...
        fleet.sink.wait_for(1)

The database has our schema; the fleet puts a tenant and a trusted domain into it.
"""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import asyncpg

from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.seal import Seal
from postclock.services import build_services
from postclock.stores import Opened
from tests.support.process import DOMAIN, Service
from tests.support.sink import Sink

SECRET_KEY: Final = "5a" * 32
"""The key of every process of a fleet."""


def ask(dsn: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    """The rows of one statement on a connection of its own."""

    async def work() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(dsn)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # the caller's thread may have a loop already
        return thread.submit(asyncio.run, work()).result()


class Fleet:
    """``apis`` processes with --only api and ``engines`` with --only engine; ``env`` are further POSTCLOCK_* variables of all."""

    def __init__(
        self, folder: Path, dsn: str, *, apis: int = 1, engines: int = 1, env: Mapping[str, str] | None = None
    ) -> None:
        self.dsn = dsn
        self.sink = Sink()
        self.apis: list[Service] = []
        self.engines: list[Service] = []
        self.owners: dict[int, Service] = {}
        """Engines by the owner ids of their lives, the present and the former ones."""
        self._folder = folder
        self._env = dict(env or {})
        self._first = (apis, engines)

    def __enter__(self) -> Self:
        self.sink.start()
        try:
            self.member().prepare()
            apis, engines = self._first
            self.apis += [self.member("api").spawn() for _ in range(apis)]
            self.engines += [self.member("engine").spawn() for _ in range(engines)]
            for member in (*self.apis, *self.engines):
                member.listening()
            for engine in self.engines:
                self._know(engine)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        members = [*self.apis, *self.engines]
        for member in members:
            if member.alive:
                member.thaw()
                member.terminate()
        for member in members:
            member.stop()
        self.sink.stop()

    def member(self, only: str | None = None, env: Mapping[str, str] | None = None) -> Service:
        """One more process for this store, not started; what it is started for is the caller's business."""
        made = len(list(self._folder.iterdir())) if self._folder.exists() else 0
        folder = self._folder / f"{only or 'member'}-{made}"
        folder.mkdir(parents=True)
        told = {
            "POSTCLOCK_STORE": self.dsn,
            "POSTCLOCK_SECRET_KEY": SECRET_KEY,
            "POSTCLOCK_COURIER": self.sink.url,
            **self._env,
            **(env or {}),
        }
        return Service(folder, env=told, args=() if only is None else ("--only", only), domain=None if only else DOMAIN)

    def add_engine(self) -> Service:
        """Start one more engine; returns when it listens."""
        engine = self.member("engine").start()
        self.engines.append(engine)
        self._know(engine)
        return engine

    def _know(self, engine: Service) -> None:
        told = [json.loads(line) for line in engine.log.splitlines()]
        self.owners[[line["owner"] for line in told if line["message"] == "began a life in the store"][-1]] = engine

    def add_tenant(self, name: str, domain: str, *settings: str) -> None:
        """A tenant with a trusted domain, and settings as ``postclock tenants set`` takes them."""

        async def make(store: Opened) -> None:
            seal = Seal(bytes.fromhex(SECRET_KEY))
            services = build_services(
                store, seal, store.clock, SystemEntropy(), has_room=lambda: None, on_point=lambda _: None
            )
            tenant = await services.tenants.create(name)
            await services.domains.add(tenant.id, domain, trusted=True)
            await services.tenants.set(name, settings)

        self.apis[0].beside(make)

    def owner_of(self, engine: Service) -> int:
        """The owner id of an engine's latest life."""
        return max(owner for owner, known in self.owners.items() if known is engine)

    def rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """What the database says."""
        return ask(self.dsn, statement, *arguments)

    def held(self, owner: int, *states: int) -> set[str]:
        """Addresses of the mail that an owner holds in these states (numbers of core.lifecycle.State)."""
        found = self.rows(
            "SELECT m.rcpt FROM queue q JOIN messages m ON m.id = q.message AND m.week = q.week "
            "WHERE q.owner = $1 AND q.status = ANY($2::int[])",
            owner,
            list(states),
        )
        return {address for (address,) in found}
