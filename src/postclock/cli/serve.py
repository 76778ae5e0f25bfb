"""``postclock serve``: the API and the engine in one process, until SIGTERM or SIGINT."""

import asyncio
import gc
import signal
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from postclock.assembly import House, build, check_key, ensure_default, park_after_restore
from postclock.cli.command import AsJson, Config, settings_of, told
from postclock.cli.demo import prepare_demo
from postclock.cli.output import say
from postclock.cli.server import BACKLOG, Waiting, quiet_server
from postclock.core.errors import Busy, PostclockError
from postclock.engine.heartbeat import Heartbeat, LostLife
from postclock.engine.points import POINTS
from postclock.engine.supervisor import Engine
from postclock.runtime.log import get_logger
from postclock.runtime.open_files import allow_all
from postclock.runtime.shifted_clock import ShiftedClock
from postclock.settings import Settings, url_of
from postclock.stores import CannotStart, is_shared
from postclock.web import build_operations

_log = get_logger("serve")


class Part(StrEnum):
    """What a process can be told to do alone."""

    api = "api"
    engine = "engine"


def serve(
    only: Annotated[
        Part | None, typer.Option(help="Only this part; any number of processes of each, over PostgreSQL.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
    demo: Annotated[bool, typer.Option("--demo", hidden=True)] = False,
    die_at: Annotated[str | None, typer.Option("--die-at", hidden=True)] = None,
    clock_file: Annotated[Path | None, typer.Option("--clock-file", hidden=True)] = None,
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
        allow_all()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, only, clock_file, demo=demo, die_at=die_at, as_json=as_json))


class EngineEnded(PostclockError):
    """Without its engine the process is no use: it ends, and whoever watches it starts it again."""


def _calm_the_collector() -> None:
    """What lives as long as the process is not looked at again; the rest less often: a large call makes no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _serve(
    settings: Settings, only: Part | None, clock_file: Path | None, *, demo: bool, die_at: str | None, as_json: bool
) -> None:
    with _listen(settings) as listener:
        url = url_of(*listener.getsockname()[:2])
        if settings.listen[1] == 0 and settings.public_url.endswith(":0"):
            settings = msgspec.structs.replace(settings, public_url=url)
        shift = (lambda clock: clock) if clock_file is None else (lambda clock: ShiftedClock(clock, clock_file))
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)

        def building() -> House:
            return build(settings, shift=shift, die_at=die_at, api=only is not Part.engine)

        if not is_shared(settings):
            await _serve_on(listener, url, building(), only, stopping, demo=demo, as_json=as_json)
            return
        async with Waiting(listener, url, as_json=as_json) as waiting:
            house = await waiting.until(building, stopping)
        if house is not None:
            await _serve_on(listener, url, house, only, stopping, demo=demo, as_json=as_json)


async def _serve_on(
    listener: socket.socket,
    url: str,
    house: House,
    only: Part | None,
    stopping: asyncio.Event,
    *,
    demo: bool,
    as_json: bool,
) -> None:
    try:
        await _furnish(house, stopping)
        if not stopping.is_set():
            if is_shared(house.settings):  # others name it by this number, when they declare it dead for one
                _log.info("began a life in the store", owner=house.store.ledger.owner.id)
            await _run(house, listener, only, url, stopping, demo=demo, as_json=as_json)
    finally:
        await asyncio.get_running_loop().run_in_executor(None, house.store.close)


async def _furnish(house: House, stopping: asyncio.Event) -> None:
    """What a store needs before anybody asks; a store that is in trouble is waited for."""
    while not stopping.is_set():
        try:
            await check_key(house.store, house.seal)
            await ensure_default(house.services)
            parked = await park_after_restore(house)
        except Busy as busy:
            _log.warning("waiting for the store", reason=str(busy))
            await house.clock.sleep(1)
            continue
        if parked:
            _log.warning("parked what was overdue after a long stop: see `postclock queue`", rows=parked)
        return


async def _run(
    house: House,
    listener: socket.socket,
    only: Part | None,
    url: str,
    stopping: asyncio.Event,
    *,
    demo: bool,
    as_json: bool,
) -> None:
    server = quiet_server(
        build_operations(house.store, house.engine, house.metrics) if only is Part.engine else house.app
    )
    loop = asyncio.get_running_loop()
    lost = asyncio.Event()

    def end_lost() -> None:
        lost.set()
        stopping.set()

    house.engine.on_failure = lambda: loop.call_soon_threadsafe(stopping.set)
    if only is not Part.api:
        await _start(house.engine, stopping)
        if stopping.is_set() and house.engine.failure is None:
            await loop.run_in_executor(None, house.engine.stop)
            return
    listener.listen(BACKLOG)  # whoever reads "listens on" may connect at once
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[listener]))
        beside = [group.create_task(_flush(house)), group.create_task(house.engagements.run())]
        if only is Part.api:  # else the engine's
            heartbeat = Heartbeat(house.store.ledger, house.clock, lost=end_lost, seen=house.share.seen)
            beside.append(group.create_task(heartbeat.run()))
        await _say(house, url, demo=demo, as_json=as_json)
        await stopping.wait()
        _log.info("stopping")
        server.should_exit = True
        await loop.run_in_executor(None, house.engine.stop)
        await asyncio.wait((serving,))  # requests under way are this life's
        for task in beside:
            task.cancel()
    await house.engagements.flush()
    await house.services.authenticator.flush_used()
    failure = house.engine.failure
    if failure is not None and not isinstance(failure, LostLife):
        raise EngineEnded(f"the engine ended by itself: {failure}")
    if failure is not None or lost.is_set():
        raise LostLife("this process was declared dead by another one: its work goes on there")


async def _start(engine: Engine, stopping: asyncio.Event) -> None:
    """Start the engine. It waits for a store that is away, as long as it takes; a stop meanwhile ends the waiting."""
    loop = asyncio.get_running_loop()

    async def stop_early() -> None:
        await stopping.wait()
        await loop.run_in_executor(None, engine.stop)

    starting = loop.run_in_executor(None, engine.start)
    async with asyncio.TaskGroup() as group:
        early = group.create_task(stop_early())
        await asyncio.wait((starting,))
        early.cancel()
    starting.result()


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
