"""Opens and clicks: told in the timeline, counted without end, and a proof of delivery for what was uncertain."""

from postclock.core.lifecycle import RecipientState, Shown, State
from postclock.store.records import Engagement
from postclock.store.steps.engage import MOST_TOLD
from tests.store.parts import ADA, BOB, UNCERTAIN_MS, Shop

URL = "https://example.net/offer?a=1"


def opened(shop: Shop, message: int, week: int, n: int | None = None) -> Engagement:
    return Engagement(message, week, "open", n, shop.now, "", "Mail/1.0", "192.0.2.7")


def clicked(shop: Shop, message: int, week: int) -> Engagement:
    return Engagement(message, week, "click", None, shop.now, URL, "Browser/2.0", "192.0.2.8")


async def delivered(shop: Shop, *to: str) -> tuple[int, int]:
    message = await shop.send(*to)
    claimed, departed = await shop.fly()
    await shop.record(claimed, departed, RecipientState.delivered)
    return message, claimed.week


async def test_an_open_and_a_click_stand_in_the_timeline(shop: Shop) -> None:
    """With whom, from where, and which link."""
    message, week = await delivered(shop)
    told = await shop.store.messages.engage([opened(shop, message, week), clicked(shop, message, week)], shop.now)
    assert told == 2
    assert (await shop.events(message))[-2:] == ["open", "click"]
    assert await shop.note(message, "click") == {"url": URL, "useragent": "Browser/2.0", "ip": "192.0.2.8"}
    detail = await shop.detail(message)
    assert {e.recipient for e in detail.events[-2:]} == {ADA}
    assert detail.row.state is State.delivered


async def test_what_is_shown_is_the_newest_event(shop: Shop) -> None:
    """An opened mail is shown as opened."""
    message, week = await delivered(shop)
    await shop.store.messages.engage([opened(shop, message, week)], shop.now)
    assert (await shop.detail(message)).row.shown is Shown.opened


async def test_whoever_opens_an_uncertain_mail_has_it(shop: Shop) -> None:
    """It is delivered, and never sent a second time."""
    message = await shop.send()
    claimed, departed = await shop.fly()
    await shop.record(claimed, departed, RecipientState.uncertain)
    assert await shop.state(message) is State.uncertain
    await shop.store.messages.engage([opened(shop, message, claimed.week)], shop.now)
    assert await shop.state(message) is State.delivered
    assert await shop.note(message, "delivered") == {"proved_by": "open"}
    shop.clock.move(86_400)
    assert await shop.claim() == []


async def test_an_open_that_came_before_the_result_was_lost_proves_as_much(shop: Shop) -> None:
    """A final reply may be ten minutes late, and the mail is read meanwhile: it is not sent a second time."""
    message = await shop.send()
    claimed, departed = await shop.fly()
    await shop.store.messages.engage([opened(shop, message, claimed.week)], shop.now)
    assert await shop.state(message) is State.sending
    await shop.record(claimed, departed, RecipientState.uncertain)
    assert await shop.state(message) is State.delivered
    assert (await shop.events(message))[-2:] == ["uncertain", "delivered"]
    shop.later(UNCERTAIN_MS)
    assert await shop.claim() == []


async def test_an_open_that_came_before_the_process_died_proves_as_much(shop: Shop) -> None:
    """Whoever takes its mail back finds it delivered."""
    message = await shop.send()
    claimed, _ = await shop.fly()
    await shop.store.messages.engage([clicked(shop, message, claimed.week)], shop.now)
    assert await shop.rescue() == 1
    assert await shop.state(message) is State.delivered
    shop.later(UNCERTAIN_MS)
    assert await shop.claim() == []


async def test_one_of_several_who_opens_proves_nothing_of_the_others(shop: Shop) -> None:
    """They share the bytes: nobody knows who it was."""
    message = await shop.send(ADA, BOB)
    claimed, departed = await shop.fly()
    await shop.record(claimed, departed, RecipientState.uncertain, RecipientState.uncertain)
    await shop.store.messages.engage([opened(shop, message, claimed.week)], shop.now)
    assert await shop.state(message) is State.uncertain
    assert (await shop.events(message))[-1] == "open"


async def test_a_waiting_mail_is_not_delivered_by_a_guess(shop: Shop) -> None:
    """Nothing of it ever departed, so nobody can have it: whatever comes for it is only noted."""
    message = await shop.send(due_in=60_000)
    week = (await shop.detail(message)).row.week
    await shop.store.messages.engage([opened(shop, message, week)], shop.now)
    assert await shop.state(message) is State.queued


async def test_a_mail_opened_without_end_fills_no_disk(shop: Shop) -> None:
    """So many are told; the rest is counted."""
    message, week = await delivered(shop)
    before = len(await shop.events(message))
    for _ in range(3):
        await shop.store.messages.engage([opened(shop, message, week)] * 60, shop.now)
    assert len(await shop.events(message)) == before + MOST_TOLD


async def test_what_names_no_message_is_passed_over(shop: Shop) -> None:
    """Another week's, or one that retention has dropped: the others of the group are told."""
    message, week = await delivered(shop)
    items = [opened(shop, message, week + 1), opened(shop, 7, week), opened(shop, message, week)]
    assert await shop.store.messages.engage(items, shop.now) == 1
