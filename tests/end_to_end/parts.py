"""What the stories share: a caller of /v3, a good mail, and waiting for a fact with a deadline."""

import email
import email.policy
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import dkim
import httpx

from tests.support.process import DOMAIN, Service
from tests.support.sink import Mail, Sink

T = TypeVar("T")
R = TypeVar("R")
LOOK_EVERY = 0.02


def until(fact: Callable[[], T], seconds: float = 30.0) -> T:
    """What ``fact`` says once it is true; AssertionError with what it said last when that takes too long."""
    ends = time.monotonic() + seconds
    pause = threading.Event()
    while not (said := fact()):
        assert time.monotonic() < ends, f"not true in {seconds} s; last: {said!r}"
        pause.wait(LOOK_EVERY)
    return said


def in_parallel(work: Callable[[T], R], items: Sequence[T], threads: int = 8) -> list[R]:
    """``work`` of each item, in order, by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def mail(*to: str, **more: Any) -> dict[str, Any]:
    """A good body of mail/send to these addresses; ``from_`` for from, None takes a field out."""
    body: dict[str, Any] = {
        "personalizations": [{"to": [{"email": address} for address in to or ("ada@example.com",)]}],
        "from": {"email": "hello@mail.example.com", "name": "Shop"},
        "subject": "Weekly digest",
        "content": [{"type": "text/plain", "value": "Hello"}],
    }
    for name, value in more.items():
        body[name.rstrip("_")] = value
    return {name: value for name, value in body.items() if value is not None}


def each_to(addresses: Sequence[str], **more: Any) -> dict[str, Any]:
    """A body with one personalization, and so one message, for each address."""
    return mail(personalizations=[{"to": [{"email": a}]} for a in addresses], **more)


_records: dict[str, bytes] = {}


def records(service: Service) -> dict[str, bytes]:
    """The DNS records the domain's owner is told to publish, by name; asked for once, all services of a run share the key."""
    if not _records:
        told = service.cli_json("domains", "records", DOMAIN)["records"]
        _records.update({r["name"]: r["value"].encode() for r in told if r["type"] == "TXT"})
    return _records


class Caller:
    """One key of a running service. Every answer that is not what its method promises is an AssertionError."""

    def __init__(self, url: str, key: str) -> None:
        self.key = key
        self.http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=30.0,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=200),
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def post(self, path: str, body: Any = None, *, code: int = 200, headers: dict[str, str] | None = None) -> Any:
        """POST; the answer's JSON."""
        answer = self.http.post(path, json=body, headers=headers)
        assert answer.status_code == code, (path, answer.status_code, answer.text[:500])
        return answer.json() if answer.content else None

    def get(self, path: str, *, code: int = 200, **query: Any) -> Any:
        """GET; the answer's JSON."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == code, (path, answer.status_code, answer.text[:500])
        return answer.json()

    def send(self, body: dict[str, Any], *, headers: dict[str, str] | None = None) -> list[str]:
        """The ids of the messages a call became."""
        answer = self.post("/v3/mail/send", body, code=202, headers=headers)
        return [answer["message_id"]] if "message_id" in answer else list(answer["message_ids"])

    def detail(self, ident: str) -> Any:
        """One message."""
        return self.get(f"/v3/messages/{ident}")

    def status(self, ident: str) -> str:
        """The state that is shown."""
        return str(self.detail(ident)["status"])

    def events(self, ident: str) -> list[str]:
        """The types of the timeline, in order."""
        return [e["event_type"] for e in self.detail(ident)["events"]]

    def cancel(self, ident: str) -> Any:
        """What the answer of a cancel says."""
        return self.post(f"/v3/messages/{ident}/cancel")

    def settles(self, ident: str, *words: str, seconds: float = 30.0) -> Any:
        """The message once it is shown with one of these words (by default: settled)."""
        wanted = words or ("delivered", "bounced", "failed", "cancelled", "sandbox")
        last: list[Any] = [None]

        def reached() -> Any:
            last[0] = self.detail(ident)
            return last[0] if last[0]["status"] in wanted else None

        try:
            return until(reached, seconds)
        except AssertionError:
            raise AssertionError(f"{ident} is not one of {wanted}: {last[0]}") from None

    def batch(self) -> str:
        """A new batch."""
        return str(self.post("/v3/mail/batch", code=201)["batch_id"])

    def batch_status(self, batch: str) -> Any:
        """Its aggregate status; the eight counts add up in every answer."""
        answer = self.get(f"/v3/mail/batch/{batch}")
        assert sum(answer["status_counts"].values()) == answer["total_messages"], answer
        return answer

    def batch_settles(self, batch: str, delivered: int | None = None, seconds: float = 60.0) -> Any:
        """The batch once it is complete; ``delivered`` of it were delivered."""
        until(lambda: self.batch_status(batch)["is_complete"], seconds)
        done = self.batch_status(batch)
        assert done["completed_at"] is not None
        assert delivered is None or done["status_counts"]["delivered"] == delivered, done
        return done

    def all_messages(self, **query: Any) -> list[Any]:
        """The whole list, all pages."""
        found: list[Any] = []
        page = 1
        while True:
            answer = self.get("/v3/messages", page=page, page_size=100, **query)
            found += answer["messages"]
            if page >= answer["total_pages"]:
                return found
            page += 1


class Ground:
    """A service that sends to a sink, and a caller with every scope."""

    def __init__(self, service: Service, sink: Sink, caller: Caller) -> None:
        self.service = service
        self.sink = sink
        self.caller = caller

    def came_to(self, address: str) -> list[Mail]:
        """What the sink has taken for an address, in order."""
        return [m for m in tuple(self.sink.mails) if address in m.rcpts]

    def wait_for(self, address: str, n: int = 1, seconds: float = 30.0) -> Mail:
        """The last of the ``n`` mails an address got, once they came; more than ``n`` is an AssertionError."""
        until(lambda: len(self.came_to(address)) >= n, seconds)
        came = self.came_to(address)
        assert len(came) == n, f"{address} got {len(came)} mails"
        return came[-1]

    def wait_for_all(self, addresses: Sequence[str], seconds: float = 60.0) -> list[Mail]:
        """One mail for each address, once all came."""
        wanted = set(addresses)

        def missing() -> set[str]:
            return wanted - {r for m in tuple(self.sink.mails) for r in m.rcpts}

        until(lambda: not missing(), seconds)
        return [m for m in tuple(self.sink.mails) if wanted & set(m.rcpts)]

    def verifies(self, m: Mail) -> bool:
        """Whether an independent verifier accepts the signature against those records."""
        return bool(
            dkim.verify(m.content, dnsfunc=lambda name, timeout=5: records(self.service).get(name.decode().rstrip(".")))
        )

    def new_caller(self) -> Caller:
        """The same key after a new start (the port may be another)."""
        self.caller.close()
        self.caller = Caller(self.service.url, self.caller.key)
        return self.caller


SETTLE_AT_ONCE = {"POSTCLOCK_SETTLE_AFTER": "0s"}
"""The sink's 250 counts as delivered, so that stories come to an end."""


@contextmanager
def ground(folder: Path, env: Mapping[str, str] | None = None, *, args: Sequence[str] = ()) -> Iterator[Ground]:
    """A sink and a service over ``folder``; ``env`` are further POSTCLOCK_* variables."""
    with Sink() as listening:
        told = {"POSTCLOCK_COURIER": listening.url} | SETTLE_AT_ONCE | dict(env or {})
        service = Service(folder, env=told, args=args)
        service.prepare()
        key = service.key()
        with service:
            caller = Caller(service.url, key)
            here = Ground(service, listening, caller)
            try:
                yield here
            finally:
                here.caller.close()


QUICK = {"POSTCLOCK_FINAL_REPLY_TIMEOUT": "1s", "POSTCLOCK_UNCERTAIN_WAIT": "1s"}
"""An uncertain mail is sent again a second after it departed."""


def again(here: Ground) -> Ground:
    """Start it again in the same folder."""
    here.service.args = ()
    here.service.start()
    here.new_caller()
    return here


def header(m: Mail, name: str) -> str:
    """One header's value, unfolded."""

    return str(email.message_from_bytes(m.content, policy=email.policy.default)[name])


def unix(moment: str) -> float:
    """Seconds of an ISO 8601 moment."""
    return datetime.fromisoformat(moment).timestamp()


def soon(seconds: int) -> int:
    """A whole Unix second at least ``seconds`` ahead."""
    return int(time.time()) + seconds + 1
