"""The primary dies and its standby takes over: nothing that was acknowledged is lost, and nobody goes back to the old history."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from postclock.store.postgres.connection import ANSWER_SECONDS
from postclock.store.postgres.store import CannotOpen, migrate_store, open_store
from tests.end_to_end.parts import QUICK, SETTLE_AT_ONCE, mail, soon, until
from tests.support.fleet import Fleet, ask
from tests.support.postgres import HOST, Cluster
from tests.support.process import Service

DATABASE: Final = "postclock"
OUTAGE_SECONDS: Final = 12.0
"""Longer than the ten seconds after which a life that stands still is taken for dead."""
BACK_SECONDS: Final = 15.0
"""In which the processes find a new primary by themselves."""
SLACK_SECONDS: Final = 3.0
"""What a busy machine may add to an answer."""


class Pair:
    """A primary and a standby that must have every commit; processes know both, the first primary first."""

    def __init__(self, primary: Cluster, standby: Cluster) -> None:
        self.primary = primary
        self.standby = standby
        hosts = ",".join(f"{HOST}:{server.port}" for server in (primary, standby))
        self.dsn = f"postgresql://postgres@{hosts}/{DATABASE}?target_session_attrs=read-write"

    def take_over(self) -> None:
        """The primary is gone; the standby takes its place."""
        self.primary.kill()
        self.standby.promote()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two servers with our schema."""
    with Cluster(durable=False) as primary:
        migrate_store(primary.create_database(DATABASE))
        standby = primary.standby()
        primary.require_standby()
        yield Pair(primary, standby)


@contextmanager
def fleet_of(pair: Pair, folder: Path, *, apis: int = 1, engines: int = 1) -> Iterator[Fleet]:
    """Processes over the pair."""
    with Fleet(folder, pair.dsn, apis=apis, engines=engines, env=SETTLE_AT_ONCE | QUICK) as fleet:
        yield fleet


class Told(NamedTuple):
    """An answer."""

    code: int
    retry_after: str | None
    seconds: float
    body: Any


class Sender:
    """Callers of mail/send with idempotency keys, who repeat until they are told 202."""

    def __init__(self, api: Service) -> None:
        self._key = api.key()
        self.http = self._client(api)
        self.told: list[Told] = []
        self.acknowledged: dict[str, str] = {}
        """Address to the id of its message."""
        self._lock = threading.Lock()
        self._next = 0
        self._stop = threading.Event()

    def _client(self, api: Service) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._key}"}
        return httpx.Client(base_url=api.url, headers=headers, timeout=ANSWER_SECONDS + SLACK_SECONDS, trust_env=False)

    def call(self, api: Service) -> None:
        """From now on ask this process."""
        self.close()
        self.http = self._client(api)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def send(self, address: str, **more: Any) -> Told:
        """One call; its key belongs to the address."""
        began = time.monotonic()
        answer = self.http.post(
            "/v3/mail/send", json=mail(address, **more), headers={"Idempotency-Key": f"to {address}"}
        )
        told = Told(answer.status_code, answer.headers.get("Retry-After"), time.monotonic() - began, answer.json())
        with self._lock:
            self.told.append(told)
            if told.code == 202:
                self.acknowledged[address] = told.body["message_id"]
        return told

    def ready(self) -> bool:
        """Whether the process would take mail."""
        return bool(self.http.get("/ready").status_code == 200)

    @contextmanager
    def sending(self, callers: int = 4) -> Iterator[None]:
        """They send all the while, and at the end until each was acknowledged."""

        def call() -> None:
            while not self._stop.is_set():
                with self._lock:
                    self._next += 1
                    address = f"caller{self._next}@example.com"
                while self.send(address).code != 202:
                    assert not self._stop.wait(0.2) or self.ready(), "stopped before it was told"
                self._stop.wait(0.02)

        with ThreadPoolExecutor(callers) as pool:
            running = [pool.submit(call) for _ in range(callers)]
            try:
                yield
            finally:
                self._stop.set()
            for one in running:
                one.result()


def owners(dsn: str) -> list[tuple[Any, ...]]:
    """The lives of all processes, and whether they go on."""
    return ask(dsn, "SELECT id, epoch FROM owners ORDER BY id")


def beats(dsn: str) -> dict[int, int]:
    """How often each was heard."""
    return dict(ask(dsn, "SELECT id, beat FROM owners"))


def came(fleet: Fleet, address: str) -> int:
    """How many mails an address got."""
    return sum(address in m.rcpts for m in tuple(fleet.sink.mails))


def all_once(fleet: Fleet, sender: Sender) -> None:
    """Everything that was acknowledged was delivered: once, or more often where its timeline says that it was uncertain."""
    until(lambda: {r for m in tuple(fleet.sink.mails) for r in m.rcpts} >= set(sender.acknowledged), 30)
    assert len(set(sender.acknowledged.values())) == len(sender.acknowledged)
    for address, ident in sender.acknowledged.items():

        def detail(ident: str = ident) -> Any:
            found = sender.http.get(f"/v3/messages/{ident}").json()
            return found if found["status"] == "delivered" else None

        events = [e["event_type"] for e in until(detail)["events"]]
        assert came(fleet, address) == 1 or "uncertain" in events, (address, events)


def test_a_failover_loses_nothing_that_was_acknowledged(tmp_path: Path, pair: Pair) -> None:
    """Callers hear 503 with Retry-After meanwhile; the processes find the new primary, none dies, and what became due goes right after."""
    with fleet_of(pair, tmp_path, engines=2) as fleet, closing(Sender(fleet.apis[0])) as sender:
        lives, pids = owners(pair.dsn), [m.pid for m in (*fleet.apis, *fleet.engines)]
        with sender.sending():
            until(lambda: len(sender.acknowledged) >= 100)
            due_at = soon(5)
            for n in range(20):
                assert sender.send(f"due{n}@example.com", send_at=due_at).code == 202
            pair.primary.kill()
            killed_at = time.monotonic()
            until(lambda: sum(t.code == 503 for t in sender.told) >= 10)
            until(lambda: time.monotonic() - killed_at >= OUTAGE_SECONDS)
            before = len(sender.acknowledged)
            assert came(fleet, "due0@example.com") == 0
            pair.standby.promote()
            promoted_at = time.time()
            until(sender.ready, BACK_SECONDS)
            until(lambda: len(sender.acknowledged) >= before + 100)
        assert {t.code for t in sender.told} == {202, 503}
        assert all(t.retry_after is not None and int(t.retry_after) >= 1 for t in sender.told if t.code == 503)
        assert max(t.seconds for t in sender.told) < ANSWER_SECONDS + SLACK_SECONDS
        all_once(fleet, sender)
        late = [m.received_at - promoted_at for m in fleet.sink.mails if m.rcpts[0].startswith("due")]
        assert max(late) < BACK_SECONDS
        assert min(m.received_at for m in fleet.sink.mails if m.rcpts[0].startswith("due")) >= due_at
        heard = beats(pair.dsn)
        until(lambda: all(now >= heard[owner] + 2 for owner, now in beats(pair.dsn).items()))
        assert owners(pair.dsn) == lives
        assert [m.pid for m in (*fleet.apis, *fleet.engines) if m.alive] == pids


def test_a_former_primary_is_refused_by_who_saw_its_successor(tmp_path: Path, pair: Pair) -> None:
    """It comes back with the older history: alone or beside the new one, for running processes and for one that starts again."""
    with fleet_of(pair, tmp_path) as fleet, closing(Sender(fleet.apis[0])) as sender:
        [api] = fleet.apis
        assert sender.send("before@example.com").code == 202
        pair.take_over()
        until(lambda: sender.send("meanwhile@example.com").code == 202, BACK_SECONDS)
        pair.primary.start()
        # Both answer, and the old one stands first: every new connection has to step past it.
        pair.standby.restart()
        until(lambda: sender.send("beside@example.com").code == 202, BACK_SECONDS)
        pair.standby.stop()
        alone = sender.send("alone@example.com")
        assert (alone.code, alone.retry_after is not None) == (503, True)
        assert not sender.ready()
        api.terminate()
        api.wait()
        api.spawn()
        assert "older" in api.wait_for_line("waits on")
        api.kill()
        assert ask(pair.primary.dsn(DATABASE), "SELECT count(*) FROM messages WHERE rcpt <> 'before@example.com'") == [
            (0,)
        ]
        pair.standby.start()
        api.start()
        sender.call(api)
        for address in ("alone@example.com", "meanwhile@example.com"):
            assert sender.send(address).code == 202
        all_once(fleet, sender)


def test_nothing_is_answered_that_no_standby_has(tmp_path: Path, pair: Pair) -> None:
    """A commit that only the primary has is not told: not to who asked, not to who repeats; after a take-over it is made again."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%COMMIT'"
    primary = pair.primary.dsn(DATABASE)
    with ExitStack() as stack:
        fleet = stack.enter_context(fleet_of(pair, tmp_path))
        [engine] = fleet.engines
        sender = stack.enter_context(closing(Sender(fleet.apis[0])))
        pool = stack.enter_context(ThreadPoolExecutor(4))
        assert sender.send("first@example.com").code == 202
        all_once(fleet, sender)
        engine.freeze()  # its own commits must not be taken for the API's

        pair.standby.stop()
        held = pool.submit(sender.send, "held@example.com")
        until(lambda: ask(primary, waiting))
        assert not held.done()
        pair.standby.start()
        assert held.result(ANSWER_SECONDS).code == 202

        pair.standby.stop()
        lonely = pool.submit(sender.send, "lonely@example.com")
        until(lambda: ask(primary, waiting))

        def impatient(*calls: Future[Told]) -> bool:
            """Somebody ends every wait for the standby: the primary then shows the message to all, and says that it is committed."""
            ask(primary, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            return all(call.done() for call in calls)

        def shown() -> bool:
            return impatient() and bool(ask(primary, "SELECT 1 FROM messages WHERE rcpt = 'lonely@example.com'"))

        until(shown)
        repeated = [pool.submit(sender.send, "lonely@example.com") for _ in range(2)]
        until(lambda: impatient(lonely, *repeated), ANSWER_SECONDS + 2 * SLACK_SECONDS)
        for call in (lonely, *repeated):
            told = call.result()
            assert (told.code, told.retry_after is not None) == (503, True)
        pair.primary.kill()
        pair.standby.start()
        pair.standby.promote()
        engine.thaw()
        until(lambda: sender.send("lonely@example.com").code == 202, BACK_SECONDS)
        all_once(fleet, sender)
        assert {address: came(fleet, address) for address in sender.acknowledged} == dict.fromkeys(
            ("first@example.com", "held@example.com", "lonely@example.com"), 1
        )


async def test_a_primary_that_does_not_know_of_its_successor_is_left(tmp_path: Path, pair: Pair) -> None:
    """Nobody stopped it when the standby was promoted: what it can only keep for itself is written at the successor instead."""
    store = open_store(pair.dsn, data=tmp_path)
    try:
        await store.accounts.create_tenant("before", 0)
        await asyncio.to_thread(pair.standby.promote)

        async def impatient() -> None:
            while True:
                sql = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                await asyncio.to_thread(pair.primary.sql, sql)

        cancelling = asyncio.ensure_future(impatient())
        async with asyncio.timeout(BACK_SECONDS):
            assert (await store.accounts.create_tenant("after", 0)).name == "after"
        cancelling.cancel()
        names = "SELECT name FROM tenants ORDER BY id"
        assert pair.standby.sql(names, database=DATABASE) == [("before",), ("after",)]
    finally:
        await asyncio.to_thread(store.close)
    with pytest.raises(CannotOpen, match="older"):
        open_store(pair.primary.dsn(DATABASE), data=tmp_path)
