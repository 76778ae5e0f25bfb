"""The engine as a whole, in its own thread, with a real store and a real SMTP server: start, stop, and the end by itself."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from postclock.courier.relay import RelayAddress, RelayCourier
from postclock.courier.return_path import ReturnPath
from postclock.engine.heartbeat import LostLife
from postclock.engine.supervisor import Engine
from postclock.runtime.clock import SystemClock
from postclock.runtime.metrics import Metrics
from postclock.store.records import Rescued
from postclock.store.sqlite.ledger import SqliteLedger
from postclock.store.sqlite.owners import register
from postclock.store.sqlite.store import open_store
from postclock.store.sqlite.writer import Kind
from tests.engine.parts import SETTINGS, Bench, Even, becomes, people, person, sealed_key
from tests.support import mails
from tests.support.clock import MovedClock
from tests.support.sink import Sink


class Whole(Bench):
    """The bench's callers, with a whole engine beside them."""

    engine: Engine
    ended: threading.Event


@asynccontextmanager
async def whole(folder: Path, url: str, made: Callable[[Engine], None] = lambda _: None) -> AsyncIterator[Whole]:
    """A started engine that sends to ``url``; stopped afterwards. ``made`` is given it before the start."""
    clock = SystemClock()
    store = open_store(folder / "data", clock)
    try:
        tenants = await store.accounts.tenants()
        tenant = tenants[0] if tenants else await store.accounts.create_tenant("shop", clock.now_ms())
        if not tenants:
            await store.domains.add_domain(tenant.id, mails.DOMAIN, [sealed_key(1)], clock.now_ms(), trusted=True)
        shop = Whole(store, cast(MovedClock, clock), tenant.id, SETTINGS)  # nobody moves it here
        shop.ended = threading.Event()
        shop.engine = Engine(
            ledger=store.ledger,
            courier=RelayCourier(RelayAddress.parse(url), hostname="out.example.com", clock=clock),
            clock=clock,
            entropy=Even(),
            settings=replace(SETTINGS, stop_grace_seconds=0.3),
            unseal=lambda sealed: sealed,
            return_path=ReturnPath(bytes(32)),
            metrics=Metrics(),
            on_failure=shop.ended.set,
        )
        made(shop.engine)
        await asyncio.to_thread(shop.engine.start)
        try:
            yield shop
        finally:
            await asyncio.to_thread(shop.engine.stop)
    finally:
        store.close()


async def stops(shop: Whole, seconds: float = 15) -> None:
    """It stops, and in time."""
    await asyncio.wait_for(asyncio.to_thread(shop.engine.stop), seconds)


async def test_it_starts_sends_and_stops(tmp_path: Path) -> None:
    """Immediate mail arrives, a stop of an idle engine is clean, and a second stop does nothing."""
    with Sink() as sink:
        async with whole(tmp_path, sink.url) as shop:
            message = await shop.send()
            await sink.arrived(1)
            await shop.is_in(message, State.delivered)
            await stops(shop)
            await stops(shop)
            assert shop.engine.failure is None
            assert not shop.ended.is_set()


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        ("connect", State.queued), ("ehlo", State.queued), ("mail", State.queued), ("rcpt", State.queued), ("data", State.queued),
        ("dot", State.uncertain),
    ],
)  # fmt: skip
async def test_stopped_in_any_phase_nothing_is_lost(tmp_path: Path, stage: str, state: State) -> None:
    """Up to the final dot it waits again, after it nobody knows; and nothing departs once it has stopped."""
    with Sink() as sink:
        hold = sink.hold(stage)  # type: ignore[arg-type]
        async with whole(tmp_path, sink.url) as shop:
            message = await shop.send()
            scheduled = await shop.send("bob@example.net", due_in=1_000)
            await asyncio.to_thread(hold.wait)
            await stops(shop)
            assert await shop.state(message) is state
            assert await shop.state(scheduled) is State.queued
            handed = len(sink.mails)
            hold.release()
            await shop.send("cyd@example.net")
            assert not any(m for m in sink.mails[handed:])
        async with whole(tmp_path, sink.url) as again:
            await again.is_in(scheduled, State.delivered)
            if state is State.queued:
                await again.is_in(message, State.delivered)
        assert sum("ada@example.net" in m.rcpts for m in sink.mails) <= 1


async def test_stopped_under_load_each_mail_is_somewhere(tmp_path: Path) -> None:
    """A stop in the midst of three hundred: after the next start each arrived once."""
    with Sink() as sink:
        async with whole(tmp_path, sink.url) as shop:
            ids = await shop.accept(*people(300), lane=2)
            await sink.arrived(20)
            await stops(shop)
            states = [await shop.state(i) for i in ids]
            assert set(states) <= {State.queued, State.delivered}
            assert states.count(State.delivered) >= 20
        async with whole(tmp_path, sink.url) as again:
            for ident in ids:
                await again.is_in(ident, State.delivered)
        came = [r for m in sink.mails for r in m.rcpts]
        assert len(came) == len(set(came)) == 300


async def test_a_host_that_never_answers_keeps_it_neither_from_starting_nor_from_stopping(tmp_path: Path) -> None:
    """A listener that accepts and says nothing: opening takes minutes, start and stop do not."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with whole(tmp_path, f"relay://127.0.0.1:{silent.getsockname()[1]}") as shop:
            message = await shop.send()
            await shop.is_in(message, State.processing)
            await stops(shop)
            assert await shop.state(message) is State.queued


async def test_a_life_ended_by_another_is_a_failure_that_is_told(tmp_path: Path) -> None:
    """The engine stops by itself, says why, and whoever serves is told."""
    with Sink() as sink:
        async with whole(tmp_path, sink.url) as shop:
            shop.store._writer.run_sync(Kind.record, register(shop.now))
            assert await asyncio.to_thread(shop.ended.wait, 15)
            assert isinstance(shop.engine.failure, LostLife)
            await stops(shop)


async def test_an_engine_that_breaks_is_a_failure_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the claim loop ends the engine; it does not end in silence, and stop still returns."""
    with Sink() as sink:
        async with whole(tmp_path, sink.url) as shop:

            async def broken(*_: object) -> None:
                raise AssertionError("a fault of ours")

            monkeypatch.setattr(shop.store.ledger, "claim", broken)
            await shop.accept(person("ada@example.net"))
            assert await asyncio.to_thread(shop.ended.wait, 15)
            assert shop.engine.failure is not None
            await stops(shop)


async def test_what_keeps_it_from_starting_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes on with an engine that does not run."""

    async def broken(*_: object) -> int:
        raise AssertionError("a fault of ours")

    monkeypatch.setattr("postclock.store.sqlite.ledger.SqliteLedger.rescue", broken)
    with Sink() as sink, pytest.raises(AssertionError, match="a fault of ours"):
        async with whole(tmp_path, sink.url):
            pass


async def test_a_store_that_is_away_at_the_start_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts when the store is back, and goes on beating meanwhile."""
    monkeypatch.setattr("postclock.engine.housekeeping.PAUSE_SECONDS", 0.05)
    tries = 0

    async def away_for_a_while(ledger: SqliteLedger, *args: int) -> Rescued:
        nonlocal tries
        tries += 1
        if tries <= 5:
            raise Busy("the database is away")
        return await rescue(ledger, *args)

    rescue = SqliteLedger.rescue
    monkeypatch.setattr(SqliteLedger, "rescue", away_for_a_while)
    with Sink() as sink:
        async with whole(tmp_path, sink.url) as shop:
            assert tries == 6
            message = await shop.send()
            await shop.is_in(message, State.delivered)


async def test_a_start_that_waits_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store never comes: a stop ends the waiting, nothing departs, and that is no failure."""
    made: list[Engine] = []
    stopping: list[threading.Thread] = []

    async def away(*_: object) -> Rescued:
        if not stopping:
            stopping.append(threading.Thread(target=made[0].stop))
            stopping[0].start()
        raise Busy("the database is away")

    monkeypatch.setattr(SqliteLedger, "rescue", away)
    with Sink() as sink:
        async with asyncio.timeout(15), whole(tmp_path, sink.url, made.append) as shop:
            await asyncio.to_thread(stopping[0].join)
            await shop.send()
            assert shop.engine.failure is None
        assert not sink.mails


async def test_settled_by_the_engine_of_the_next_life(tmp_path: Path) -> None:
    """Mail accepted while no engine ran is sent by the next that starts."""
    with Sink() as sink:
        async with whole(tmp_path, sink.url) as shop:
            await stops(shop)
            message = await shop.send()
        async with whole(tmp_path, sink.url) as again:

            async def so() -> bool:
                return await again.state(message) is State.delivered

            await becomes(so)
