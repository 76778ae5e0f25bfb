"""The ASGI app of the process: routes for everything, and a short cut for the hot endpoints, which never see the router.

What no route answers (unknown path, wrong method, an accident) is answered here, in the shape of the dialect that owns the path.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postclock.api.failures import PLAIN, Voice, failure_of
from postclock.api.request_id import HEADER, REQUEST_ID, fresh_request_id
from postclock.core.errors import PostclockError
from postclock.runtime.log import get_logger

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]

_log: Final = get_logger("api")


def build_app(
    routes: Sequence[BaseRoute],
    hot: Mapping[tuple[str, str], ASGIApp],
    *,
    voices: Mapping[str, Voice],
    lifespan: Lifespan | None = None,
) -> ASGIApp:
    """The app. ``hot`` is keyed by (method, exact path); ``voices`` by the prefix of the paths that a dialect owns.

    A hot app gets the plain ASGI triple and answers its own failures; what escapes it is logged and answered as 500.
    """

    def voice_of(path: str) -> Voice:
        return next((voice for prefix, voice in voices.items() if path.startswith(prefix)), PLAIN)

    async def fail(request: Request, error: Exception) -> Response:
        failure = failure_of(error)
        if failure.status == 405 and request.method == "OPTIONS":
            return Response(status_code=204, headers=dict(failure.headers))
        path = request.url.path
        voice = voice_of(path)
        return Response(
            voice.failure_body(path, failure),
            voice.status_of(failure),
            dict(failure.headers),
            media_type="application/json",
        )

    inner = Starlette(
        routes=[*routes, *(Route(path, _Served(app), methods=[method]) for (method, path), app in hot.items())],
        exception_handlers={HTTPException: fail, PostclockError: fail, Exception: fail},
        lifespan=lifespan,
    )
    inner.router.redirect_slashes = False  # a redirected POST loses its body with many clients: 404 is plainer
    return _App(inner, dict(hot), fail)


class _Served:
    """An ASGI app as an object: Starlette takes functions for something else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _App:
    def __init__(
        self,
        inner: ASGIApp,
        hot: dict[tuple[str, str], ASGIApp],
        fail: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._inner = inner
        self._hot = hot
        self._fail = fail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = fresh_request_id()
        started = False

        async def marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (HEADER, request_id.encode())]
            await send(message)

        try:
            await self._hot.get((scope["method"], scope["path"]), self._inner)(scope, receive, marked)
        except Exception as error:  # noqa: BLE001  (the last line: the caller learns only that it happened)
            _log.exception(
                "a request failed unexpectedly", method=scope["method"], path=scope["path"], request=request_id
            )
            if not started:  # the hot ones; the router answers and then tells
                response = await self._fail(Request(scope), error)
                await response(scope, receive, marked)
