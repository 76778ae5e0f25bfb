"""Limits on PostgreSQL, where many processes hand off mail of one tenant at the same time: exact all the same."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postclock.core.lifecycle import State
from postclock.core.plan import Cap, Plan, Spending, Spent, refusal
from postclock.core.when import month_of
from postclock.store.interface import Store
from postclock.store.postgres import claiming
from postclock.store.postgres import store as postgres
from postclock.store.postgres.writing import _run
from postclock.store.records import Claimed, Departed, Held
from tests.store.conftest import Lives, empty
from tests.store.parts import Shop
from tests.support import mails
from tests.support.clock import MovedClock
from tests.support.postgres import Cluster

OWNERS = 3
KEYS = (71, 72)


class Street:
    """Several processes over one database, and two shops in it."""

    def __init__(self, lives: list[Lives], shops: list[Shop]) -> None:
        self.lives = lives
        self.shops = shops

    async def depart(self, owner: int, claims: list[Claimed], domains: dict[int, str]) -> list[Departed | Held]:
        """One process lets its claims go, each call of it beside the others."""
        ledger = self.lives[owner].store.ledger
        revisions = {t: (await ledger.context(t)).revision for t in domains}
        items = [
            msgspec.structs.replace(
                mails.departure(c, revisions[c.tenant], domain=domains[c.tenant]), api_key=KEYS[c.id % 2]
            )
            for c in claims
        ]
        halves = [items[::2], items[1::2]]
        answers = await asyncio.gather(*(ledger.depart(half, self.shops[0].now) for half in halves if half))
        return [a for each in answers for a in each]


@pytest.fixture
async def street(postgres_database: str, clock: MovedClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    """Three owners, two tenants. On a busy machine too, every claim looks for what is ready."""
    monkeypatch.setattr(claiming, "LONG_SECONDS", 3_600.0)
    lives = [Lives(lambda: cast(Store, postgres.open_store(postgres_database, clock))) for _ in range(OWNERS)]
    shops = [await Shop.open(lives[0], clock, name, f"{name}.example") for name in ("one", "two")]
    yield Street(lives, shops)
    for each in lives:
        each.end()
    await empty(postgres_database)


@given(
    included=st.integers(0, 24),
    price=st.sampled_from([None, 100]),
    hard=st.sampled_from([None, 0, 500]),
    key_hard=st.sampled_from([None, 300]),
    people=st.lists(st.integers(1, 3), min_size=6, max_size=18),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_never_more_than_the_limits_and_all_that_they_allow(
    street: Street, included: int, price: int | None, hard: int | None, key_hard: int | None, people: list[int]
) -> None:
    """Whatever the plans, what went is what was counted, it is inside every limit, and nothing was refused that fitted."""
    street.shops[0].later(32 * 86_400_000)  # a month of its own for every example
    spending = Spending(
        plan=Plan(included=included, price_micros=price),
        caps=Cap(hard_micros=hard),
        key_caps={} if key_hard is None else {KEYS[0]: Cap(hard_micros=key_hard)},
    )
    domains = {}
    for shop, name in zip(street.shops, ("one", "two"), strict=True):
        domains[shop.tenant] = f"{name}.example"
        await shop.store.accounts.change_settings(shop.tenant, lambda s: msgspec.structs.replace(s, spending=spending))
        for n in people:
            await shop.send(*(f"to{k}@example.net" for k in range(n)))
    claims: list[list[Claimed]] = [
        await life.store.ledger.claim([(0, 2 * len(people) // OWNERS + 1)], street.shops[0].now, street.shops[0].now)
        for life in street.lives
    ]
    assert sum(map(len, claims)) == 2 * len(people)
    answers = await asyncio.gather(*(street.depart(i, list(each), domains) for i, each in enumerate(claims)))
    went = sum(isinstance(a, Departed) for each in answers for a in each)
    assert all(a == Held("settled") for each in answers for a in each if not isinstance(a, Departed))
    assert went == await _check(street, spending, [c for each in claims for c in each])


async def _check(street: Street, spending: Spending, claims: list[Claimed]) -> int:
    went = 0
    for shop in street.shops:
        spent = await shop.store.metering.spent(shop.tenant, month_of(shop.now))
        mine = [c for c in claims if c.tenant == shop.tenant]
        states = {c.id: await shop.state(c.message) for c in mine}
        sent = [c for c in mine if states[c.id] is State.sending]
        assert {states[c.id] for c in mine} <= {State.sending, State.failed}
        n = sum(c.n_rcpt for c in sent)
        assert spent.n == n
        plan, caps = spending.plan, spending.caps
        assert spent.cost_micros == plan.cost(0, n) == sum(spent.by_key.values())
        assert plan.covers(0, n)
        assert caps.hard_micros is None or spent.cost_micros <= caps.hard_micros
        for key, cap in spending.key_caps.items():
            assert cap.hard_micros is None or spent.by_key.get(key, 0) <= cap.hard_micros
        for c in mine:
            if states[c.id] is State.failed:
                _did_not_fit(spending, spent, c)
        went += len(sent)
    return went


def _did_not_fit(spending: Spending, spent: Spent, c: Claimed) -> None:
    """What was counted at the end only ever grew: a message that would fit now would have fitted then."""
    assert refusal(spending, spent, KEYS[c.id % 2], c.n_rcpt) is not None


async def test_what_everybody_counts_in_is_locked_last(postgres_cluster: Cluster) -> None:
    """The usage of a tenant is one row for all processes: nothing else of a group is written while it is held."""
    name = "order_of_writes"
    dsn = postgres_cluster.create_database(name)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "CREATE TABLE seen (n serial, what text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO seen (what) VALUES (TG_TABLE_NAME); RETURN NEW; END $$"
        )
        tables = ["rows", "history", "counts", "usage"]
        for table in tables:
            await connection.execute(
                f"CREATE TABLE {table} (x int); CREATE TRIGGER noted BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION note()"
            )
        await _run(connection, [(f"INSERT INTO {table} VALUES ($1)", [n]) for n, table in enumerate(tables)])
        assert [what for (what,) in await connection.fetch("SELECT what FROM seen ORDER BY n")] == tables
        assert await connection.fetchval("SELECT x FROM usage") == 3
    finally:
        await connection.close()
        postgres_cluster.drop_database(name)
