"""A caller of the service's HTTP API that survives what is done to the service: keep-alive, bounded waits, JSON in and out."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

ANSWER_SECONDS: Final = 8.0
"""A call without an answer for so long is made anew (a frozen process says nothing)."""
ANSWER_OCTETS: Final = 4 << 20
HEAD_OCTETS: Final = 64 << 10


class Unanswered(Exception):
    """No answer came: the call may have been carried out or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status and the JSON that came with it (None when there was none)."""

    status: int
    body: Any


class Caller:
    """One connection at a time to whichever process is up. ``where`` names one, or None while all are down."""

    def __init__(self, where: Callable[[], str | None], key: str) -> None:
        self._where = where
        self._key = key
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._host = ""

    def close(self) -> None:
        """Let the connection go."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def call(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One call. Raises Unanswered."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._call(method, path, body, headers or {})
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, msgspec.DecodeError) as error:
            # TimeoutError is an OSError. The connection may still bring this call's answer: never the next one's.
            self.close()
            raise Unanswered(repr(error)) from error
        except asyncio.CancelledError:
            self.close()
            raise

    async def _call(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Answer:
        reader, writer = await self._connection()
        octets = b"" if body is None else msgspec.json.encode(body)
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self._host}",
            f"Authorization: Bearer {self._key}",
            "Content-Type: application/json",
            f"Content-Length: {len(octets)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + octets)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:] if line)
        }
        length = int(fields.get("content-length", "0"))
        if not 0 <= length <= ANSWER_OCTETS:
            raise ValueError(f"an answer of {length} octets")
        content = await reader.readexactly(length)
        if fields.get("connection", "").lower() == "close":
            self.close()
        is_json = "json" in fields.get("content-type", "")
        return Answer(
            status=int(head.split(" ", 2)[1]), body=msgspec.json.decode(content) if is_json and content else None
        )

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None and not self._writer.is_closing():
            return self._reader, self._writer
        url = self._where()
        if url is None:
            raise ConnectionError("no process is up")
        parts = urlsplit(url)
        self._host = parts.netloc
        self._reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port, limit=HEAD_OCTETS)
        return self._reader, self._writer
