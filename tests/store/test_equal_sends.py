"""Equal calls of POST /v1/send at the same instant, over both stores: one message, and all get its id."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from postclock.api.sendara.send_batch import PATH as BATCH_PATH
from postclock.store.interface import Store
from tests.support.clock import MovedClock
from tests.support.send_api import SendApi, one, send_api

MANY = 300


@pytest.fixture
async def api(store: Store, clock: MovedClock) -> AsyncIterator[SendApi]:
    """The real app over the store under test."""
    async with send_api(store, clock) as running:
        yield running


async def test_hundreds_of_equal_calls_at_once(api: SendApi) -> None:
    """Each is answered 201 with the one id; all but one say that they are replays."""
    body = one(idempotency_key="k", scheduled_at=api.at(3_600))
    await api.usual()
    answers = await asyncio.gather(*(api.post(body) for _ in range(MANY)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert Counter(a.headers.get("Idempotency-Replayed") for a in answers) == {None: 1, "true": MANY - 1}
    assert await api.count() == 1


async def test_hundreds_of_calls_under_one_key_of_which_half_say_something_else(api: SendApi) -> None:
    """One of the two makes the message; the other half is told that the key was used."""
    bodies = [one(to, idempotency_key="k") for to in ("ada@example.net", "bob@example.net")] * (MANY // 2)
    await api.usual()
    answers = await asyncio.gather(*(api.post(body) for body in bodies))
    assert Counter(a.status_code for a in answers) == {201: MANY // 2, 409: MANY // 2}
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} == {"idempotency_key_reused"}
    assert len({a.json()["id"] for a in answers if a.status_code == 201}) == 1
    assert await api.count() == 1


async def test_equal_calls_that_are_refused_leave_the_key(api: SendApi) -> None:
    """All get the refusal, and the first good call the message."""
    await api.suppress("ada@example.net")
    answers = await asyncio.gather(*(api.post(one(idempotency_key="k")) for _ in range(20)))
    assert {(a.status_code, a.json()["error"]["code"]) for a in answers} == {(409, "recipient_suppressed")}
    await api.send(one("bob@example.net", idempotency_key="k"))


async def test_equal_items_in_batches_at_once(api: SendApi) -> None:
    """Several batches with the same keys make each message once."""
    items = [one(f"user{n}@example.net", idempotency_key=f"k{n % 10}") for n in range(10)] * 3
    answers = await asyncio.gather(*(api.post(items, path=BATCH_PATH) for _ in range(4)))
    ids = {item["response"]["id"] for answer in answers for item in answer.json()}
    assert len(ids) == 10
    assert await api.count() == 10


async def test_a_suppression_counts_from_the_moment_it_is_there(api: SendApi) -> None:
    """It is looked at in the transaction that takes the mail, so both stores agree with what was written before."""
    for n in range(5):
        address = f"user{n}@example.net"
        await api.send(one(address))
        await api.suppress(address)
        assert (await api.refused(one(address)))[1] == "recipient_suppressed"
