"""A real ``postclock serve`` for the benchmarks: its own folder or database, its own process, a key that may do everything.

On PostgreSQL the server is the tests' (from the wheel), with fsync, in a folder of its own.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from postclock.assembly import secret_key
from postclock.core.account import ALL_SCOPES
from postclock.runtime.clock import SystemClock
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.seal import Seal
from postclock.services import build_services
from postclock.settings import read_settings
from postclock.stores import migrate_data, open_data
from tests.support.postgres import Cluster

DOMAIN = "mail.example.com"
Kind = Literal["sqlite", "postgres"]
STORES: tuple[Kind, ...] = ("sqlite", "postgres")
SECRET = "5c" * 32


@contextmanager
def database(kind: Kind) -> Iterator[dict[str, str]]:
    """The settings that name a new store of that kind."""
    if kind == "sqlite":
        yield {}
        return
    with Cluster(durable=True, settings={"shared_buffers": "512MB", "max_wal_size": "4GB"}) as cluster:
        yield {"store": cluster.create_database("bench"), "secret_key": SECRET}


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The variables of a service in ``folder``."""
    ours = {"POSTCLOCK_DATA": str(folder), "POSTCLOCK_LISTEN": "127.0.0.1:0", "POSTCLOCK_LOG": "warning"}
    rest = {k: v for k, v in os.environ.items() if not k.startswith("POSTCLOCK_")}
    return rest | ours | {f"POSTCLOCK_{k.upper()}": v for k, v in settings.items()}


async def _set_up(folder: Path, given: dict[str, str], tenant_settings: Sequence[str]) -> str:
    variables = {f"POSTCLOCK_{k.upper()}": v for k, v in given.items()}
    settings = read_settings(None, {"POSTCLOCK_DATA": str(folder)} | variables)
    migrate_data(settings)
    store = open_data(settings)
    try:
        seal = Seal(secret_key(settings))
        services = build_services(
            store, seal, SystemClock(), SystemEntropy(), has_room=lambda: None, on_point=lambda _: None
        )
        tenant = await services.tenants.create("default")
        await services.tenants.set("default", ["rate_sends=1000000", "rate_requests=1000000", *tenant_settings])
        await services.domains.add(tenant.id, DOMAIN, trusted=True)
        made = await services.keys.make(
            tenant, name="bench", dialect="scaisend", environment="live", scopes=[str(s) for s in ALL_SCOPES]
        )
        return made.secret
    finally:
        store.close()


@contextmanager
def service(
    kind: Kind = "sqlite", *, tenant: Sequence[str] = (), **settings: str
) -> Iterator[tuple[str, int, str, int]]:
    """(host, port, key, process id) of a service that runs while the block does; ``tenant``: settings as of `tenants set`."""
    with fleet(kind, [()], tenant=tenant, **settings) as (key, [(host, port, pid)]):
        yield host, port, key, pid


@contextmanager
def fleet(
    kind: Kind, processes: Sequence[tuple[str, ...]], *, tenant: Sequence[str] = (), **settings: str
) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """(key, (host, port, process id) of each) of services over one store, each with its arguments of ``serve``."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postclock-bench-")))
        store = stack.enter_context(database(kind))
        key = asyncio.run(_set_up(folder / "data0", store, tenant))
        yield (
            key,
            [
                stack.enter_context(_process(folder / f"data{n}", arguments, store | settings))
                for n, arguments in enumerate(processes)
            ],
        )


@contextmanager
def _process(folder: Path, arguments: tuple[str, ...], settings: dict[str, str]) -> Iterator[tuple[str, int, int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "postclock", "serve", *arguments],
        env=environment(folder, **settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listens on" in line, line
        host, _, port = line.strip().rpartition("/")[2].rpartition(":")
        yield host, int(port), process.pid
    finally:
        process.terminate()
        process.wait(30)
