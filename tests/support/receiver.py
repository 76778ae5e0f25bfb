"""Somebody who is told of events: an HTTP server in a thread that keeps every post, and answers as the test says."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PATIENCE = 60.0
"""Seconds to wait for what must come: a busy machine is not a failure."""


@dataclass(frozen=True, slots=True)
class Posted:
    """One post: path, headers by their names in lower case, the raw body, and the status it was answered with."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events, whether in an array or alone."""
        found = self.json
        return found if isinstance(found, list) else [found]


class Receiver:
    """``answer`` gives the status for a post (path, body); by default it takes everything."""

    def __init__(self, answer: Callable[[str, bytes], int] = lambda path, body: 204) -> None:
        self.answer = answer
        self._posts: list[Posted] = []
        self._changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.answer(self.path, body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                with outer._changed:
                    outer._posts.append(Posted(self.path, headers, body, status))
                    outer._changed.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
                """Nothing: the posts are kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def posts(self, path: str) -> list[Posted]:
        """What came to a path so far."""
        with self._changed:
            return [p for p in self._posts if p.path == path]

    def wait_for(self, path: str, enough: Callable[[list[Posted]], bool], seconds: float = PATIENCE) -> list[Posted]:
        """The posts to a path, once they are enough."""
        ends = time.monotonic() + seconds
        with self._changed:
            while True:
                found = [p for p in self._posts if p.path == path]
                if enough(found):
                    return found
                left = ends - time.monotonic()
                assert left > 0, f"not enough came to {path} in {seconds} s: {found!r}"
                self._changed.wait(left)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
