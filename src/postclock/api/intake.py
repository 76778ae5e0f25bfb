"""Taking in the body of a request: piece by piece, at most 20 MB each, and bounded over all requests of the process.

It comes after the credential was checked: a stranger's body is never read.
"""

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from postclock.api.json_body import MAX_BODY
from postclock.core.errors import Busy, Invalid, TooLarge

MAX_HELD: Final = (
    256 * 1024 * 1024
)  # octets of bodies in memory at once: a dozen of the largest, thousands of usual ones

_AS_IT_IS: Final = frozenset({b"", b"identity"})


class Intake:
    """The bodies one process holds at a time."""

    def __init__(self, max_held: int = MAX_HELD) -> None:
        self._max_held = max_held
        self._held = 0

    @property
    def held(self) -> int:
        """Octets held now."""
        return self._held

    @asynccontextmanager
    async def body(self, scope: MutableMapping[str, Any], receive: Receive) -> AsyncIterator[bytes]:
        """The whole body, counted as held while the block runs.

        Raises TooLarge over ``MAX_BODY`` (by its announced length, before any of it is read), Busy when the process holds too much,
        ClientDisconnect when the caller went away, Invalid for a compressed body: it is never unpacked.
        """
        length, coding = _announced(scope)
        if length > MAX_BODY:
            raise TooLarge(_too_large())
        if coding not in _AS_IT_IS:
            raise Invalid("The body is compressed: send it as it is, without Content-Encoding.", "Content-Encoding")
        pieces: list[bytes] = []
        size = 0
        try:
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise ClientDisconnect
                piece = event.get("body", b"")
                if self._held + len(piece) > self._max_held:
                    raise Busy("Too many large requests at once; try again")
                size += len(piece)
                self._held += len(piece)
                if size > MAX_BODY:
                    raise TooLarge(_too_large())
                pieces.append(piece)
                if not event.get("more_body", False):
                    break
            yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
        finally:
            self._held -= size


def _announced(scope: MutableMapping[str, Any]) -> tuple[int, bytes]:
    """(Content-Length, Content-Encoding) as far as they are said."""
    length, coding = 0, b""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and len(value) < 20:
            length = int(value)
        elif name == b"content-encoding":
            coding = value.strip().lower()
    return length, coding


def _too_large() -> str:
    return f"The body is larger than {MAX_BODY // 1024 // 1024} MB."
