"""The /inbox page: what the built-in catch-all server received, and when each mail was due, departed and arrived.

Only there with the inbox courier, and only for this machine (console/guard). A caught mail is shown as the stranger it is:
escaped, its html in a sandbox that runs nothing and fetches nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from postclock.console.caught import CaughtMail, CaughtMails, Lookup, Timing
from postclock.console.guard import LocalOnly, is_own_origin
from postclock.console.header_text import header_of, message_number, showable
from postclock.console.opened_mail import open_mail
from postclock.console.pages import render
from postclock.core.errors import Busy

PAGE: Final = 50
"""Mails on one page of the list."""
MAX_TEXT: Final = 500_000
"""Characters of a text shown on the page; the source has all of it."""
DAY_MS: Final = 86_400_000
MAX_DIGITS: Final = 15
"""Of a number in an address: no box counts further."""
MAX_ADDRESS: Final = 320
"""Characters; an honest one has no more (RFC 5321 4.5.3.1)."""
VIEWS: Final = ("html", "text", "headers", "attachments")

_EVERYWHERE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    # Not "no-referrer": under that a browser sends "Origin: null" with the form that empties the box.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE: Final = _EVERYWHERE | {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
_HTML: Final = _EVERYWHERE | {
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src cid: data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'",
    "X-DNS-Prefetch-Control": "off",
}
_FILE: Final = _EVERYWHERE | {"Content-Security-Policy": "sandbox; default-src 'none'"}
_STATIC: Final = {"inbox.css": "text/css", "inbox.js": "text/javascript"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A mail in the list, every text fit to be shown."""

    mail: CaughtMail
    mail_from: str
    rcpt_tos: tuple[str, ...]
    subject: str
    sender: str
    to: str
    timing: Timing | None

    def is_another_day(self, at_ms: int | None) -> bool:
        """Whether a moment lies on another day (UTC) than the arrival: then its date is shown beside it."""
        return at_ms is not None and at_ms // DAY_MS != self.mail.arrived_at_ms // DAY_MS


class _Page:
    """A handler as an ASGI app: so that the guard sees a request before anything else does, whatever its method."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handler(Request(scope, receive))
        await response(scope, receive, send)


def inbox_routes(box: CaughtMails, lookup: Lookup) -> list[Route]:
    """Everything under /inbox, for loopback alone."""
    inbox = _Inbox(box, lookup)
    table: tuple[tuple[str, Callable[[Request], Awaitable[Response]], str], ...] = (
        ("/inbox", inbox.list, "GET"),
        ("/inbox/clear", inbox.clear, "POST"),
        ("/inbox/static/{name}", _static, "GET"),
        ("/inbox/{n}", inbox.one, "GET"),
        ("/inbox/{n}/html", inbox.html, "GET"),
        ("/inbox/{n}/raw", inbox.raw, "GET"),
        ("/inbox/{n}/parts/{k}", inbox.part, "GET"),
    )
    return [Route(path, LocalOnly(_Page(handler), method)) for path, handler, method in table]


class _Inbox:
    def __init__(self, box: CaughtMails, lookup: Lookup) -> None:
        self._box = box
        self._lookup = lookup

    async def list(self, request: Request) -> Response:
        """The newest mails, or with ?before=N those caught before N."""
        before = _number(request.query_params.get("before", ""))
        found = self._box.list(limit=PAGE + 1, before=before)
        mails, more = found[:PAGE], len(found) > PAGE
        # A mail's timing is known before it departs, so the page changes only when the box does. The arrival tells two
        # runs of the process apart, for each counts from 1.
        newest = f"{mails[0].sequence}-{mails[0].arrived_at_ms}" if mails else "empty"
        version = f'"{newest}-{mails[-1].sequence if mails else 0}-{len(self._box)}"'
        headers = _PAGE | {"ETag": version}
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers=headers)
        headers_of = await run_in_threadpool(lambda: [header_of(mail.content) for mail in mails])
        lines = [await self._line(mail, header) for mail, header in zip(mails, headers_of, strict=True)]
        page = render(
            "inbox.html", lines=lines, total=len(self._box), before=before, version=version, older=mails[-1].sequence if more else None,
        )  # fmt: skip
        return HTMLResponse(page, headers=headers)

    async def one(self, request: Request) -> Response:
        """One mail: its html in a frame, its text, its header fields or its attachments (?view=)."""
        mail = self._mail(request)
        if mail is None:
            return _gone()
        opened = await run_in_threadpool(open_mail, mail.content)
        has = {"html": opened.html is not None, "text": opened.text is not None, "attachments": bool(opened.attachments), "headers": True}  # fmt: skip
        views = [view for view in VIEWS if has[view]]
        wanted = request.query_params.get("view")
        text = opened.text.text if opened.text is not None else ""
        page = render(
            "mail.html",
            line=await self._line(mail, header_of(mail.content)),
            opened=opened,
            views=views,
            view=wanted if wanted in views else views[0],
            text=text[:MAX_TEXT],
            is_cut=len(text) > MAX_TEXT,
            newer=mail.sequence + 1 if self._box.get(mail.sequence + 1) is not None else None,
            older=mail.sequence - 1 if self._box.get(mail.sequence - 1) is not None else None,
        )
        return HTMLResponse(page, headers=_PAGE)

    async def html(self, request: Request) -> Response:
        """The mail's own html, in a sandbox wherever it is opened."""
        mail = self._mail(request)
        opened = None if mail is None else await run_in_threadpool(open_mail, mail.content)
        if opened is None or opened.html is None:
            return _gone()
        return HTMLResponse(await run_in_threadpool(opened.page), headers=_HTML)

    async def raw(self, request: Request) -> Response:
        """The octets as they arrived."""
        mail = self._mail(request)
        if mail is None:
            return _gone()
        headers = _FILE | {"Content-Disposition": f'inline; filename="mail-{mail.sequence}.eml"'}
        return Response(mail.content, media_type="text/plain", headers=headers)

    async def part(self, request: Request) -> Response:
        """One part, decoded, as a file to keep: never as something a browser would open."""
        mail, number = self._mail(request), _number(request.path_params["k"])
        parts = () if mail is None else (await run_in_threadpool(open_mail, mail.content)).parts
        part = next((p for p in parts if p.number == number), None)
        if part is None:
            return _gone()
        name = quote(part.name or f"part-{part.number}", safe="")
        headers = _FILE | {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return Response(part.content, media_type="application/octet-stream", headers=headers)

    async def clear(self, request: Request) -> Response:
        """Empty the box, when a page of ours asks."""
        if not is_own_origin(request.scope):
            return Response("Only the inbox page itself may empty the inbox.\n", 403, _EVERYWHERE, "text/plain")
        self._box.clear()
        return RedirectResponse("/inbox", 303, _EVERYWHERE)

    def _mail(self, request: Request) -> CaughtMail | None:
        number = _number(request.path_params["n"])
        return None if number is None else self._box.get(number)

    async def _line(self, mail: CaughtMail, header: dict[str, str]) -> _Line:
        return _Line(
            mail=mail,
            mail_from=showable(mail.mail_from[:MAX_ADDRESS]),
            rcpt_tos=tuple(showable(rcpt[:MAX_ADDRESS]) for rcpt in mail.rcpt_tos),
            subject=header.get("subject", ""),
            sender=header.get("from", ""),
            to=header.get("to", ""),
            timing=await self._timing(message_number(header.get("message-id", ""))),
        )

    async def _timing(self, message: int | None) -> Timing | None:
        if message is None:
            return None
        try:
            return await self._lookup(message)
        except Busy:
            return None


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    kind = _STATIC.get(name)
    if kind is None:
        return _gone()
    content = files("postclock.console").joinpath("static", name).read_bytes()
    return Response(content, media_type=kind, headers=_PAGE)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def _gone() -> Response:
    return HTMLResponse(render("gone.html"), 404, headers=_PAGE)
