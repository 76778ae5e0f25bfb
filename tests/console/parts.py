"""An inbox with mails in it, and the ways to ask it."""

from email.message import EmailMessage
from typing import Final

import httpx
from starlette.applications import Starlette

from postclock.console.caught import Timing
from postclock.console.inbox import inbox_routes
from postclock.core.errors import Busy
from postclock.core.ids import public_message_id
from postclock.courier.box import Arrival, Box
from postclock.mail.message_id import message_id

HOST: Final = "127.0.0.1:8600"
DUE: Final = 1_800_000_000_000
NUMBER: Final = 123_456_789
MESSAGE_ID: Final = message_id(public_message_id(2976, NUMBER).lower(), "mail.example.com")


def mail(subject: str = "Weekly digest", *, text: str = "Hello", html: str | None = None) -> EmailMessage:
    """A mail of ours."""
    made = EmailMessage()
    made["Message-ID"] = MESSAGE_ID
    made["From"] = "Shop <hello@mail.example.com>"
    made["To"] = "Ada <ada@example.net>"
    made["Subject"] = subject
    made.set_content(text)
    if html is not None:
        made.add_alternative(html, subtype="html")
    return made


class Inbox:
    """The app over a real box. Message ``NUMBER`` was due at ``DUE`` and departed 7 ms later."""

    def __init__(self) -> None:
        self.box = Box(max_mails=200)
        self.timings: dict[int, Timing] = {NUMBER: Timing(due_at_ms=DUE, departed_at_ms=DUE + 7)}
        self.is_busy = False
        self.app = Starlette(routes=[*inbox_routes(self.box, self._lookup)])

    async def _lookup(self, message: int) -> Timing | None:
        if self.is_busy:
            raise Busy("the query took longer than it may", retry_after=1)
        return self.timings.get(message)

    def catch(self, content: EmailMessage | bytes, *, mail_from: str = "b+1@mail.example.com") -> Arrival:
        """A mail arrives, 12 ms after it was due."""
        octets = content if isinstance(content, bytes) else content.as_bytes().replace(b"\n", b"\r\n")
        return self.box.add(mail_from, ("ada@example.net",), octets, DUE + 12)

    def client(self, address: str = "127.0.0.1", host: str = HOST) -> httpx.AsyncClient:
        """Who asks, from where and under which name; an error of the app is an error of the test."""
        transport = httpx.ASGITransport(self.app, client=(address, 50_000))
        return httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", headers={"Host": host})

    async def get(self, path: str) -> httpx.Response:
        """Ask from this machine."""
        async with self.client() as client:
            return await client.get(path)
