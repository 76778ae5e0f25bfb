"""Retention, as every backend promises it: what settled long ago goes; what is open, or may be needed, stays."""

from collections.abc import Sequence
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.core.address import Mailbox
from postclock.core.errors import Invalid, NotFound
from postclock.core.lifecycle import RecipientState, State
from postclock.core.message import Content, Footer, Personalization, Submission
from postclock.store import retention
from postclock.store.postgres import retire as postgres_retire
from postclock.store.records import LIVE, IdempotencyKey
from postclock.store.retention import Cutoffs, Read, Seen, StoredSubmission, Walked, emptied, walk, walk_submissions
from postclock.store.sqlite import retire as sqlite_retire
from postclock.store.views import MessageFilter
from tests.store.conftest import Lives
from tests.store.parts import ADA, BOB, CYD, Shop
from tests.support import mails
from tests.support.clock import MovedClock

R = RecipientState
DAY: Final = 86_400_000
KEEP: Final = 90 * DAY
KEEP_BODIES: Final = 30 * DAY
WEEK: Final = 7 * DAY
"""A backend that drops whole weeks is so much later at the most."""
KEY: Final = IdempotencyKey(dialect="scaisend", key="order-17", fingerprint=b"\x01" * 33)
FILE: Final = b"%PDF-1.7"
SHA256: Final = "ab" * 32


async def retire(shop: Shop, *, messages: int = KEEP, bodies: int = KEEP_BODIES, events: int = KEEP) -> int:
    """One round at the clock's time."""
    return await shop.store.ledger.retire(shop.now, messages, bodies, events)


async def listed(shop: Shop) -> tuple[list[int], int]:
    """The ids of the tenant's list, and its total."""
    wanted = MessageFilter(tenant=shop.tenant, mode=LIVE)
    found = await shop.store.messages.page(wanted, 1, 1, 100, shop.now)
    return [m.id for m in found.messages], found.total


async def call(shop: Shop, *to: Sequence[str], due_in: Sequence[int] = (0,), batch: int | None = None) -> list[int]:
    """One call with bodies, and a message to each of ``to``, due as told; their ids."""
    each = [mails.message(shop.now + due, *t) for t, due in zip(to, due_in, strict=True)]
    content = Submission(
        from_=Mailbox("hello@example.com", "Shop"),
        subject="Weekly digest",
        contents=(Content("text/plain", "the news"), Content("text/html", "<p>the news</p>")),
        footer=Footer(text="bye"),
        custom_args={"order": "17"},
    )
    accepted = await shop.store.messages.accept(
        msgspec.structs.replace(
            mails.acceptance(shop.tenant, each, shop.now, batch=batch), content=msgspec.msgpack.encode(content)
        )
    )
    return [ident for _, ident in accepted.ids]


async def submission_of(shop: Shop, message: int) -> Submission:
    return msgspec.msgpack.decode((await shop.detail(message)).row.submission, type=Submission)


# Bodies


async def test_a_body_goes_its_time_after_the_message_settled(shop: Shop) -> None:
    """Not a millisecond before, and not by when it was accepted; sender, subject and outcome stay."""
    (message,) = await call(shop, (ADA,))
    shop.later(3 * DAY)
    await shop.run(R.delivered)
    shop.later(KEEP_BODIES - 1)
    assert await retire(shop) == 0
    assert (await shop.detail(message)).row.personal is not None
    assert len((await submission_of(shop, message)).contents) == 2
    shop.later(1)
    assert await retire(shop) == 2
    found = await shop.detail(message)
    assert found.row.personal is None
    assert found.row.state is State.delivered
    assert [r.address for r in found.recipients] == [ADA]
    left = await submission_of(shop, message)
    assert (left.contents, left.footer) == ((), None)
    assert (left.from_.email, left.subject, left.custom_args) == ("hello@example.com", "Weekly digest", {"order": "17"})
    assert await retire(shop) == 0


async def test_a_submission_has_its_bodies_while_one_of_its_messages_needs_them(shop: Shop) -> None:
    """The others' own parts go; what is still to be sent is sent whole."""
    early, late = await call(shop, (ADA,), (BOB,), due_in=(0, 40 * DAY))
    await shop.run(R.delivered)
    shop.later(KEEP_BODIES + 2 * DAY)
    assert await retire(shop) == 1
    assert (await shop.detail(early)).row.personal is None
    assert len((await submission_of(shop, late)).contents) == 2
    shop.later(8 * DAY)
    (claimed,) = await shop.claim()
    assert msgspec.msgpack.decode((await shop.detail(late)).row.personal or b"", type=Personalization).recipients
    (departed,) = await shop.depart(claimed)
    assert await shop.record(claimed, departed, R.delivered) == "recorded"  # type: ignore[arg-type]
    shop.later(KEEP_BODIES)
    assert await retire(shop) == 2
    assert (await submission_of(shop, late)).contents == ()


async def test_what_was_cancelled_long_before_it_was_due_loses_its_body_in_time(shop: Shop) -> None:
    """Its time counts from the cancel."""
    (message,) = await call(shop, (ADA,), due_in=(300 * DAY,))
    await shop.store.messages.cancel(shop.tenant, LIVE, message, shop.now)
    shop.later(KEEP_BODIES)
    assert await retire(shop) == 2
    assert (await shop.detail(message)).row.personal is None


@pytest.mark.parametrize("state", [R.given_up, R.bounced])
async def test_a_message_without_its_body_is_not_retried(shop: Shop, state: RecipientState) -> None:
    """Before, it is; afterwards there is nothing to send."""
    first, second = await shop.send(ADA), await shop.send(BOB)
    for claimed in await shop.claim():
        (departed,) = await shop.depart(claimed)
        await shop.record(claimed, departed, state)  # type: ignore[arg-type]
    for address in (ADA, BOB):
        await shop.store.suppressions.unsuppress(shop.tenant, LIVE, "bounces", address)
    shop.later(KEEP_BODIES)
    assert await shop.store.messages.retry(shop.tenant, LIVE, first, shop.now) is State.queued
    await retire(shop)
    with pytest.raises(Invalid, match="no longer kept"):
        await shop.store.messages.retry(shop.tenant, LIVE, second, shop.now)
    assert (await shop.detail(first)).row.personal is not None
    await shop.run(R.delivered)
    assert await shop.state(first) is State.delivered


async def test_more_messages_than_a_walk_reads_at_once_lose_their_bodies(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, around one that waits; a later round begins where nothing was left."""
    ids = await call(shop, *[(f"{n}@example.net",) for n in range(40)], due_in=[0] * 15 + [60 * DAY] + [0] * 24)
    for claimed in await shop.claim():
        (departed,) = await shop.depart(claimed)
        await shop.record(claimed, departed, R.delivered)  # type: ignore[arg-type]
    shop.later(KEEP_BODIES)
    for module in (postgres_retire, sqlite_retire):
        monkeypatch.setattr(module, "PAGE", 7)
    assert await retire(shop) == 39
    kept = [i for i in ids if (await shop.detail(i)).row.personal is not None]
    assert kept == [ids[15]]
    assert await retire(shop) == 0
    shop.later(30 * DAY)
    await shop.run(R.delivered)
    shop.later(KEEP_BODIES - 1)
    assert await retire(shop, messages=400 * DAY, events=400 * DAY) == 0
    shop.later(1)
    assert await retire(shop, messages=400 * DAY, events=400 * DAY) == 2


# Attachments


async def test_an_attachment_goes_when_no_message_of_its_time_has_a_body(
    shop: Shop, lives: Lives, clock: MovedClock
) -> None:
    """One mail that waits keeps what its tenant used since, and nothing of another tenant's."""
    other = await Shop.open(lives, clock, "other", "other.example")
    for tenant in (shop, other):
        await shop.store.messages.put_blobs(tenant.tenant, {SHA256: FILE}, shop.now)
    waiting = await shop.send(ADA, due_in=60 * DAY)
    shop.later(KEEP_BODIES + 2 * DAY)
    assert await retire(shop) == 1
    assert await shop.store.ledger.blob(shop.tenant, SHA256) == FILE
    assert await shop.store.ledger.blob(other.tenant, SHA256) is None
    await shop.store.messages.cancel(shop.tenant, LIVE, waiting, shop.now)
    shop.later(KEEP_BODIES)
    await retire(shop)
    assert await shop.store.ledger.blob(shop.tenant, SHA256) is None


async def test_an_attachment_that_was_used_again_stays(shop: Shop) -> None:
    """Its time counts from the last use."""
    await shop.store.messages.put_blobs(shop.tenant, {SHA256: FILE}, shop.now)
    shop.later(KEEP_BODIES)
    await shop.store.messages.put_blobs(shop.tenant, {SHA256: FILE}, shop.now)
    shop.later(KEEP_BODIES)
    assert await retire(shop) == 0
    assert await shop.store.ledger.blob(shop.tenant, SHA256) == FILE


# Messages and events


async def test_a_message_goes_with_all_that_hangs_on_it(shop: Shop) -> None:
    """No sooner than its time after it settled; then it is unknown, in the list, in the total and by its id."""
    message = await shop.send(ADA, BOB)
    shop.later(DAY)
    await shop.run(R.bounced)
    shop.later(KEEP - 1)
    await retire(shop)
    assert (await listed(shop)) == ([message], 1)
    assert len(await shop.events(message)) > 0
    shop.later(1 + WEEK)
    assert await retire(shop) > 0
    assert (await listed(shop)) == ([], 0)
    with pytest.raises(NotFound):
        await shop.detail(message)
    assert await shop.store.ledger.submissions([message]) == {}
    assert await retire(shop) == 0


async def test_what_is_open_stays_however_old_it_is(shop: Shop) -> None:
    """A parked mail waits for its operator, and is sent whole in the end."""
    _, parked = await call(shop, (ADA,), (BOB,), due_in=(0, 1))
    await shop.run(R.delivered)
    await shop.store.ledger.park_overdue(shop.now + DAY, "overdue", shop.now)
    shop.later(400 * DAY)
    await retire(shop)
    assert await shop.state(parked) is State.queued
    assert len((await submission_of(shop, parked)).contents) == 2
    assert (await shop.store.messages.release_parked([parked], shop.now)) == 1
    await shop.run(R.delivered)
    assert await shop.state(parked) is State.delivered
    shop.later(KEEP + WEEK)
    await retire(shop)
    assert await listed(shop) == ([], 0)


async def test_a_batch_keeps_its_numbers(shop: Shop) -> None:
    """They are its result, and stay when its messages are gone."""
    batch = await shop.batch()
    await call(shop, (ADA,), (BOB,), (CYD,), due_in=(0, 0, 0), batch=batch)
    for claimed in await shop.claim():
        (departed,) = await shop.depart(claimed)
        await shop.record(claimed, departed, R.delivered)  # type: ignore[arg-type]
    shop.later(KEEP + WEEK)
    await retire(shop)
    assert await listed(shop) == ([], 0)
    assert await shop.counts(batch) == {State.delivered: 3}


async def test_events_go_before_their_message_when_they_are_kept_shorter(shop: Shop) -> None:
    """The message stays with its outcome."""
    message = await shop.send()
    await shop.run(R.bounced)
    waiting = await shop.send(due_in=200 * DAY)
    shop.later(5 * DAY - 1)
    await retire(shop, events=5 * DAY)
    assert await shop.events(message) != []
    await shop.store.messages.cancel(shop.tenant, LIVE, waiting, shop.now)
    shop.later(5 * DAY + WEEK)
    assert await retire(shop, events=5 * DAY) > 0
    assert await shop.events(message) == []
    assert await shop.state(message) is State.bounced


# Idempotency keys


async def test_a_key_lives_seven_days_at_least(shop: Shop) -> None:
    """Then the same key makes a new message."""
    first = await shop.call((ADA,), key=KEY)
    await shop.run(R.delivered)
    shop.later(7 * DAY)
    await retire(shop)
    assert (await shop.call((ADA,), key=KEY)).ids == first.ids
    shop.later(1)
    await retire(shop)
    assert (await shop.call((ADA,), key=KEY)).ids != first.ids


async def test_a_key_outlives_the_schedule_of_its_last_message(shop: Shop) -> None:
    """By a day after that settled."""
    messages = [mails.message(shop.now, ADA), mails.message(shop.now + 20 * DAY, BOB)]
    first = await shop.store.messages.accept(mails.acceptance(shop.tenant, messages, shop.now, key=KEY))
    await shop.run(R.delivered)
    shop.later(20 * DAY)
    await retire(shop)
    await shop.run(R.delivered)
    shop.later(DAY - 1)
    await retire(shop)
    assert (await shop.call((ADA,), key=KEY)).ids == first.ids
    shop.later(1)
    await retire(shop)
    assert (await shop.call((ADA,), key=KEY)).ids != first.ids


# The rules, without a store


def test_nothing_goes_sooner_than_clocks_may_differ() -> None:
    """And neither body nor events are kept longer than their message."""
    least = retention.LEAST_MS
    assert Cutoffs.at(10 * DAY, 0, 0, 0).bodies == Cutoffs.at(10 * DAY, 0, 0, 0).messages == 10 * DAY - least
    longer = Cutoffs.at(100 * DAY, 10 * DAY, 50 * DAY, 50 * DAY)
    assert longer.messages == longer.bodies == longer.events == 90 * DAY


def test_what_has_no_body_is_not_written_again() -> None:
    """A send by template alone has none."""
    bare = msgspec.msgpack.encode(Submission(from_=Mailbox("a@example.com"), template_id="d-1"))
    assert emptied(bare) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=25), st.integers(1, 4), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
async def test_a_mark_passes_nothing_that_is_left(rows: list[tuple[int, bool]], page: int, part: int) -> None:
    """Whatever stands between, two walks take all that is done, and what is kept is named."""
    done = {i for i, (kind, _) in enumerate(rows, 1) if kind == 1}
    kept = {i for i, (kind, _) in enumerate(rows, 1) if kind == 2}
    stubborn = {i for i in done if rows[i - 1][1]}  # changed under the walk: not taken the first time

    async def read(after: int) -> Read | None:
        ids = [i for i in range(1, len(rows) + 1) if i > after][:page]
        return Read(ids[-1], 0, [Seen(i, i, 1, i, i in done) for i in ids if i in done | kept]) if ids else None

    async def take(ids: Sequence[int]) -> int:
        took = [i for i in ids if i not in stubborn]
        done.difference_update(took)
        return len(took)

    first = Walked()
    mark = await walk(read, take, 0, 0, first, part)
    assert first.sure is (not stubborn)
    assert not {i for i in done | kept if i <= mark}
    assert first.needed == kept
    stubborn.clear()
    second = Walked()
    mark = await walk(read, take, 0, mark, second, part)
    assert not done
    assert (second.sure, second.needed) == (True, kept)
    assert mark == (min(kept) - 1 if kept else len(rows))


async def test_a_submission_that_is_needed_holds_the_mark(shop: Shop) -> None:
    """Those behind it are taken all the same, and once only."""
    content = msgspec.msgpack.encode(Submission(from_=Mailbox("a@example.com"), footer=Footer(text="x")))
    stored = [StoredSubmission(i, 1, 0, content) for i in range(1, 6)]

    async def read(after: int) -> Sequence[StoredSubmission]:
        return [s for s in stored if s.id > after][:2]

    async def take(free: Sequence[StoredSubmission]) -> int:
        return len(free)

    assert await walk_submissions(read, take, 0, 0, {3}) == (4, 2)
    assert await walk_submissions(read, take, 0, 2, set()) == (3, 5)
