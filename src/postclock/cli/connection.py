"""A caller's connection, with bounds on what uvicorn leaves without: how large and how slow the head of a request may be.

The very first thing that bytes from outside meet, before any credential is known; the body's bounds are the API's.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD: Final = 64 * 1024
"""Octets of a request line with its headers, or of trailers: far above any that is meant, and many strangers at once stay affordable."""
HEAD_SECONDS: Final = 30.0
"""Patience with a head, from the connection or from its first octet; between requests the server's patience with idle ones counts."""


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol; a head beyond the bounds is answered 400 and cut, one that does not come is cut."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = 0  # octets since the parser last told of something whole
        self._in_head = True
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection: its first head is waited for."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some octets: parsed, and counted while they make no whole."""
        if self.transport.is_closing():
            return
        self._unread += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unread > MAX_HEAD:
            self.send_400_response("The head of the request is too large.")
        elif self._in_head and self._unread and self._patience is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._unread = 0
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body; its size is the API's to bound."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; the next octets begin another head."""
        self._unread = 0
        self._in_head = True
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
