"""A real ``postclock serve`` for the benchmarks: its own folder, its own process, a key that may do everything."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postclock.assembly import build_services, open_data, secret_key
from postclock.core.account import ALL_SCOPES
from postclock.runtime.clock import SystemClock
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.seal import Seal
from postclock.settings import read_settings

DOMAIN = "mail.example.com"


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The variables of a service in ``folder``."""
    ours = {"POSTCLOCK_DATA": str(folder), "POSTCLOCK_LISTEN": "127.0.0.1:0", "POSTCLOCK_LOG": "warning"}
    rest = {k: v for k, v in os.environ.items() if not k.startswith("POSTCLOCK_")}
    return rest | ours | {f"POSTCLOCK_{k.upper()}": v for k, v in settings.items()}


async def _set_up(folder: Path) -> str:
    settings = read_settings(None, {"POSTCLOCK_DATA": str(folder)})
    store = open_data(settings, serve=False)
    try:
        seal = Seal(secret_key(settings))
        services = build_services(
            store, seal, SystemClock(), SystemEntropy(), has_room=lambda: None, on_point=lambda _: None
        )
        tenant = await services.tenants.create("default")
        await services.tenants.set("default", ["rate_sends=1000000", "rate_requests=1000000"])
        await services.domains.add(tenant.id, DOMAIN, trusted=True)
        made = await services.keys.make(
            tenant, name="bench", dialect="scaisend", environment="live", scopes=[str(s) for s in ALL_SCOPES]
        )
        return made.secret
    finally:
        store.close()


@contextmanager
def service(**settings: str) -> Iterator[tuple[str, int, str, int]]:
    """(host, port, key, process id) of a service that runs while the block does."""
    with tempfile.TemporaryDirectory(prefix="postclock-bench-") as name:
        folder = Path(name) / "data"
        key = asyncio.run(_set_up(folder))
        process = subprocess.Popen(
            [sys.executable, "-m", "postclock", "serve"],
            env=environment(folder, **settings),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            host, _, port = line.strip().rpartition("/")[2].rpartition(":")
            yield host, int(port), key, process.pid
        finally:
            process.terminate()
            process.wait(30)
