"""An endpoint as a value: method, path, scopes, ceiling, shapes, and the function that answers.

Routes and the OpenAPI document are made from the same values, so neither can hold what the other lacks. What every call goes through
stands here once: credential, scope, ceiling, then the body, then the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from postclock.api.failures import Headers, Voice, failure_of
from postclock.api.intake import Intake
from postclock.api.limits import Ceiling, Limits
from postclock.api.query import Query
from postclock.api.request_id import REQUEST_ID
from postclock.api.shape import THREAD_FROM, decode
from postclock.core.account import Principal, Scope
from postclock.core.errors import PostclockError, Unauthorized
from postclock.runtime.log import get_logger
from postclock.service.principal import Authenticator

T = TypeVar("T")

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]

_log: Final = get_logger("api")
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header as the document describes it; ``shape`` is a type that msgspec can put into a schema."""

    name: str
    shape: Any
    text: str = ""
    place: Literal["query", "header"] = "query"


class Call:
    """One call that was let in: who asks, and what for."""

    __slots__ = ("_body", "_decoded", "_empty_list_is_absent", "_nothing", "_request", "principal", "query")

    def __init__(
        self, principal: Principal, request: Request, body: bytes, *, empty_list_is_absent: bool = False
    ) -> None:
        self.principal = principal
        self.query = Query(request.query_params)
        self._request = request
        self._body = body
        self._empty_list_is_absent = empty_list_is_absent
        self._nothing = (b"", b"[]") if empty_list_is_absent else (b"",)
        self._decoded: tuple[Any, Any] | None = None

    def path(self, name: str) -> str:
        """A part of the path, decoded."""
        return str(self._request.path_params[name])

    def header(self, name: str) -> str | None:
        """A header's value."""
        return self._request.headers.get(name)

    @property
    def raw(self) -> bytes:
        """The body as it came."""
        return self._body

    def body(self, shape: type[T]) -> T:
        """The body as ``shape``; a missing one counts as ``{}`` where nothing is required, and so does ``[]`` where the voice says so.

        Raises Invalid with every bad field.
        """
        if self._decoded is not None and self._decoded[0] == shape:
            ahead: T = self._decoded[1]
            return ahead
        if not is_required(shape) and self._body.strip() in self._nothing:
            return decode(b"{}", shape)
        return self._decode(shape)

    async def decode_ahead(self, shape: type[Any]) -> None:
        """Decode a large body in a thread, for ``body`` to find. Raises Invalid as it does."""
        if len(self._body) >= THREAD_FROM:
            self._decoded = shape, await asyncio.to_thread(self._decode, shape)

    def _decode(self, shape: type[T]) -> T:
        return decode(self._body, shape, empty_list_is_absent=self._empty_list_is_absent)


def is_required(shape: Any) -> bool:
    """Whether a body of this shape must be there: a struct with a field that must, or a list."""
    return not isinstance(shape, type) or any(field.required for field in msgspec.structs.fields(shape))


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered; ``value`` is a msgspec struct (or a list of them), None for no body. ``status`` None: the endpoint's own."""

    value: Any = None
    status: int | None = None
    headers: Headers = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation. ``answer`` None: it is described here and served elsewhere (the hot path).

    ``scopes``: one of them is needed, none means any key. ``gives_too``: another shape that it gives, where a parameter asks for it.
    ``refuses`` are the failures beside 401, 403, 413, 429, 500 and 503 (and 404, where the path has a variable) that it may answer.
    """

    method: Method
    path: str
    summary: str
    answer: Callable[[Call], Awaitable[Reply]] | None
    scopes: tuple[Scope, ...] = ()
    ceiling: Ceiling = Ceiling.requests
    takes: Any = None
    gives: Any = None
    gives_too: Any = None
    status: int = 200
    refuses: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    public: bool = False
    """Asks for no credential; only for what is served elsewhere."""


class Gate:
    """What a call passes before it is answered, and what is made of it after. One for all endpoints of a process."""

    def __init__(self, authenticator: Authenticator, limits: Limits, intake: Intake, voice: Voice) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._intake = intake
        self._voice = voice

    async def serve(self, endpoint: Endpoint, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request; never raises for what a caller can cause."""
        headers: Headers = ()
        try:
            request = Request(scope, receive)
            principal = await self._authenticator.authenticate(_credential(request))
            headers = self._limits.look(principal, endpoint.ceiling).headers()
            if endpoint.scopes:
                principal.needs(*endpoint.scopes)
            headers = self._limits.take(principal, endpoint.ceiling).headers()
            assert endpoint.answer is not None
            async with self._intake.body(scope, receive) as body:
                call = Call(principal, request, body, empty_list_is_absent=self._voice.empty_list_is_absent)
                if endpoint.takes is not None:
                    await call.decode_ahead(endpoint.takes)
                reply = await endpoint.answer(call)
            response = _response(reply, endpoint.status, headers)
        except ClientDisconnect:
            return
        except PostclockError as error:
            response = self._failed(str(scope["path"]), error, headers)
        except Exception as error:  # noqa: BLE001  (the last line: whatever it was, the caller learns only that it happened)
            _log.exception(
                "a call failed unexpectedly",
                method=endpoint.method,
                path=endpoint.path,
                request=scope.get(REQUEST_ID),
            )
            response = self._failed(str(scope["path"]), error, headers)
        await response(scope, receive, send)

    def _failed(self, path: str, error: Exception, headers: Headers) -> Response:
        failure = failure_of(error)
        told = {name for name, _ in failure.headers}
        response = Response(
            self._voice.failure_body(path, failure), self._voice.status_of(failure), media_type="application/json"
        )
        _add(response, (*failure.headers, *(pair for pair in headers if pair[0] not in told)))
        return response


def routes(endpoints: Sequence[Endpoint], gate: Gate) -> list[Route]:
    """A route for each path, in the order given; those of endpoints without ``answer`` are left to the hot path."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        if endpoint.answer is not None:
            methods = by_path.setdefault(endpoint.path, {})
            if endpoint.method in methods:
                raise ValueError(f"{endpoint.method} {endpoint.path} stands twice")
            methods[endpoint.method] = endpoint
    return [Route(path, _Methods(methods, gate), methods=list(methods)) for path, methods in by_path.items()]


class _Methods:
    """The endpoints of one path, as an ASGI app."""

    def __init__(self, methods: dict[str, Endpoint], gate: Gate) -> None:
        self._methods = methods
        self._gate = gate

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = self._methods.get(method)
        if endpoint is None:
            raise HTTPException(405)
        await self._gate.serve(endpoint, scope, receive, send)


def _credential(request: Request) -> str | None:
    found = request.headers.getlist("authorization")
    if len(found) > 1:
        raise Unauthorized("Invalid API key")
    return found[0] if found else None


def _response(reply: Reply, status: int, headers: Headers) -> Response:
    if reply.value is None:
        response = Response(status_code=reply.status or status)
    else:
        response = Response(_encode(reply.value), reply.status or status, media_type="application/json")
    _add(response, (*headers, *reply.headers))
    return response


def _add(response: Response, headers: Headers) -> None:
    for name, value in headers:
        response.headers[name] = value
