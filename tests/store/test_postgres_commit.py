"""What callers of the PostgreSQL store hear when the wire to the database breaks: their own answer, once, or Busy; never a wrong one."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, cast

import asyncpg
import pytest

from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from postclock.store.interface import Store
from postclock.store.postgres import connection, messages, pulse, readers
from postclock.store.postgres import store as postgres
from postclock.store.records import LIVE, Accepted, IdempotencyKey
from tests.store.commit_steps import KEY, STEPS, Picture, Step, cancel, picture, suppress
from tests.store.conftest import Lives, empty
from tests.store.parts import ADA, BOB, CYD, Shop
from tests.support import mails
from tests.support.clock import MovedClock
from tests.support.cutting_proxy import HOST, Proxy
from tests.support.postgres import Cluster

PATIENCE: Final = 8.0
"""Seconds in which a caller must hear something while the database is away."""
LOOK_EVERY: Final = 0.01


@pytest.fixture
def clock() -> MovedClock:
    """A clock that stands still."""
    return MovedClock()


@pytest.fixture
def proxy(postgres_cluster: Cluster) -> Iterator[Proxy]:
    """The wire to the server."""
    with Proxy(HOST, postgres_cluster.port) as wire:
        yield wire


@contextmanager
def opened(dsn: str, clock: MovedClock) -> Iterator[Lives]:
    """A store that is closed afterwards."""
    lives = Lives(lambda: cast(Store, postgres.open_store(dsn, clock)))
    try:
        yield lives
    finally:
        lives.end()


@pytest.fixture
def lives(postgres_database: str, proxy: Proxy, clock: MovedClock) -> Iterator[Lives]:
    """A store behind the wire."""
    with opened(proxy.url(postgres_database), clock) as made:
        yield made
        proxy.accept()
    asyncio.run(empty(postgres_database))


@pytest.fixture
async def shop(lives: Lives, clock: MovedClock) -> Shop:
    return await Shop.open(lives, clock)


@pytest.fixture
async def beside(postgres_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of somebody else, straight to the server."""
    session = await asyncpg.connect(postgres_database)
    yield session
    await session.close()


_undisturbed: dict[str, tuple[Any, Picture]] = {}


async def undisturbed(step: Step, dsn: str) -> tuple[Any, Picture]:
    """What the step answers and leaves when nothing goes wrong; found out once."""
    if step.name not in _undisturbed:
        clock = MovedClock()
        with opened(dsn, clock) as made:
            shop = await Shop.open(made, clock)
            answer = await step.do(shop, await step.ready(shop))
            _undisturbed[step.name] = answer, await picture(dsn, shop.tenant)
        await empty(dsn)
    return _undisturbed[step.name]


@pytest.fixture(params=STEPS, ids=lambda step: step.name)
async def told(request: pytest.FixtureRequest, postgres_database: str) -> tuple[Step, Any, Picture]:
    """A step, its answer and what it leaves."""
    step: Step = request.param
    return step, *await undisturbed(step, postgres_database)


async def test_a_step_whose_commit_was_not_answered_took_place_once(
    told: tuple[Step, Any, Picture], shop: Shop, proxy: Proxy, postgres_database: str
) -> None:
    """The caller hears the first answer, not that of a repetition, and nothing is written twice."""
    step, answer, left = told
    prepared = await step.ready(shop)
    proxy.lose_commit_answer()
    assert await step.do(shop, prepared) == answer
    assert (proxy.commits_lost, proxy.commits_prevented) == (1, 0)
    assert await picture(postgres_database, shop.tenant) == left


async def test_a_step_whose_commit_never_arrived_is_done_again(
    told: tuple[Step, Any, Picture], shop: Shop, proxy: Proxy, postgres_database: str
) -> None:
    """Nothing had taken place: the step runs once more, and the caller notices nothing."""
    step, answer, left = told
    prepared = await step.ready(shop)
    proxy.lose_commit()
    assert await step.do(shop, prepared) == answer
    assert (proxy.commits_lost, proxy.commits_prevented) == (0, 1)
    assert await picture(postgres_database, shop.tenant) == left


async def test_a_commit_may_be_lost_in_both_ways_one_after_the_other(
    shop: Shop, proxy: Proxy, postgres_database: str
) -> None:
    """First it does not arrive, then its answer does not come back."""
    proxy.lose_commit()
    proxy.lose_commit_answer()
    accepted = await shop.call((ADA,), key=KEY)
    assert (proxy.commits_lost, proxy.commits_prevented) == (1, 1)
    assert not accepted.replayed
    assert len((await picture(postgres_database, shop.tenant))["messages"]) == 1


async def test_connections_cut_between_two_calls_cost_nobody_an_error(shop: Shop, proxy: Proxy) -> None:
    """Every connection of the store is gone each time: reading, accepting, cancelling and claiming go on."""
    for _ in range(3):
        proxy.cut()
        message = await shop.send()
        proxy.cut()
        assert await shop.state(message) is State.queued
        proxy.cut()
        assert (await cancel(shop, message)).won
        proxy.cut()
        assert await shop.claim() == []


async def test_connections_cut_anywhere_cost_no_call_twice(shop: Shop, proxy: Proxy, postgres_database: str) -> None:
    """Callers hear their ids or Busy; who repeats hears the same ids; each call is there once."""
    answered = 0

    async def caller(n: int) -> tuple[int, Accepted]:
        nonlocal answered
        key = IdempotencyKey(dialect="scaisend", key=f"order-{n}", fingerprint=b"\x02" * 33)
        first, repeats = None, 0
        while first is None:
            try:
                first = await shop.call((ADA,), key=key)
            except Busy:
                repeats += 1
        answered += 1
        if answered % 6 == 0:
            await asyncio.to_thread(proxy.cut)
        again = await shop.call((ADA,), key=key)
        assert (again.ids, again.replayed) == (first.ids, True)
        assert first.replayed <= (repeats > 0)
        return n, first

    async with asyncio.timeout(60):
        done = [
            answer
            for wave in range(6)
            for answer in await asyncio.gather(*map(caller, range(wave * 12, wave * 12 + 12)))
        ]
    left = await picture(postgres_database, shop.tenant)
    assert len({accepted.ids for _, accepted in done}) == len(left["messages"]) == len(left["keys"]) == 72


# Outages


async def test_an_outage_is_told_soon_and_ends_by_itself(shop: Shop, proxy: Proxy) -> None:
    """While nobody can connect, callers hear Busy with a time to come back; then the same store works again."""
    message = await shop.send()
    proxy.refuse()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: shop.call((BOB,)),
        lambda: cancel(shop, message),
        lambda: shop.detail(message),
        lambda: shop.store.messages.replay(shop.tenant, LIVE, KEY),
        shop.claim,
        lambda: shop.store.ledger.beat(shop.now),
        lambda: shop.store.accounts.create_tenant("another", shop.now),
    ]
    for call in calls:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(Busy) as told:
                await call()
        assert (told.value.status, 1 <= told.value.retry_after <= 10) == (503, True)
    assert not await shop.store.is_ready()
    proxy.accept()
    assert await shop.store.is_ready()
    assert (await cancel(shop, message)).won
    assert not (await shop.call((BOB,))).replayed
    assert len(await shop.claim()) == 1


@asynccontextmanager
async def no_way_back(proxy: Proxy, cluster: Cluster) -> AsyncIterator[None]:
    """Connections that stand go on; new ones meet nobody."""
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        proxy.aim(*nobody.getsockname())
        yield
    proxy.aim(HOST, cluster.port)


async def test_what_was_committed_in_an_outage_is_told_when_it_is_asked_again(
    shop: Shop, proxy: Proxy, postgres_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost and the database with it: Busy after the longest wait, and the key finds the first answer afterwards."""
    monkeypatch.setattr(messages, "ANSWER_SECONDS", 0.5)
    await shop.call((BOB,))
    async with no_way_back(proxy, postgres_cluster):
        proxy.lose_commit_answer()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(Busy):
                await shop.call((ADA,), key=KEY)
        with pytest.raises(Busy):
            await shop.call((CYD,))
        assert proxy.commits_lost == 1
    monkeypatch.undo()
    again = await shop.call((ADA,), key=KEY)
    assert again.replayed
    claimed = await shop.claim()
    # The last call waited in line behind the doubt: it was told Busy before it began, and is not begun any more.
    assert sorted(c.recipients[0].address for c in claimed) == sorted([ADA, BOB])


async def test_a_frozen_network_is_waited_for(shop: Shop, proxy: Proxy, beside: asyncpg.Connection) -> None:
    """Nothing passes for a while; then what was asked for happens, once."""
    message = await shop.send()
    proxy.freeze()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        accepted = group.create_task(shop.call((BOB,), key=KEY))
        cancelled = group.create_task(cancel(shop, message))
        read = group.create_task(_or_busy(shop.detail(message)))
        await asyncio.wait([accepted, cancelled, read], timeout=2.5)
        assert not accepted.done()
        assert not cancelled.done()
        proxy.thaw()
    assert not accepted.result().replayed
    assert cancelled.result().won
    assert await shop.state(message) is State.cancelled
    assert await beside.fetchval("SELECT count(*) FROM messages") == 2


async def _or_busy(work: Awaitable[object]) -> object:
    try:
        return await work
    except Busy as busy:
        return busy


async def test_a_network_that_stays_frozen_holds_nobody(
    shop: Shop, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers and writers alike hear Busy within their bound, again and again, and all works when it thaws."""
    message = await shop.send()
    await shop.detail(message)
    for module, name in ((messages, "ANSWER_SECONDS"), (readers, "CONNECT_SECONDS")):
        monkeypatch.setattr(module, name, 0.2)
    proxy.freeze()
    for _ in range(2):
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(
                *(_or_busy(work) for _ in range(8) for work in (shop.detail(message), cancel(shop, message)))
            )
        assert {type(a) for a in answers} == {Busy}
    proxy.thaw()
    monkeypatch.undo()
    assert (await cancel(shop, message)).state is State.cancelled
    assert await shop.state(message) is State.cancelled


async def test_a_server_that_fell_silent_is_stepped_past(
    postgres_database: str, proxy: Proxy, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first server of the DSN is gone without a word: the next beat, read and mail go to the second, and soon."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 2.0)
    monkeypatch.setattr(pulse, "PATIENCE_SECONDS", 0.5)
    first = proxy.url(postgres_database)
    both = first.replace(
        f"{HOST}:{proxy.port}", f"{HOST}:{proxy.port},{postgres_database.partition('@')[2].partition('/')[0]}"
    )
    with opened(both, clock) as made:
        shop = await Shop.open(made, clock)
        proxy.freeze()
        async with asyncio.timeout(PATIENCE):
            while isinstance(await _or_busy(shop.store.ledger.beat(shop.now)), Busy):
                pass
            assert await shop.store.ledger.beat(shop.now)
            message = await shop.send()
            while isinstance(await _or_busy(shop.detail(message)), Busy):
                pass
        proxy.cut()
        proxy.thaw()
    await empty(postgres_database)


# Trouble in the database


async def test_a_bad_row_fails_its_caller_alone(shop: Shop, postgres_database: str) -> None:
    """One of forty calls that come at once has an id that is taken: the others are stored."""
    taken = mails.message(shop.now, ADA)
    await shop.store.messages.accept(mails.acceptance(shop.tenant, [taken], shop.now))
    calls = [mails.acceptance(shop.tenant, [mails.message(shop.now, BOB)], shop.now) for _ in range(39)]
    calls.insert(17, mails.acceptance(shop.tenant, [taken], shop.now))
    answers = await asyncio.gather(*(shop.store.messages.accept(c) for c in calls), return_exceptions=True)
    assert [n for n, a in enumerate(answers) if not isinstance(a, Accepted)] == [17]
    assert isinstance(answers[17], asyncpg.UniqueViolationError)
    assert len((await picture(postgres_database, shop.tenant))["messages"]) == 40


async def test_a_deadlock_is_the_stores_own_business(
    shop: Shop, beside: asyncpg.Connection, postgres_database: str, postgres_cluster: Cluster
) -> None:
    """Two sessions hold what the other needs, the database ends ours: the group runs again and its caller hears nothing of it."""
    watch = await asyncpg.connect(postgres_database)
    before = postgres_cluster.log.count("deadlock detected")
    await shop.send()
    await beside.execute("SET deadlock_timeout = '10min'")  # ours is the one that notices
    await beside.execute("BEGIN")
    await beside.execute(
        "INSERT INTO idempotency (tenant, mode, dialect, key, fingerprint, ids, created_at) VALUES ($1, $2, 'scaisend', 'order-7', '', '', 0)",
        shop.tenant,
        LIVE,
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        accepted = group.create_task(shop.call((BOB,), key=KEY))
        while not await watch.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'postclock'"
        ):
            await asyncio.sleep(LOOK_EVERY)
        await beside.execute("SELECT FROM owners FOR UPDATE")
        assert not accepted.done()
        await beside.execute("ROLLBACK")
    await watch.close()
    assert not accepted.result().replayed
    assert postgres_cluster.log.count("deadlock detected") > before
    assert len((await picture(postgres_database, shop.tenant))["messages"]) == 2


async def test_a_full_disk_is_told_as_such_and_leaves_nothing_half_written(
    shop: Shop, beside: asyncpg.Connection, postgres_database: str
) -> None:
    """507 for whoever writes, from either door; afterwards it goes on where it was."""
    message = await shop.send(batch=await shop.batch())
    before = await picture(postgres_database, shop.tenant)
    await beside.execute(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
    )
    hurt = ("messages", "events", "suppressions", "claims")
    for table in hurt:
        await beside.execute(f"CREATE TRIGGER no_room BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION no_room()")
    try:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: shop.call((BOB,)),
            lambda: cancel(shop, message),
            shop.claim,
            lambda: suppress(shop, None),
        ]
        for call in calls:
            with pytest.raises(Busy) as told:
                await call()
            assert told.value.status == 507
            assert await picture(postgres_database, shop.tenant) == before
    finally:
        await beside.execute("DROP FUNCTION no_room CASCADE")
    assert (await cancel(shop, message)).won


@pytest.mark.parametrize("trouble", ["none", "lost answers"])
async def test_one_key_in_two_processes_at_once_is_one_message(
    shop: Shop, proxy: Proxy, postgres_database: str, clock: MovedClock, trouble: str
) -> None:
    """Forty equal requests, half of them at each of two processes: one message, and all get its id."""
    with opened(postgres_database, clock) as other:
        there = Shop(other, clock, shop.tenant)
        if trouble == "lost answers":
            proxy.lose_commit_answer(2)
        answers = await asyncio.gather(*(s.call((ADA,), key=KEY) for _ in range(20) for s in (shop, there)))
        assert len({a.ids for a in answers}) == 1
        assert [a.replayed for a in answers].count(False) == 1
    left = await picture(postgres_database, shop.tenant)
    assert len(left["messages"]) == len(left["queue"]) == len(left["keys"]) == 1
