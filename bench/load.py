"""A bare HTTP load: keep-alive connections that send the same bytes and count the answers."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast


@dataclass
class Load:
    """What a run brought: answers, seconds, and each answer's time in seconds."""

    answers: int
    seconds: float
    times: list[float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    def percentile(self, p: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * p))] * 1000


class _Client(asyncio.Protocol):
    def __init__(self, request: Callable[[], bytes | None], load: Load, done: asyncio.Future[None]) -> None:
        self._request, self._load, self._done = request, load, done
        self._buffer = b""
        self._at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._next()

    def _next(self) -> None:
        request = self._request()
        if request is None:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().index(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        if not head.startswith((b"HTTP/1.1 202", b"HTTP/1.1 201")):
            raise RuntimeError(self._buffer.decode())
        self._buffer = b""
        self._load.answers += 1
        self._load.times.append(time.perf_counter() - self._at)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("closed early"))


def request(host: str, key: str, body: bytes, path: str = "/v3/mail/send") -> bytes:
    """The bytes of one POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(
    host: str, port: int, data: bytes, *, connections: int, seconds: float | None = None, count: int | None = None
) -> Load:
    """Send ``data`` over and over for so long, or so many times."""
    load = Load(0, 0.0, [])
    started = time.perf_counter()
    left = count

    def give() -> bytes | None:
        nonlocal left
        if seconds is not None and time.perf_counter() - started > seconds:
            return None
        if left is not None:
            if left <= 0:
                return None
            left -= 1
        return data

    loop = asyncio.get_running_loop()
    done = [loop.create_future() for _ in range(connections)]
    for future in done:
        await loop.create_connection(lambda f=future: _Client(give, load, f), host, port)  # type: ignore[misc]
    await asyncio.gather(*done)
    load.seconds = time.perf_counter() - started
    return load
