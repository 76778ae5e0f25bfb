"""/t/r: where the owner of an inbox confirms that test mail may come. The link only asks; a button confirms.

Programs that look at the links in a mail open them all, and must not confirm anything. The page runs nothing and loads nothing.
"""

from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from postclock.core.errors import NotFound
from postclock.service.test_recipients import CONFIRM, FreeRecipients

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Test mail</title></head>
<body><main><h1>Test mail</h1>{body}</main></body>
</html>
"""
_ASK: Final = """\
<p>Somebody would like to send test mail to <strong>{email}</strong>. The mail that led you here says who.</p>
<form method="post"><button>Confirm</button></form>"""
_DONE: Final = "<p>Thank you: test mail may now be sent to <strong>{email}</strong>.</p>"
_UNKNOWN: Final = "<p>This link is not good, or is no longer. Ask whoever sent it for a new one.</p>"


def confirmation_routes(recipients: FreeRecipients) -> list[Route]:
    """The page and its button."""

    async def page(request: Request) -> Response:
        token = str(request.path_params["token"])
        try:
            if request.method == "POST":
                return _answer(_DONE, (await recipients.confirm(token)).email)
            there = await recipients.asked(token)
        except NotFound:
            return _answer(_UNKNOWN, status=404)
        return _answer(_ASK if there.verified_at is None else _DONE, there.email)

    return [Route(CONFIRM + "{token}", page, methods=["GET", "POST"])]


def _answer(body: str, email: str = "", status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(body=body.format(email=escape(email))), status, _HEADERS)
