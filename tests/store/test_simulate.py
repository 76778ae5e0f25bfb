"""A /v1 test key's mail: the whole way to the hand-off, and there the local part says what becomes of it."""

import pytest

from postclock.core.lifecycle import Shown, State
from postclock.store.records import LIVE, TEST, Held
from postclock.store.views import MessageDetail
from tests.store.parts import ADA, Shop


async def run(shop: Shop, *to: str) -> MessageDetail:
    """Send a test message and let the engine take it to its end."""
    accepted = await shop.call(to, mode=TEST)
    (claimed,) = await shop.claim()
    assert await shop.depart(claimed, domain="never-verified.example") == [Held("settled")]
    return await shop.store.messages.detail(shop.tenant, TEST, accepted.ids[0][1])


@pytest.mark.parametrize(
    ("local", "event", "shown"),
    [
        ("delivered", "delivered", Shown.delivered),
        ("somebody", "delivered", Shown.delivered),
        ("bounced", "bounce", Shown.bounced),
        ("bounce", "bounce", Shown.bounced),
        ("complained", "spam_report", Shown.complained),
        ("complaint", "spam_report", Shown.complained),
    ],
)
async def test_the_local_part_names_the_outcome(shop: Shop, local: str, event: str, shown: Shown) -> None:
    """Any domain will do, verified or not: nothing is handed off."""
    detail = await run(shop, f"{local}@example.com")
    assert (detail.row.state, detail.row.shown) == (State.sandbox, shown)
    assert [e.type for e in detail.events] == [event]


@pytest.mark.parametrize(("local", "name"), [("bounce", "bounces"), ("complaint", "spam_reports")])
async def test_a_simulated_failure_suppresses_the_address_for_test_mail_alone(
    shop: Shop, local: str, name: str
) -> None:
    """The next test message there is dropped; live mail goes on."""
    address = f"{local}@example.com"
    await run(shop, address)
    lists = shop.store.suppressions
    assert await lists.suppression(shop.tenant, TEST, name, address) is not None  # type: ignore[arg-type]
    assert await lists.suppression(shop.tenant, LIVE, name, address) is None  # type: ignore[arg-type]
    again = await run(shop, address)
    assert (again.row.state, [e.type for e in again.events]) == (State.failed, ["dropped"])
    await shop.send(address)
    await shop.fly()


async def test_nothing_is_charged_for_a_test(shop: Shop) -> None:
    """Test mail is free: the hand-off never happens."""
    await run(shop, ADA)
    message = await shop.send(ADA)
    assert (await shop.detail(message)).row.state is State.queued
