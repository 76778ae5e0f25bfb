"""The outbox: every change of a message is there for everybody who wants to hear of it, in the same transaction."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from postclock.core.errors import Invalid, NotFound
from postclock.core.lifecycle import RecipientState
from postclock.store.outbox import OCTETS, DeliveryState, Health, Origin, Tried
from postclock.store.records import LIVE, TEST
from postclock.store.tables import outbox
from postclock.store.tables import told as told_table
from postclock.store.tables.desk import Writing
from tests.store.outbox_desk import DAY_MS, LONG, hook, owner_of, settle, taken, types_of
from tests.store.parts import ADA, BOB, CYD, Shop
from tests.support import mails


async def test_a_message_is_told_of_from_acceptance_to_the_end(shop: Shop) -> None:
    """Each event once, in order, with the ids of its timeline and what its call said."""
    endpoint = await shop.store.outbox.add(hook(shop))
    message = await shop.send(ADA)
    await shop.run(RecipientState.deferred)
    shop.later(60_000)
    await shop.run(RecipientState.delivered)
    told = await taken(shop.store, endpoint, shop.now)
    assert [(t.type, t.n, t.recipient, t.attempt) for t in told] == [
        ("processed", 0, ADA, 1),
        ("deferred", 1, ADA, 1),
        ("delivered", 2, ADA, 1),
    ]
    assert {(t.message, t.tenant, t.mode) for t in told} == {(message, shop.tenant, LIVE)}
    assert [t.event_id[-3:] for t in told] == ["000", "001", "002"]
    detail = await shop.detail(message)
    assert [t.at for t in told[1:]] == [e.at for e in detail.events]
    assert [t.metadata for t in told[1:]] == [e.metadata for e in detail.events]
    assert told[0].message_id.startswith("msg_")


async def test_only_wanted_types_are_kept(shop: Shop) -> None:
    """A type is a whole word: who wants ``deferred`` does not hear of ``delivered``."""
    endpoint = await shop.store.outbox.add(hook(shop, "deferred", "bounce"))
    await shop.send(ADA)
    await shop.run(RecipientState.deferred)
    shop.later(60_000)
    await shop.run(RecipientState.delivered)
    assert await types_of(shop, endpoint) == ["deferred"]


async def test_a_call_of_a_thousand_is_told_of_in_order(shop: Shop) -> None:
    """As many rows as are copied in one go."""
    endpoint = await shop.store.outbox.add(hook(shop))
    accepted = await shop.call(*[(f"r{i}@example.net",) for i in range(1000)])
    told = await taken(shop.store, endpoint, shop.now)
    assert [t.message for t in told] == [ident for _, ident in accepted.ids]
    assert {t.type for t in told} == {"processed"}


async def test_every_subscriber_hears_of_its_own_tenant_and_mode(shop: Shop) -> None:
    """Two endpoints of one tenant both do; another tenant's, the other mode's and a paused one do not."""
    other = await shop.store.accounts.create_tenant("other", shop.now)
    mine = [await shop.store.outbox.add(hook(shop)) for _ in range(2)]
    testing = await shop.store.outbox.add(hook(shop, mode=TEST))
    strangers = [await shop.store.outbox.add(each) for each in (hook(shop, tenant=other.id), hook(shop, active=False))]
    await shop.send(ADA)
    for each in mine:
        assert await types_of(shop, each) == ["processed"]
    for each in (testing, *strangers):
        assert await types_of(shop, each) == []
    await shop.call((ADA,), mode=TEST)
    assert await types_of(shop, testing) == ["processed"]
    assert len(await types_of(shop, mine[0])) == 1


async def test_a_refused_call_leaves_nothing_to_tell(shop: Shop) -> None:
    """The rows are part of the transaction: they go with it."""
    endpoint = await shop.store.outbox.add(hook(shop))
    with pytest.raises(Invalid):
        await shop.call((ADA,), batch=mails.new_id())
    assert await types_of(shop, endpoint) == []


async def test_what_people_do_is_told_of(shop: Shop) -> None:
    """A cancelled message, a failed one, one that is retried, and a swept batch."""
    endpoint = await shop.store.outbox.add(hook(shop, "cancelled", "failed", "retried"))
    one, two = await shop.send(ADA, due_in=60_000), await shop.send(BOB, due_in=60_000)
    await shop.store.messages.cancel(shop.tenant, LIVE, one, shop.now)
    await shop.store.messages.fail(shop.tenant, LIVE, two, shop.now, "no longer wanted")
    await shop.store.messages.retry(shop.tenant, LIVE, two, shop.now)
    batch = await shop.batch()
    await shop.send(CYD, due_in=60_000, batch=batch)
    await shop.store.messages.cancel_batch(batch, shop.tenant, LIVE, shop.now)
    await shop.sweep()
    assert await types_of(shop, endpoint) == ["cancelled", "failed", "retried", "cancelled"]


async def test_a_lost_result_is_told_of(shop: Shop) -> None:
    """The next life finds the mail uncertain, and says so."""
    endpoint = await shop.store.outbox.add(hook(shop, "uncertain"))
    await shop.send(ADA)
    await shop.fly()
    assert await shop.rescue() == 1
    assert await types_of(shop, endpoint) == ["uncertain"]


async def test_several_recipients_are_told_of_one_by_one(shop: Shop) -> None:
    """Each event names its own; the acceptance names the first."""
    endpoint = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA, BOB)
    await shop.run(RecipientState.delivered, RecipientState.bounced)
    told = await taken(shop.store, endpoint, shop.now)
    assert [(t.type, t.recipient) for t in told] == [("processed", ADA), ("delivered", ADA), ("bounce", BOB)]


async def test_what_was_delivered_is_not_told_again(shop: Shop) -> None:
    """And the list shows what it came to, newest first."""
    endpoint = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    await shop.send(BOB)
    one, two = await taken(shop.store, endpoint, shop.now)
    await shop.store.outbox.lease(owner_of(shop.store), shop.now, shop.now + LONG, 10)
    assert await settle(shop, endpoint, one)
    assert await taken(shop.store, endpoint, shop.now) == [two]
    rows = await shop.store.outbox.deliveries(shop.tenant, LIVE, "scaisend", endpoint.id, limit=10)
    assert [(r.id, r.state, r.attempts, r.response_status, r.settled_at) for r in rows] == [
        (two.delivery, DeliveryState.waiting, 0, None, None),
        (one.delivery, DeliveryState.delivered, 1, 200, shop.now),
    ]
    assert [r.event_id for r in rows] == [two.event_id, one.event_id]
    assert await shop.store.outbox.count_waiting(100) == 1


async def test_what_failed_holds_its_own_message_back_and_no_other(shop: Shop) -> None:
    """The later event of the same message waits behind it, another message's does not."""
    endpoint = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    await shop.run(RecipientState.delivered)
    await shop.send(BOB)
    first, second, third = await taken(shop.store, endpoint, shop.now)
    owner = owner_of(shop.store)
    await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10)
    tried = Tried(
        delivery=first.delivery, state=DeliveryState.waiting, attempts=1, retry_at=shop.now + 60_000, reason="refused"
    )
    await shop.store.outbox.report(endpoint.id, owner, [tried], Health(), shop.now, shop.now + LONG)
    assert await taken(shop.store, endpoint, shop.now) == [third]
    assert await shop.store.outbox.probe(endpoint.id, shop.now) == [third]
    shop.later(60_000)
    assert await taken(shop.store, endpoint, shop.now) == [replace(first, attempt=2), second, third]
    assert await shop.store.outbox.probe(endpoint.id, shop.now) == [replace(first, attempt=2)]


async def test_a_probe_that_nobody_takes_lets_others_go_first(shop: Shop) -> None:
    """The oldest is tried three times; then those that were tried less often have their turn."""
    endpoint = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    await shop.send(BOB)
    owner = owner_of(shop.store)
    probed = []
    for _ in range(8):
        await shop.store.outbox.lease(owner, shop.now, shop.now + LONG, 10)
        (told,) = await shop.store.outbox.probe(endpoint.id, shop.now)
        probed.append((told.recipient, told.attempt))
        tried = Tried(delivery=told.delivery, state=DeliveryState.waiting, attempts=told.attempt, retry_at=shop.now)
        await shop.store.outbox.report(endpoint.id, owner, [tried], Health(failures=1), shop.now, shop.now)
    turns = [(ADA, 1), (ADA, 2), (ADA, 3), (BOB, 1), (BOB, 2), (BOB, 3), (ADA, 4), (BOB, 4)]
    assert probed == turns


async def test_deliveries_are_replayed(shop: Shop) -> None:
    """Those with the given ids that are settled, with all their attempts; those that wait are left as they are."""
    endpoint = await shop.store.outbox.add(hook(shop))
    for _ in range(4):
        await shop.send(ADA)
    told = await taken(shop.store, endpoint, shop.now)
    await settle(shop, endpoint, *told[:2], state=DeliveryState.failed)
    await settle(shop, endpoint, told[2])
    assert (
        await shop.store.outbox.replay(
            shop.tenant, LIVE, "scaisend", endpoint.id, first=told[1].delivery, last=told[3].delivery, now=shop.now
        )
        == 2
    )
    assert [t.delivery for t in await taken(shop.store, endpoint, shop.now)] == [t.delivery for t in told[1:]]
    with pytest.raises(NotFound):
        await shop.store.outbox.replay(shop.tenant, TEST, "scaisend", endpoint.id, first=0, last=9, now=shop.now)


async def test_old_deliveries_are_forgotten(shop: Shop) -> None:
    """Those of events before the moment, settled or not."""
    endpoint = await shop.store.outbox.add(hook(shop))
    await shop.send(ADA)
    shop.later(DAY_MS)
    await shop.send(BOB)
    assert await shop.store.outbox.forget(shop.now, 1000) == 1
    assert await shop.store.outbox.forget(shop.now, 1000) == 0
    assert [t.recipient for t in await taken(shop.store, endpoint, shop.now)] == [BOB]


async def test_a_body_hears_of_its_call(shop: Shop) -> None:
    """Categories, custom arguments (the message's own win) and the subject, without the content."""
    endpoint = await shop.store.outbox.add(hook(shop))
    a = mails.acceptance(shop.tenant, [mails.message(shop.now, ADA)], shop.now)
    content = msgspec.msgpack.decode(a.content) | {
        "subject": "Hello",
        "categories": ["news"],
        "custom_args": {"order": "1", "shop": "x"},
        "metadata": {"deep": {"n": 1}},
    }
    personal = msgspec.msgpack.decode(a.messages[0].personal) | {"custom_args": {"order": "2"}}
    message = a.messages[0]._replace(personal=msgspec.msgpack.encode(personal))
    await shop.store.messages.accept(
        msgspec.structs.replace(a, content=msgspec.msgpack.encode(content), messages=(message,))
    )
    (told,) = await taken(shop.store, endpoint, shop.now)
    assert told.origin.subject == "Hello"
    assert told.origin.categories == ("news",)
    assert told.origin.custom_args == {"order": "2", "shop": "x"}
    assert told.origin.metadata == {"deep": {"n": 1}}


async def test_heavy_events_are_taken_a_few_at_a_time(shop: Shop) -> None:
    """As many as come to a megabyte, and never none."""
    endpoint = await shop.store.outbox.add(hook(shop))
    heavy = {"note": "x" * (OCTETS // 4)}
    a = mails.acceptance(shop.tenant, [mails.message(shop.now, ADA) for _ in range(10)], shop.now)
    content = msgspec.msgpack.decode(a.content) | {"custom_args": heavy}
    await shop.store.messages.accept(msgspec.structs.replace(a, content=msgspec.msgpack.encode(content)))
    first = await taken(shop.store, endpoint, shop.now)
    assert [t.message for t in first] == [m.id for m in a.messages[:4]]
    huge = msgspec.msgpack.decode(a.content) | {"custom_args": {"note": "x" * (OCTETS * 2)}}
    await settle(shop, endpoint, *first)
    await settle(shop, endpoint, *await taken(shop.store, endpoint, shop.now))
    await settle(shop, endpoint, *await taken(shop.store, endpoint, shop.now))
    b = mails.acceptance(shop.tenant, [mails.message(shop.now, BOB)], shop.now)
    await shop.store.messages.accept(msgspec.structs.replace(b, content=msgspec.msgpack.encode(huge)))
    assert [t.recipient for t in await taken(shop.store, endpoint, shop.now)] == [BOB]


async def test_a_content_that_cannot_be_read_silences_nobody(shop: Shop) -> None:
    """The event is told without what its call said."""
    endpoint = await shop.store.outbox.add(hook(shop))
    a = mails.acceptance(shop.tenant, [mails.message(shop.now, ADA)], shop.now)
    await shop.store.messages.accept(msgspec.structs.replace(a, content=b"\xc1"))
    (told,) = await taken(shop.store, endpoint, shop.now)
    assert (told.recipient, told.origin) == (ADA, Origin())


async def test_a_replay_goes_on_where_it_was(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told again while the replay still walks is not replayed once more."""
    monkeypatch.setattr(outbox, "SLICE", 2)
    endpoint = await shop.store.outbox.add(hook(shop))
    for _ in range(5):
        await shop.send(ADA)
    told = await taken(shop.store, endpoint, shop.now)
    await settle(shop, endpoint, *told)
    posted: list[int] = []
    stored: Any = shop.store.outbox
    desk = stored._desk

    class Between:
        """The desk, with an engine that tells everything between two of its transactions."""

        read = desk.read
        words = desk.words

        async def write(self, job: Callable[[Writing], Any], rows: int = 1, *, bulk: bool = False) -> Any:
            found = await desk.write(job, rows, bulk=bulk)
            stored._desk = desk
            some = await taken(shop.store, endpoint, shop.now)
            posted.extend(t.delivery for t in some)
            assert len(posted) <= len(told), "the same again"
            await settle(shop, endpoint, *some)
            stored._desk = self
            return found

    monkeypatch.setattr(stored, "_desk", Between())
    again = await stored.replay(
        shop.tenant, LIVE, "scaisend", endpoint.id, first=0, last=told[-1].delivery, now=shop.now
    )
    assert again == 5
    assert posted == [t.delivery for t in told]


async def test_what_has_lost_its_message_stands_in_nobodys_way(shop: Shop) -> None:
    """Retention took the message: its events have failed, and what comes behind them is told, by an array as by a probe."""
    endpoint = await shop.store.outbox.add(hook(shop))
    for _ in range(3):
        await shop.send(ADA)
        await shop.run(RecipientState.delivered)
    shop.later(13 * DAY_MS)
    await shop.store.ledger.retire(shop.now, DAY_MS, DAY_MS, 90 * DAY_MS)
    message = mails.message(shop.now, BOB)._replace(week=mails.WEEK + 1)  # the first week is gone
    a = mails.acceptance(shop.tenant, [message], shop.now)
    await shop.store.messages.accept(msgspec.structs.replace(a, week=mails.WEEK + 1))
    assert [t.recipient for t in await shop.store.outbox.probe(endpoint.id, shop.now)] == [BOB]
    assert [t.recipient for t in await shop.store.outbox.take(endpoint.id, shop.now, 2)] == [BOB]
    rows = await shop.store.outbox.deliveries(shop.tenant, LIVE, "scaisend", endpoint.id, limit=10)
    lost = [r for r in rows if r.state is DeliveryState.failed]
    assert {r.reason for r in lost} == {"its message is no longer kept"}
    assert {r.settled_at for r in lost} == {shop.now}
    assert len(lost) == len(rows) - 1


async def test_large_contents_are_read_a_few_at_a_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event hears of its own call, however the calls are read."""
    monkeypatch.setattr(told_table, "CONTENT_OCTETS", 1000)
    endpoint = await shop.store.outbox.add(hook(shop))
    for n, size in enumerate((10, 2000, 400, 400, 400, 3000)):
        a = mails.acceptance(shop.tenant, [mails.message(shop.now, ADA)], shop.now)
        content = msgspec.msgpack.decode(a.content) | {"subject": str(n), "contents": [["text/plain", "x" * size]]}
        await shop.store.messages.accept(msgspec.structs.replace(a, content=msgspec.msgpack.encode(content)))
    assert [t.origin.subject for t in await taken(shop.store, endpoint, shop.now)] == list("012345")


def test_portions_of_contents_are_light() -> None:
    """Two megabytes at once, or a single larger one, and no more than the statement has places."""
    mega = 1024 * 1024
    sizes = [(1, mega), (2, mega), (3, 20 * mega), (4, 1), (5, 2 * mega), *((n, 1) for n in range(6, 40))]
    portions = [sorted(set(some)) for some in told_table._light(sizes)]
    assert portions[:4] == [[1, 2], [3], [4], [5]]
    assert [len(some) for some in portions[4:]] == [16, 16, 2]


async def test_a_personalization_that_cannot_be_read_silences_nobody(shop: Shop) -> None:
    """The event is told with what the call said."""
    endpoint = await shop.store.outbox.add(hook(shop))
    message = mails.message(shop.now, ADA)._replace(personal=b"\xc1")
    await shop.store.messages.accept(mails.acceptance(shop.tenant, [message], shop.now))
    assert [t.recipient for t in await taken(shop.store, endpoint, shop.now)] == [ADA]
