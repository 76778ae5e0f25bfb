"""/v3/openapi.json: what the document says of /v3."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.routing import Route

from postclock.api import openapi
from postclock.api.endpoint import Endpoint
from postclock.api.scaisend.failures import MAIL, Detail, MailErrors


def _failure(endpoint: Endpoint) -> type[MailErrors | Detail]:
    return MailErrors if endpoint.path.startswith(MAIL) else Detail


ABOUT: Final = openapi.About(
    prefix="/v3",
    title="Postclock /v3",
    description="The ScaiSend API, shaped like SendGrid's v3.",
    failure=_failure,
)
PATH: Final = ABOUT.path


def openapi_route(endpoints: Sequence[Endpoint]) -> Route:
    """The route that serves the document of ``endpoints`` and of itself."""
    return openapi.openapi_route(endpoints, ABOUT)


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document as JSON values."""
    return openapi.document(endpoints, ABOUT)
