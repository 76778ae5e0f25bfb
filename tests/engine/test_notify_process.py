"""Webhooks of a whole process: killed in the middle of a post, and after its secret key was changed."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.support.process import Service

PATIENCE = 60.0
ALLOWED = {"POSTCLOCK_WEBHOOK_ALLOW": "127.0.0.0/8"}


@dataclass
class Receiver:
    """A server of its own threads, so that it lives on when the service dies."""

    url: str = ""
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    said: threading.Condition = field(default_factory=threading.Condition)
    open: threading.Event = field(default_factory=threading.Event)
    """While it is not set, nobody gets an answer."""

    def wait_for(self, n: int) -> None:
        """Until so many posts have come in."""
        with self.said:
            assert self.said.wait_for(lambda: len(self.posts) >= n, PATIENCE), "no post came"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event of every post, in order."""
        with self.said:
            return [event for _, body in self.posts for event in json.loads(body)]


@contextmanager
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with found.said:
                found.posts.append((dict(self.headers.items()), body))
                found.said.notify_all()
            found.open.wait(PATIENCE)
            try:
                self.send_response(204)
                self.end_headers()
            except OSError:  # whoever posted is dead
                pass

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}/in"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.open.set()
        server.shutdown()
        thread.join()
        server.server_close()


def calls(service: Service, key: str) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE)


def send(http: httpx.Client) -> None:
    answer = http.post(
        "/v3/mail/send",
        json={
            "personalizations": [{"to": [{"email": "ada@example.net"}]}],
            "from": {"email": "hello@mail.example.com"},
            "subject": "Hello",
            "content": [{"type": "text/plain", "value": "Hello"}],
        },
    )
    assert answer.status_code == 202, answer.text


def hooked(http: httpx.Client, url: str) -> str:
    """An endpoint for acceptances; its secret."""
    made = http.post("/v3/user/webhooks", json={"url": url, "enabled_events": ["processed"]})
    assert made.status_code == 201, made.text
    return str(made.json()["signing_secret"])


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    signed = headers["X-ScaiSend-Timestamp"].encode() + b"." + body
    return hmac.compare_digest(
        hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest(), headers["X-ScaiSend-Signature"]
    )


def test_what_was_posted_when_the_process_was_killed_comes_again(tmp_path: Path) -> None:
    """SIGKILL after the post and before its answer: the next life posts it at once, under the same id and in full."""
    with receiver() as there, Service(tmp_path, env=ALLOWED) as service:
        key = service.key()
        with calls(service, key) as http:
            hooked(http, there.url)
            send(http)
        there.wait_for(1)
        service.kill()
        there.open.set()
        service.start()
        there.wait_for(2)
        first, second = there.events
        assert first == second
        with calls(service, key) as http:
            send(http)
        there.wait_for(3)
        assert there.events[2]["event_id"] != first["event_id"]


def test_a_webhook_secret_survives_a_new_secret_key(tmp_path: Path) -> None:
    """What was signed with it before is signed with it afterwards."""
    with receiver() as there, Service(tmp_path, env=ALLOWED) as service:
        there.open.set()
        key = service.key()
        with calls(service, key) as http:
            secret = hooked(http, there.url)
            send(http)
        there.wait_for(1)
        service.stop()
        assert service.cli_json("secrets", "rotate")
        service.start()
        with calls(service, key) as http:
            send(http)
        there.wait_for(2)
        assert [is_signed(secret, *post) for post in there.posts] == [True, True]
        assert not is_signed("another", *there.posts[0])
