"""A dialect's openapi.json: the OpenAPI 3.1 document, made from the same endpoints and structs that answer the calls.

So the document cannot promise what the code does not have. It is made once, when the process starts.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postclock import __version__
from postclock.api.endpoint import Endpoint, is_required


def _named_scopes(endpoint: Endpoint) -> str:
    return f"Needs the scope {' or '.join(scope.value for scope in endpoint.scopes)}."


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a document says of its dialect. ``failure`` gives the shape of an endpoint's failures, ``key`` says which keys it opens to."""

    prefix: str
    title: str
    description: str
    failure: Callable[[Endpoint], Any]
    key: Callable[[Endpoint], str] = _named_scopes

    @property
    def path(self) -> str:
        """Where the document is served."""
        return f"{self.prefix}/openapi.json"

    @property
    def itself(self) -> Endpoint:
        """The endpoint that serves it."""
        return Endpoint(
            method="GET", path=self.path, summary="This document", answer=None, gives=dict[str, Any], public=True
        )


ALWAYS: Final = (401, 403, 413, 429, 500, 503)
"""What any endpoint with a credential may answer."""

_REF: Final = "#/components/schemas/{name}"
_PLACE: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


def openapi_route(endpoints: Sequence[Endpoint], about: About) -> Route:
    """The route that serves the document of ``endpoints`` and of itself."""
    encoded = msgspec.json.format(msgspec.json.encode(document(endpoints, about)), indent=2)

    async def serve(_: Request) -> Response:
        return Response(encoded, media_type="application/json")

    return Route(about.path, serve)


def document(endpoints: Sequence[Endpoint], about: About) -> dict[str, Any]:
    """The document as JSON values: every endpoint given, and the one that serves it."""
    everything = (*endpoints, about.itself)
    shapes = [shape for e in everything for shape in (e.takes, e.gives, e.gives_too) if shape is not None]
    shapes += {about.failure(endpoint): None for endpoint in everything}
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    schema_of = {repr(shape): schema for shape, schema in zip(shapes, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in everything:
        operations = paths.setdefault(_PLACE.sub(r"{\1}", endpoint.path), {})
        operations[endpoint.method.lower()] = _operation(endpoint, schema_of, about)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "version": __version__,
            "description": about.description,
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _operation(endpoint: Endpoint, schema_of: dict[str, Any], about: About) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _name(endpoint, about.prefix),
        "summary": endpoint.summary,
        "security": [] if endpoint.public else [{"key": []}],
        "responses": _responses(endpoint, schema_of, about),
    }
    if endpoint.scopes:
        described["description"] = about.key(endpoint)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PLACE.findall(endpoint.path)
    ]
    parameters += [
        {
            "name": parameter.name,
            "in": parameter.place,
            "required": False,
            "description": parameter.text,
            "schema": msgspec.json.schema(parameter.shape),
        }
        for parameter in endpoint.parameters
    ]
    if parameters:
        described["parameters"] = parameters
    if endpoint.takes is not None:
        described["requestBody"] = {
            "required": is_required(endpoint.takes),
            "content": _json(schema_of[repr(endpoint.takes)]),
        }
    return described


def _responses(endpoint: Endpoint, schema_of: dict[str, Any], about: About) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(endpoint.status).phrase}
    if endpoint.gives is not None:
        given = [schema_of[repr(shape)] for shape in (endpoint.gives, endpoint.gives_too) if shape is not None]
        success["content"] = _json(given[0] if len(given) == 1 else {"anyOf": given})
    responses = {str(endpoint.status): success}
    named = (
        (404,) if "{" in endpoint.path else ()
    )  # nothing is at a path with a line break in it, whoever answers the others
    for status in sorted({*endpoint.refuses, *named, *(() if endpoint.public else ALWAYS)}):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": _json(schema_of[repr(about.failure(endpoint))]),
        }
    return responses


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _name(endpoint: Endpoint, prefix: str) -> str:
    words = re.findall(r"[a-z_]+", endpoint.path.removeprefix(prefix).replace(":path", ""))
    return "_".join([endpoint.method.lower(), *words])
