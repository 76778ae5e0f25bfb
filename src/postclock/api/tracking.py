"""/t/o and /t/c: what the pixel and the links of a tracked mail lead to (ScaiSend's documentation, tracking endpoints).

Open to everybody and without a memory of who came: a token of ours is the only thing that counts. No answer tells whether a message
exists, and none waits for the store.
"""

from base64 import b64decode
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from postclock.mail.tracking import CLICKS, PIXELS, is_target, location
from postclock.service.tracking import Engagements

PIXEL: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent point as a GIF of 42 octets."""
NOT_KEPT: Final = {
    "Cache-Control": "no-store, no-cache, must-revalidate, max-age=0",
    "Pragma": "no-cache",
    "Expires": "0",
}
_SAFE: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
_HEADERS: Final = NOT_KEPT | _SAFE


def tracking_routes(engagements: Engagements) -> list[Route]:
    """The two routes. A HEAD is answered like a GET and counts for nothing: programs that look at links send it."""

    async def opened(request: Request) -> Response:
        if request.method == "GET":
            engagements.opened(str(request.path_params["token"]), agent=_agent(request), ip=_ip(request))
        return Response(PIXEL, media_type="image/gif", headers=_HEADERS)

    async def clicked(request: Request) -> Response:
        token, given = str(request.path_params["token"]), request.query_params.getlist("u")
        if len(given) != 1 or not is_target(given[0]):
            return PlainTextResponse("This link leads nowhere.\n", 400, _HEADERS)
        (url,) = given
        if request.method == "GET":
            known = engagements.clicked(token, url, agent=_agent(request), ip=_ip(request))
        else:
            known = engagements.is_click(token, url)
        if not known:
            return PlainTextResponse("This link is not known here.\n", 404, _HEADERS)
        return Response(status_code=302, headers=_HEADERS | {"Location": location(url)})

    return [Route(PIXELS + "{token}.gif", opened), Route(CLICKS + "{token}", clicked)]


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")


def _ip(request: Request) -> str:
    return "" if request.client is None else request.client.host
