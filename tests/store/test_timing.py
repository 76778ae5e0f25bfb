"""When a message was due and when it went: what the inbox page asks the store."""

from tests.store.parts import Shop


async def test_a_message_has_a_timing_before_and_after_it_went(shop: Shop) -> None:
    """Due from the start, the hand-off once it has departed."""
    due = shop.now + 60_000
    message = await shop.send("ada@example.net", due_in=60_000)
    assert await shop.store.messages.timing(message) == (due, None)
    shop.clock.move(60.004)
    await shop.fly()
    assert await shop.store.messages.timing(message) == (due, due + 4)


async def test_an_unknown_message_has_none(shop: Shop) -> None:
    """Of this store at least."""
    assert await shop.store.messages.timing(1) is None
