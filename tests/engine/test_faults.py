"""When something is wrong beside the mail: content that is gone, a store that is busy, a full disk, a fault of ours."""

import pytest

from postclock.core.account import TenantSettings
from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from postclock.core.message import Attachment
from tests.engine.parts import (
    Bench,
    becomes,
    is_so,
    turns,
    with_content,
)
from tests.support import mails


async def test_a_mail_whose_file_is_gone_fails_and_says_why(shop: Bench) -> None:
    """It is nobody's fault twice: no retry, a reason."""
    async with shop.running():
        message = await shop.send(attachments=(Attachment("ab" * 32, 3, "bill.pdf"),))
        await shop.is_in(message, State.failed)
        await shop.is_empty()
    assert (await shop.detail(message)).row.reason == "attachment no longer stored: bill.pdf"


async def test_a_submission_that_is_gone_stops_nobody_else(shop: Bench) -> None:
    """The one without content fails, those of the same chunk arrive."""
    call = mails.acceptance(shop.tenant, [mails.message(shop.now, "lost@example.net")], shop.now)
    lost = (await shop.store.messages.accept(with_content(call, {"no": "submission"}))).ids[0][1]
    fine = await shop.send("ada@example.net")
    async with shop.running():
        await shop.is_in(fine, State.delivered)
        await shop.is_in(lost, State.deferred)
        await shop.is_empty()
    assert "cannot be made now" in str((await shop.detail(lost)).row.reason)


async def test_content_that_is_no_longer_stored_is_a_failure_with_a_reason(
    shop: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is there, what it is made from is not."""

    async def nothing(_: object) -> dict[int, bytes]:
        return {}

    monkeypatch.setattr(shop.store.ledger, "submissions", nothing)
    async with shop.running():
        message = await shop.send()
        await shop.is_in(message, State.failed)
        await shop.is_empty()
    assert (await shop.detail(message)).row.reason == "what it is made from is no longer stored"


@pytest.mark.parametrize("method", ["context", "submissions", "claim", "depart", "release"])
async def test_a_store_that_is_busy_costs_a_pause_and_nothing_else(shop: Bench, method: str) -> None:
    """Whatever is refused once, the mail goes a moment later; no room is lost."""
    shop.ledger.trouble[method] = [Busy("not now")]
    if method == "release":
        shop.ledger.trouble["depart"] = [Busy("not now")]
    async with shop.running():
        message = await shop.send()
        await becomes(lambda: is_so(not shop.ledger.trouble[method]))

        async def moved_on() -> bool:
            shop.later(1)
            return await shop.state(message) is State.delivered

        await becomes(moved_on)
        await shop.is_empty()
        assert len(shop.courier.handed) == 1


async def test_a_stale_context_that_cannot_be_read_again_is_given_back(shop: Bench) -> None:
    """Busy between stale and prepared: the mail is claimed anew and goes."""
    async with shop.running():
        message = await shop.send(due_in=1_000)
        await becomes(lambda: is_so("prepared" in shop.points))
        await shop.store.accounts.change_settings(shop.tenant, lambda _: TenantSettings(uncertain="hold"))
        shop.ledger.trouble["context"] = [Busy("not now")]

        async def moved_on() -> bool:
            shop.later(1)
            return await shop.state(message) is State.delivered

        await becomes(moved_on)
        assert not shop.ledger.trouble["context"]
        await shop.is_empty()


async def test_results_are_never_given_up(shop: Bench) -> None:
    """The store refuses three times to take a result: it is told again until it does."""
    shop.ledger.trouble["record"] = [Busy("disk full")] * 3
    async with shop.running():
        message = await shop.send()

        async def moved_on() -> bool:
            shop.later(1)
            return await shop.state(message) is State.delivered

        await becomes(moved_on)
        assert len(shop.courier.handed) == 1


async def test_nothing_is_claimed_while_the_disk_is_full(shop: Bench) -> None:
    """A claim is a write; it waits until there is room again."""
    shop.disk_has_room = False
    async with shop.running():
        message = await shop.send()
        await turns(100)
        assert shop.ledger.calls.get("claim", 0) == 0
        shop.disk_has_room = True
        shop.later(1)
        await shop.is_in(message, State.delivered)


async def test_a_full_disk_at_the_departure_gives_the_mail_back(shop: Bench) -> None:
    """Claimed before it was full: not lost, not departed, and no claims in circles."""
    shop.courier.may_open.clear()
    async with shop.running():
        message = await shop.send()
        await becomes(lambda: is_so("prepared" in shop.points))
        shop.disk_has_room = False
        shop.courier.may_open.set()
        await shop.is_in(message, State.queued)
        claims = shop.ledger.calls["claim"]
        await turns(50)
        assert shop.ledger.calls["claim"] == claims
        assert not shop.courier.handed
        await shop.is_empty()


async def test_a_store_that_lets_nothing_depart_is_not_asked_in_circles(shop: Bench) -> None:
    """One try, then a pause: each round would cost a claim and its release."""
    shop.ledger.trouble["depart"] = [Busy("disk full")] * 5
    async with shop.running():
        message = await shop.send()
        await becomes(lambda: is_so(len(shop.ledger.trouble["depart"]) == 4))
        await shop.is_in(message, State.queued)
        claims = shop.ledger.calls["claim"]
        await turns(100)
        assert len(shop.ledger.trouble["depart"]) == 4
        assert shop.ledger.calls["claim"] == claims


async def test_a_fault_in_a_conversation_is_an_outcome(shop: Bench) -> None:
    """Whatever the courier raises, the run has a result and the connection is given back."""
    shop.courier.answers.append(ValueError("a fault of ours"))
    async with shop.running():
        message = await shop.send()
        await shop.is_in(message, State.deferred)
        await shop.is_empty()
        shop.later(61)
        await shop.is_in(message, State.delivered)
