"""The HTTP server of a process: uvicorn, quiet and bounded; and what answers while the store is not there yet.

On a shared store the schema is brought up to date by ``postclock migrate``, before or after the processes are started: until it
fits they wait, answer /health, and say at /ready what they wait for.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Self, TypeVar

import uvicorn
from starlette.types import ASGIApp

from postclock.cli.connection import BoundedConnection
from postclock.cli.output import say
from postclock.runtime.clock import SystemClock
from postclock.runtime.log import get_logger
from postclock.stores import CANNOT_YET
from postclock.web import build_waiting

T = TypeVar("T")

BACKLOG = 2048
DRAIN_SECONDS = 3
"""How long requests under way may finish at a stop."""
KEEP_ALIVE_SECONDS = 65
"""Patience with an idle connection: longer than clients and proxies keep theirs (5 to 60 s), or a send meets its very end and is cut off."""
LOOK_SECONDS = 1.0
_log = get_logger("serve")


class QuietServer(uvicorn.Server):
    """uvicorn without signal handlers of its own: the process has one plan for stopping."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def quiet_server(app: ASGIApp) -> QuietServer:
    """A server for ``app``; set ``should_exit`` to stop it."""
    return QuietServer(
        uvicorn.Config(
            app, http=BoundedConnection, ws="none", lifespan="off", access_log=False, log_config=None, server_header=False, proxy_headers=False,
            backlog=BACKLOG, timeout_graceful_shutdown=DRAIN_SECONDS, timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
    )  # fmt: skip


class Waiting:
    """Answers on ``listener`` while the store cannot be worked with; the listener outlives it."""

    def __init__(self, listener: socket.socket, url: str, *, as_json: bool) -> None:
        self._listener = listener
        self._url = url
        self._as_json = as_json
        self._reason = "starting"
        self._server: QuietServer | None = None
        self._serving: asyncio.Future[None] | None = None
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
        await self._group.__aexit__(None, None, None)  # what went wrong inside goes on as it is, in no group

    async def until(self, build: Callable[[], T], stopping: asyncio.Event) -> T | None:
        """What ``build`` makes, as soon as it can be made; None when the process is told to stop. Raises what cannot be waited for."""
        loop = asyncio.get_running_loop()
        while not stopping.is_set():
            try:
                return await loop.run_in_executor(None, build)
            except CANNOT_YET as error:
                self._say(str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stopping.wait()
        return None

    def _say(self, reason: str) -> None:
        if self._server is None:
            # A copy of the socket: uvicorn closes what it served on.
            self._server = quiet_server(build_waiting(lambda: self._reason, SystemClock()))
            self._serving = self._group.create_task(self._server.serve(sockets=[self._listener.dup()]))
        if reason != self._reason:
            self._reason = reason
            _log.warning("waiting for the store", reason=reason)
            say(
                {"url": self._url, "waiting": reason},
                f"Postclock waits on {self._url}: {reason}",
                as_json=self._as_json,
            )
