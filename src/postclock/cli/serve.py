"""``postclock serve``: the API and the engine in one process, until SIGTERM or SIGINT."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
import uvicorn
import uvloop

from postclock.assembly import (
    CannotStart,
    House,
    build,
    build_operations,
    check_key,
    ensure_default,
    park_after_restore,
)
from postclock.cli.command import AsJson, Config, settings_of, told
from postclock.cli.connection import BoundedConnection
from postclock.cli.demo import prepare_demo
from postclock.cli.output import say
from postclock.core.errors import PostclockError
from postclock.engine.points import POINTS
from postclock.runtime.log import get_logger
from postclock.settings import Settings, url_of

BACKLOG = 2048
DRAIN_SECONDS = 3
"""How long requests under way may finish at a stop."""
_log = get_logger("serve")


class Part(StrEnum):
    """What a process can be told to do alone."""

    api = "api"
    engine = "engine"


def serve(
    only: Annotated[Part | None, typer.Option(help="Only this part (more processes need PostgreSQL).")] = None,
    config: Config = None,
    as_json: AsJson = False,
    demo: Annotated[bool, typer.Option("--demo", hidden=True)] = False,
    die_at: Annotated[str | None, typer.Option("--die-at", hidden=True)] = None,
) -> None:
    """Serve until SIGTERM or SIGINT."""
    if die_at is not None and die_at not in POINTS:
        raise typer.BadParameter(f"one of: {', '.join(POINTS)}", param_hint="--die-at")
    with told():
        settings = settings_of(config)
        if only is not None and settings.courier == "inbox":
            raise CannotStart(
                "the inbox courier needs API and engine in one process: leave out --only, or set POSTCLOCK_COURIER"
            )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, only, demo=demo, die_at=die_at, as_json=as_json))


class EngineEnded(PostclockError):
    """Without its engine the process is no use: it ends, and whoever watches it starts it again."""


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the process has one plan for stopping."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _calm_the_collector() -> None:
    """What lives as long as the process is not looked at again; the rest less often: a large call makes no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _serve(settings: Settings, only: Part | None, *, demo: bool, die_at: str | None, as_json: bool) -> None:
    with _listen(settings) as listener:
        url = url_of(*listener.getsockname()[:2])
        if settings.listen[1] == 0 and settings.public_url.endswith(":0"):
            settings = msgspec.structs.replace(settings, public_url=url)
        await _serve_on(listener, url, build(settings, die_at=die_at), only, demo=demo, as_json=as_json)


async def _serve_on(
    listener: socket.socket, url: str, house: House, only: Part | None, *, demo: bool, as_json: bool
) -> None:
    try:
        await check_key(house.store, house.seal)
        await ensure_default(house.services)
        parked = await park_after_restore(house)
        if parked:
            _log.warning("parked what was overdue after a long stop: see `postclock queue`", rows=parked)
        await _run(house, listener, only, url, demo=demo, as_json=as_json)
    finally:
        house.store.close()


async def _run(
    house: House, listener: socket.socket, only: Part | None, url: str, *, demo: bool, as_json: bool
) -> None:
    app = build_operations(house) if only is Part.engine else house.app
    server = _Server(
        uvicorn.Config(
            app, http=BoundedConnection, ws="none", lifespan="off", access_log=False, log_config=None, server_header=False, proxy_headers=False,
            backlog=BACKLOG, timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    house.engine.on_failure = lambda: loop.call_soon_threadsafe(stopping.set)
    if only is not Part.api:
        await loop.run_in_executor(None, house.engine.start)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    listener.listen(BACKLOG)  # whoever reads "listens on" may connect at once
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]))
        flushing = group.create_task(_flush(house))
        await _say(house, url, demo=demo, as_json=as_json)
        await stopping.wait()
        _log.info("stopping")
        server.should_exit = True
        await loop.run_in_executor(None, house.engine.stop)
        flushing.cancel()
    await house.services.authenticator.flush_used()
    if house.engine.failure is not None:
        raise EngineEnded(f"the engine ended by itself: {house.engine.failure}")


async def _flush(house: House) -> None:
    while True:
        await house.clock.sleep(10)
        await house.services.authenticator.flush_used()


async def _say(house: House, url: str, *, demo: bool, as_json: bool) -> None:
    shown = await prepare_demo(house, url) if demo else None
    lines = [f"Postclock listens on {url}", *([shown] if shown else [])]
    say({"url": url}, *lines, as_json=as_json)


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.listen
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror} (POSTCLOCK_LISTEN)") from error
    listener.listen(BACKLOG)  # from here on callers wait in the queue instead of being refused
    listener.setblocking(False)
    return listener
