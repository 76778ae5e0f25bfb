"""Content that its sender wants forgotten: kept while the mail waits, gone once it was sent."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, cast

import asyncpg
import msgspec
import pytest

from postclock.core.address import Mailbox
from postclock.core.lifecycle import RecipientState
from postclock.core.message import Content, Submission
from postclock.store.interface import Store
from postclock.store.postgres import store as postgres
from postclock.store.records import Departed
from postclock.store.tables import ledger_reading
from tests.store.conftest import Lives, empty
from tests.store.parts import ADA, Shop
from tests.support import mails
from tests.support.clock import MovedClock

PATIENCE: Final = 20.0
"""Seconds after which somebody waits for somebody."""
FROM: Final = Mailbox("shop@example.com", "Shop")
_submission = msgspec.msgpack.Decoder(Submission).decode


async def secret(shop: Shop) -> int:
    """A waiting message whose content is to be forgotten."""
    message = mails.message(shop.now, ADA)
    content = Submission(from_=FROM, subject="Code", contents=(Content("text/plain", "1234"),), metadata={"order": 7})
    acceptance = mails.acceptance(shop.tenant, [message], shop.now)
    await shop.store.messages.accept(
        msgspec.structs.replace(acceptance, redact=True, content=msgspec.msgpack.encode(content))
    )
    return message.id


async def test_what_waits_keeps_its_content(shop: Shop) -> None:
    """Without it there would be nothing to send."""
    await secret(shop)
    assert await shop.store.ledger.redact(100) == 0
    (claimed,) = await shop.claim()
    assert claimed.personal


async def test_once_sent_the_content_is_gone(shop: Shop) -> None:
    """The timeline stays, and so does what its sender knows it by."""
    message = await secret(shop)
    claimed, departed = await shop.fly()
    assert await shop.store.ledger.redact(100) == 0
    await shop.record(claimed, departed, RecipientState.accepted)
    assert await shop.store.ledger.redact(100) == 1
    row = (await shop.detail(message)).row
    assert row.personal is None
    kept = _submission(row.submission)
    assert (kept.subject, kept.contents) == ("", ())
    assert (kept.from_, kept.metadata) == (FROM, {"order": 7})
    assert await shop.events(message) == ["sent"]
    assert await shop.store.ledger.redact(100) == 0


async def test_other_mail_is_left_alone(shop: Shop) -> None:
    """Only whoever asked for it is forgotten."""
    message = await shop.send()
    claimed, departed = await shop.fly()
    await shop.record(claimed, departed, RecipientState.delivered)
    assert await shop.store.ledger.redact(100) == 0
    assert (await shop.detail(message)).row.personal is not None


async def test_what_is_sent_once_more_keeps_its_content_until_then(shop: Shop) -> None:
    """A retry makes it from what it was made from, however soon after the failure it is asked for."""
    message = await secret(shop)
    claimed, departed = await shop.fly()
    await shop.record(claimed, departed, RecipientState.given_up)
    await shop.store.messages.retry(shop.tenant, 0, message, shop.now)
    assert await shop.store.ledger.redact(100) == 0
    claimed, departed = await shop.fly()
    assert claimed.personal
    await shop.record(claimed, departed, RecipientState.accepted)
    assert await shop.store.ledger.redact(100) == 1
    assert (await shop.detail(message)).row.personal is None


async def test_a_retry_that_comes_between_wins(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was to be forgotten when it was looked for, and no longer when it is written."""
    message = await secret(shop)
    claimed, departed = await shop.fly()
    await shop.record(claimed, departed, RecipientState.given_up)
    read = shop.store.ledger.submissions

    async def late(idents: Sequence[int]) -> Mapping[int, bytes]:
        found = await read(idents)
        await shop.store.messages.retry(shop.tenant, 0, message, shop.now)
        return found

    monkeypatch.setattr(shop.store.ledger, "submissions", late)
    await shop.store.ledger.redact(100)
    monkeypatch.undo()
    (claimed,) = await shop.claim()
    assert claimed.personal
    assert _submission((await read([claimed.submission]))[claimed.submission]).subject


async def test_large_contents_are_not_read_all_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may have megabytes: so many octets are in memory, and all of them are forgotten in the end."""
    messages = []
    for _ in range(5):
        made = mails.message(shop.now, ADA)
        large = msgspec.msgpack.encode(Submission(from_=FROM, contents=(Content("text/plain", "x" * 1000),)))
        acceptance = mails.acceptance(shop.tenant, [made], shop.now)
        await shop.store.messages.accept(msgspec.structs.replace(acceptance, redact=True, content=large))
        messages.append(made.id)
    for claimed in await shop.claim():
        (departed,) = await shop.depart(claimed)
        assert isinstance(departed, Departed)
        await shop.record(claimed, departed, RecipientState.accepted)
    monkeypatch.setattr(ledger_reading, "REDACTED_OCTETS", 2_500)
    read, at_once = shop.store.ledger.submissions, []

    async def counted(idents: Sequence[int]) -> Mapping[int, bytes]:
        at_once.append(len(idents))
        return await read(idents)

    monkeypatch.setattr(shop.store.ledger, "submissions", counted)
    assert await shop.store.ledger.redact(100) == 5
    assert at_once == [2, 2, 1]
    for message in messages:
        assert not _submission((await shop.detail(message)).row.submission).contents


async def test_mail_that_is_under_way_is_not_waited_for(postgres_database: str, clock: MovedClock) -> None:
    """What somebody is at is left for the next time: two that wait for each other cost a second, and the work of one."""
    lives = Lives(lambda: cast(Store, postgres.open_store(postgres_database, clock)))
    shop = await Shop.open(lives, clock)
    messages = [await secret(shop) for _ in range(2)]
    for claimed in await shop.claim():
        (departed,) = await shop.depart(claimed)
        assert isinstance(departed, Departed)
        await shop.record(claimed, departed, RecipientState.accepted)
    other = await asyncpg.connect(postgres_database)
    try:
        async with other.transaction():
            await other.execute("SELECT 1 FROM messages WHERE id = $1 FOR UPDATE", messages[0])
            async with asyncio.timeout(PATIENCE):
                assert await shop.store.ledger.redact(100) == 1
        assert await shop.store.ledger.redact(100) == 1
    finally:
        await other.close()
        lives.end()
        await empty(postgres_database)
