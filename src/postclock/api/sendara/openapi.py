"""/v1/openapi.json: what the document says of /v1."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.routing import Route

from postclock.api import openapi
from postclock.api.endpoint import Endpoint
from postclock.api.sendara.failures import ErrorBody
from postclock.core.account import SENDARA_SCOPES


def _key(endpoint: Endpoint) -> str:
    """In the words of /v1's keys, and in those of the scopes behind them."""
    words = [word for word, scopes in SENDARA_SCOPES.items() if not scopes.isdisjoint(endpoint.scopes)]
    return f"Needs a key of the scope {' or '.join(words)} ({' or '.join(endpoint.scopes)})."


ABOUT: Final = openapi.About(
    prefix="/v1", title="Postclock /v1", description="The Sendara API.", failure=lambda _: ErrorBody, key=_key
)
PATH: Final = ABOUT.path


def openapi_route(endpoints: Sequence[Endpoint]) -> Route:
    """The route that serves the document of ``endpoints`` and of itself."""
    return openapi.openapi_route(endpoints, ABOUT)


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document as JSON values."""
    return openapi.document(endpoints, ABOUT)
