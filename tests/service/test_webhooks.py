"""Webhooks over the real store: what is kept, what is shown, and what changes together."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from postclock.core.account import ApiKey, Principal, Tenant
from postclock.core.errors import NotFound
from postclock.core.ids import IdSource
from postclock.core.message import Mode
from postclock.core.sealing import WEBHOOK
from postclock.core.webhook import PREVIOUS_SECRET_MS, TIMELINE
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.seal import Seal
from postclock.service.webhooks import Webhooks, opened, ordered, public_webhook_id
from postclock.store.sqlite.store import SqliteStore, open_store
from tests.support.clock import MovedClock

URL = "https://hooks.example.com/in"
SEAL = Seal(bytes(32))


def unseal(sealed: bytes) -> bytes:
    """What a webhook's secret was sealed for."""
    return SEAL.open(WEBHOOK, sealed)


class Scene:
    """The service, and tenants to ask it."""

    def __init__(self, store: SqliteStore, clock: MovedClock, tenant: Tenant) -> None:
        self.store = store
        self.clock = clock
        self.tenant = tenant
        self.webhooks = Webhooks(
            store.outbox,
            clock,
            IdSource(clock, store.ledger.owner.node),
            SystemEntropy(),
            seal=lambda plain: SEAL.seal(WEBHOOK, plain),
            unseal=unseal,
        )

    def who(self, mode: Mode = "live") -> Principal:
        """A key of the tenant."""
        key = ApiKey(
            id=1, tenant=self.tenant.id, prefix="sg", name="k", dialect="scaisend", environment=mode, scopes=frozenset(), created_at=0
        )  # fmt: skip
        return Principal(key=key, tenant=self.tenant)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A fresh store with one tenant."""
    clock = MovedClock()
    store = open_store(tmp_path, clock)
    try:
        yield Scene(store, clock, await store.accounts.create_tenant("one", clock.now_ms()))
    finally:
        store.close()


async def test_a_secret_and_its_successor_sign_until_the_day_is_over(scene: Scene) -> None:
    """To the millisecond."""
    who = scene.who()
    made = await scene.webhooks.add(who, "sendara", field="url", url=URL, types=TIMELINE)
    again = await scene.webhooks.rotate(who, "sendara", public_webhook_id(made.webhook.id), overlap=True)
    end = scene.clock.now_ms() + PREVIOUS_SECRET_MS
    assert opened(again.webhook, unseal, end - 1).previous == made.secrets.secret
    assert opened(again.webhook, unseal, end).previous is None
    assert opened(again.webhook, unseal, end).secret == again.secrets.secret != made.secrets.secret


async def test_a_rotation_and_a_change_at_once_both_hold(scene: Scene) -> None:
    """Neither writes over what the other has written."""
    who = scene.who()
    made = await scene.webhooks.add(who, "scaisend", field="url", url=URL, types=TIMELINE)
    public = public_webhook_id(made.webhook.id)
    rotations, *_ = await asyncio.gather(
        scene.webhooks.rotate(who, "scaisend", public, overlap=False),
        scene.webhooks.change(who, "scaisend", public, field="url", url=URL + "2"),
        scene.webhooks.change(who, "scaisend", public, field="url", active=False),
        scene.webhooks.change(who, "scaisend", public, field="url", types=["open"]),
    )
    after = await scene.webhooks.get(who, "scaisend", public)
    assert (after.url, after.active, after.types) == (URL + "2", False, ("open",))
    assert scene.webhooks.secrets(after) == rotations.secrets


async def test_the_event_webhook_is_no_endpoint_to_anyone(scene: Scene) -> None:
    """Its id opens nothing: it is set by its own settings alone."""
    who = scene.who()
    there = await scene.webhooks.set_event_settings(who, url=URL, types=["open"], active=True)
    public = public_webhook_id(there.id)
    for attempt in (
        scene.webhooks.get(who, "scaisend", public),
        scene.webhooks.change(who, "scaisend", public, field="url", active=False),
        scene.webhooks.rotate(who, "scaisend", public, overlap=False),
        scene.webhooks.remove(who, "scaisend", public),
        scene.webhooks.deliveries(who, "scaisend", public, limit=1),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await scene.webhooks.event_settings(who) == there
    assert await scene.webhooks.event_settings(scene.who("test")) is None


async def test_a_webhook_without_a_secret_signs_nothing(scene: Scene) -> None:
    """As the event webhook before it is signed."""
    there = await scene.webhooks.set_event_settings(scene.who(), url=URL, types=[], active=True)
    secrets = opened(there, unseal, scene.clock.now_ms())
    assert (secrets.secret, secrets.previous, secrets.signing_key) == (None, None, None)
    await scene.webhooks.sign_event_settings(scene.who(), enabled=True)
    signed = await scene.webhooks.event_settings(scene.who())
    assert signed is not None
    assert opened(signed, unseal, 0).signing_key is not None
    assert opened(replace(signed, signing_key=None), unseal, 0).signing_key is None


def test_types_are_kept_once_and_in_order() -> None:
    """However they were named; what is no type is left out."""
    assert ordered(["sent", "bounce", "sent", "delivered", "invented"]) == ("delivered", "bounce", "sent")
