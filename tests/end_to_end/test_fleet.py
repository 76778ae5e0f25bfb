"""Several API and engine processes over one PostgreSQL store: to callers they are one service."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from statistics import mean, median
from typing import Any

import pytest

from postclock.core.lifecycle import State
from tests.end_to_end.parts import SETTLE_AT_ONCE, Caller, Ground, each_to, in_parallel, mail, soon, until
from tests.support.fleet import Fleet
from tests.support.process import Service


class Town:
    """Two API and two engine processes; ``here`` speaks to the first API process, ``other`` to the second."""

    def __init__(self, fleet: Fleet, here: Ground, other: Caller) -> None:
        self.fleet = fleet
        self.here = here
        self.other = other


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, module_postgres_dsn: str) -> Iterator[Town]:
    """What the stories of this file share."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("fleet")
        fleet = stack.enter_context(Fleet(folder, module_postgres_dsn, apis=2, engines=2, env=SETTLE_AT_ONCE))
        key = fleet.apis[0].key()
        first, second = (stack.enter_context(closing(Caller(api.url, key))) for api in fleet.apis)
        yield Town(fleet, Ground(fleet.apis[0], fleet.sink, first), second)


def test_mail_belongs_to_no_process(town: Town) -> None:
    """What one API process took is shown, listed and cancelled by the other, and delivered by whoever is there."""
    here, other = town.here, town.other
    [waits] = here.caller.send(mail("waits@example.com", send_at=soon(3_600)))
    assert other.status(waits) == "queued"
    assert waits in [m["id"] for m in other.all_messages()]
    assert other.cancel(waits)["status"] == "cancelled"
    assert here.caller.status(waits) == "cancelled"
    assert here.caller.events(waits) == ["processed", "cancelled"]
    [leaves] = other.send(mail("leaves@example.com"))
    here.caller.settles(leaves, "delivered")
    other.settles(leaves, "delivered")
    assert here.verifies(here.wait_for("leaves@example.com"))


def test_scheduled_mail_leaves_on_its_second(town: Town) -> None:
    """The engine that sends it is another process than the one that took it: not before the second, and in it."""
    at = soon(2)
    addresses = [f"second{i}@example.com" for i in range(100)]
    idents = town.here.caller.send(each_to(addresses, send_at=at))
    mails = town.here.wait_for_all(addresses)
    assert sorted(m.rcpts[0] for m in mails) == sorted(addresses)
    assert min(m.data_at for m in mails) >= at
    late = [town.other.settles(ident, "delivered")["lateness_ms"] for ident in idents[::10]]
    assert min(late) >= 0
    assert median(late) < 1_000


def test_immediate_mail_does_not_wait_for_a_look(town: Town) -> None:
    """The engines hear of it from the process that took it: without word one of them would look every half second."""
    late = []
    for i in range(10):
        [ident] = town.here.caller.send(mail(f"now{i}@example.com"))
        late.append(town.here.caller.settles(ident, "delivered")["lateness_ms"])
    assert mean(late) < 250, late


def test_a_batch_cancel_with_two_engines_at_work(town: Town) -> None:
    """Two thousand mails, cancelled in the middle: the numbers add up in each answer, and what was cancelled never leaves."""
    caller, other, sink = town.here.caller, town.other, town.here.sink
    parts = ("cancelled", "stopped", "in_flight", "uncertain", "sent", "settled")
    batch, over = caller.batch(), threading.Event()
    asked: list[Any] = []

    def keep_asking() -> None:
        while not over.is_set():
            asked.append(other.batch_status(batch))  # adds up, or it is an AssertionError

    sink.slow("dot", 0.02)
    with ThreadPoolExecutor(1) as asking:
        watching = asking.submit(keep_asking)
        try:
            idents: dict[str, str] = {}
            for half in range(2):
                addresses = [f"cut{half}-{i}@example.com" for i in range(1_000)]
                idents |= dict(zip(caller.send(each_to(addresses, batch_id=batch)), addresses, strict=True))
            until(lambda: sum(m.rcpts[0].startswith("cut") for m in tuple(sink.mails)) > 200)
            done = other.post(f"/v3/mail/batch/{batch}/cancel")
            counts = caller.batch_status(batch)["status_counts"]
            assert sum(done[p] for p in parts) == done["total_messages"] == len(idents) == 2_000
            assert done["cancelled"] > 0
            assert done["stopped"] == done["uncertain"] == done["sent"] == 0
            assert counts["queued"] == 0
            assert counts["cancelled"] == done["cancelled"]
            caller.batch_settles(batch)
        finally:
            over.set()
            sink.slow("dot", 0)
        watching.result()
    assert len(asked) > 1
    end = {m["id"]: m["status"] for m in caller.all_messages(batch_id=batch)}
    came = [m.rcpts[0] for m in sink.mails if m.rcpts[0].startswith("cut")]
    assert sorted(came) == sorted(idents[i] for i, word in end.items() if word == "delivered")
    assert len(came) == done["in_flight"] + done["settled"]
    assert sum(word == "cancelled" for word in end.values()) == done["cancelled"] == 2_000 - len(came)


def test_rate_limits_are_shared_by_the_api_processes(town: Town) -> None:
    """Each of two holds half of the ceiling; when one ends the other has all of it."""
    service = town.fleet.apis[0]
    town.fleet.add_tenant("limited", "limited.example.com", "rate_sends=20")
    key = service.key(tenant="limited")
    with closing(Caller(town.here.service.url, key)) as one, closing(Caller(town.fleet.apis[1].url, key)) as two:
        body = mail(from_={"email": "hello@limited.example.com"})

        def told(caller: Caller) -> str:
            return str(caller.http.post("/v3/mail/send", json=body).headers["X-RateLimit-Limit"])

        assert (told(one), told(two)) == ("10", "10")
        full(one, body, 10)
    town.fleet.apis[1].terminate()
    assert town.fleet.apis[1].wait() == 0
    with closing(Caller(town.here.service.url, key)) as alone:
        until(lambda: told(alone) == "20")
        full(alone, body, 20)
    town.fleet.apis[1].start()


def full(caller: Caller, body: dict[str, Any], limit: int) -> None:
    """Of twice as many calls in one window ``limit`` are taken."""
    taken: list[int] = []

    def once() -> bool:
        until(lambda: caller.http.post("/v3/mail/send", json=body).headers["X-RateLimit-Remaining"] == str(limit - 1))
        began = time.monotonic()  # the first of a window
        answers = in_parallel(lambda _: caller.http.post("/v3/mail/send", json=body).status_code, range(2 * limit))
        taken[:] = answers
        return time.monotonic() - began < 0.9  # the window was not left meanwhile

    until(once)
    assert sorted(taken) == [202] * (limit - 1) + [429] * (limit + 1)


def test_an_engine_that_is_stopped_gives_back_what_it_holds(town: Town) -> None:
    """Once it has ended nothing is its any more: the other goes on with it at once, and nothing came twice."""
    fleet, here = town.fleet, town.here
    at_mail = here.sink.hold("mail")
    addresses = [f"handed{i}@example.com" for i in range(400)]
    idents = here.caller.send(each_to(addresses))
    at_mail.wait()

    def holder() -> list[Service]:
        holding = {o: len(fleet.held(o, State.processing)) for o in fleet.owners}
        return [fleet.owners[max(holding, key=lambda o: holding[o])]] if max(holding.values()) > 50 else []

    [stopped] = until(holder)
    owner = fleet.owner_of(stopped)
    assert fleet.held(owner, State.sending), "some had departed: their conversations are broken off before DATA"
    stopped.terminate()
    assert stopped.wait() == 0
    assert fleet.rows("SELECT count(*) FROM queue WHERE owner = $1", owner) == [(0,)]
    at_mail.release()
    mails = here.wait_for_all(addresses)
    assert sorted(m.rcpts[0] for m in mails) == sorted(addresses)
    for ident in idents[::40]:
        here.caller.settles(ident, "delivered")
        assert "uncertain" not in here.caller.events(ident)
