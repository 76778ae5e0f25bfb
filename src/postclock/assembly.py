"""The composition root: settings become a store, a courier, services, engine loops and an ASGI app.

The only file that names concrete couriers; stores.py names the stores. Whatever must cross two rooms that do not know each other is passed here,
as a value.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.routing import Route
from starlette.types import ASGIApp

from postclock.api.scaisend.event_body import post as scaisend_post
from postclock.api.sendara.event_body import post as sendara_post
from postclock.console.caught import Timing
from postclock.console.inbox import inbox_routes
from postclock.core.clock import Clock
from postclock.core.errors import Conflict
from postclock.core.sealing import WEBHOOK
from postclock.core.webhook import Secrets
from postclock.courier.inbox import InboxCourier
from postclock.courier.interface import Courier
from postclock.courier.opening import open_session
from postclock.courier.post import HttpPoster
from postclock.courier.post_targets import networks
from postclock.courier.relay import RelayAddress, RelayCourier
from postclock.courier.resolver import Resolver
from postclock.courier.return_path import ReturnPath
from postclock.courier.timeouts import Timeouts
from postclock.engine.notify import Telling
from postclock.engine.points import nowhere
from postclock.engine.settings import EngineSettings
from postclock.engine.supervisor import Engine
from postclock.mail.tracking import Tokens, Tracking
from postclock.runtime.clock import SystemClock
from postclock.runtime.disk import DiskWatch
from postclock.runtime.entropy import Entropy, SystemEntropy
from postclock.runtime.metrics import Metrics
from postclock.runtime.seal import Seal
from postclock.service.secret_key import DKIM as DKIM
from postclock.service.secret_key import KEY_FILE as KEY_FILE
from postclock.service.secret_key import Rotation as Rotation
from postclock.service.secret_key import check_key as check_key
from postclock.service.secret_key import mail_key, rotate
from postclock.service.secret_key import opening_key as key_with_store
from postclock.service.secret_key import secret_key as key_without_store
from postclock.service.share import Share
from postclock.service.tracking import Engagements
from postclock.service.webhooks import opened
from postclock.services import Services, build_services
from postclock.settings import Settings
from postclock.store.outbox import Subscription
from postclock.store.records import SILENCE_MS, SILENT_SINCE
from postclock.stores import CannotStart, Opened, is_shared, open_data
from postclock.web import build_api

DEFAULT_TENANT: Final = "default"
TRACKING: Final = "tracking"
"""What the key of the pixel's and the links' tokens is for."""
RESTORED: Final = "overdue after a restore"
GREET_SECONDS: Final = 10.0
"""Patience with each step of a relay's greeting, for somebody who waits at a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A process, put together and not yet started."""

    settings: Settings
    clock: Clock
    store: Opened
    seal: Seal
    services: Services
    metrics: Metrics
    engine: Engine
    share: Share
    courier: Courier
    engagements: Engagements
    app: ASGIApp


def secret_key(settings: Settings) -> bytes:
    """The secret key: the setting's, or the one in the data folder, made at the first start (0600)."""
    return key_without_store(settings.data, settings.secret_key, SystemEntropy())


def opening_key(settings: Settings, store: Opened) -> bytes:
    """The secret key of an opened store; finishes a rotation that was cut short."""
    return key_with_store(settings.data, settings.secret_key, store, SystemEntropy())


async def rotate_secret(settings: Settings, store: Opened) -> Rotation:
    """Wrap everything under a new secret key; ``store`` was opened ``alone``. Raises ForeignKey."""
    key = opening_key(settings, store)
    return await rotate(settings.data, given=bool(settings.secret_key), key=key, store=store, entropy=SystemEntropy())


async def ensure_default(services: Services) -> None:
    """A new store gets the tenant ``default``."""
    if not await services.tenants.all():
        with contextlib.suppress(Conflict):  # another command was faster
            await services.tenants.create(DEFAULT_TENANT)


async def ask_dns(settings: Settings) -> str:
    """Ask the resolver for something that every one knows; its name. Raises DnsUnavailable."""
    return await Resolver(settings.dns).answers()


async def greet_relay(settings: Settings, clock: Clock) -> str | None:
    """Connect to the relay, say EHLO, log in; None when the courier is no relay. Raises CannotStart, HostUnavailable."""
    if "://" not in settings.courier:
        return None
    address = _relay(settings)
    patience = Timeouts(connect=GREET_SECONDS, banner=GREET_SECONDS, command=GREET_SECONDS, auth=GREET_SECONDS)
    session = await open_session(address.server, hostname=settings.hostname, clock=clock, timeouts=patience)
    session.quit()
    await asyncio.wait([session.wire.lost], timeout=GREET_SECONDS)
    return f"{address.host}:{address.port}"


def build_courier(settings: Settings, clock: Clock) -> Courier:
    """The courier of the settings. Raises CannotStart."""
    timeouts = Timeouts(dot=settings.final_reply_timeout / 1000)
    if settings.courier == "inbox":
        return InboxCourier(hostname=settings.hostname, clock=clock, timeouts=timeouts)
    if settings.courier == "direct":
        raise CannotStart("POSTCLOCK_COURIER: direct delivery is not there yet; use inbox or relay://host:port")
    return RelayCourier(_relay(settings), hostname=settings.hostname, clock=clock, timeouts=timeouts)


def _relay(settings: Settings) -> RelayAddress:
    try:
        return RelayAddress.parse(settings.courier)
    except ValueError as error:
        raise CannotStart(f"POSTCLOCK_COURIER: {error}") from error


def build_telling(settings: Settings, store: Opened, seal: Seal) -> Telling:
    """How webhooks are told: each dialect its own way, signed with what the store has sealed."""

    def secrets(webhook: Subscription, now: int) -> Secrets:
        return opened(webhook, lambda sealed: seal.open(WEBHOOK, sealed), now)

    return Telling(
        outbox=store.outbox,
        poster=HttpPoster(allowed=networks(settings.webhook_allow), dns=settings.dns),
        voices={
            "scaisend": lambda webhook, told, now: scaisend_post(webhook, told, secrets(webhook, now), now),
            "sendara": lambda webhook, told, now: sendara_post(told[0], secrets(webhook, now), now),
        },
    )


def build_inbox(courier: Courier, store: Opened) -> list[Route]:
    """The /inbox page when the courier is the one that catches everything, else nothing."""
    if not isinstance(courier, InboxCourier):
        return []

    async def lookup(message: int) -> Timing | None:
        found = await store.messages.timing(message)
        return None if found is None else Timing(due_at_ms=found[0], departed_at_ms=found[1])

    return inbox_routes(courier.box, lookup)


def build(
    settings: Settings,
    *,
    shift: Callable[[Clock], Clock] = lambda clock: clock,
    entropy: Entropy | None = None,
    die_at: str | None = None,
    api: bool = True,
) -> House:
    """A whole process: API and engine over one store. ``shift`` may move the store's clock, ``api`` False: it answers no callers.

    Raises CannotStart, CannotOpen, FolderTaken, SchemaMismatch.
    """
    entropy = entropy or SystemEntropy()
    on_point = _dies_at(die_at)
    build_courier(settings, SystemClock())  # settings that cannot stand are told before the store is waited for
    store = open_data(settings, shift(SystemClock()), serve=True, api=api)
    clock = shift(store.clock) if is_shared(settings) else store.clock
    courier = build_courier(settings, clock)
    seal = Seal(opening_key(settings, store))
    metrics = Metrics()
    disk = DiskWatch(Path(settings.data), clock)
    services = build_services(
        store,
        seal,
        clock,
        entropy,
        has_room=disk.may_accept,
        on_point=on_point,
        dns=settings.dns,
        hostname=settings.hostname,
        return_domain=settings.return_domain,
        webhook_allow=settings.webhook_allow,
        public_url=settings.public_url,
    )
    share = Share(store.ledger.owner.id)
    in_mails = Seal(mail_key(seal, store))
    tokens = Tokens(in_mails.sub_key(TRACKING))
    engine = Engine(
        ledger=store.ledger,
        courier=courier,
        clock=clock,
        entropy=entropy,
        settings=EngineSettings(
            settle_after_ms=settings.settle_after,
            uncertain_wait_ms=settings.uncertain_wait,
            give_up_after_ms=settings.give_up_after,
            max_lateness_ms=settings.max_lateness,
            stop_grace_seconds=settings.stop_grace / 1000,
            return_domain=settings.return_domain,
            keep_messages_ms=settings.keep_messages,
            keep_bodies_ms=settings.keep_bodies,
            keep_events_ms=settings.keep_events,
        ),
        unseal=lambda sealed: seal.open(DKIM, sealed),
        return_path=ReturnPath(in_mails.sub_key("return path")),
        metrics=metrics,
        on_point=on_point,
        may_depart=disk.may_depart,
        seen=share.seen,
        tracking=Tracking(tokens, settings.public_url),
        telling=build_telling(settings, store, seal),
    )
    engagements = Engagements(store.messages, tokens, clock, metrics)
    app = build_api(services, store, clock, metrics, engine, share, engagements, build_inbox(courier, store))
    return House(
        settings=settings,
        clock=clock,
        store=store,
        seal=seal,
        services=services,
        metrics=metrics,
        engine=engine,
        share=share,
        courier=courier,
        engagements=engagements,
        app=app,
    )


async def park_after_restore(house: House) -> int:
    """After a long stop or a restore: park what is overdue by more than POSTCLOCK_MAX_LATENESS. How many."""
    last, now = house.store.last_beat, house.clock.now_ms()
    if last is None or now - last < SILENCE_MS:
        return 0
    parked = await house.store.ledger.park_overdue(now - house.settings.max_lateness, RESTORED, now)
    await house.store.set_meta(
        SILENT_SINCE, ""
    )  # those who start beside this one have parked as well, or need not any more
    return parked


def _dies_at(point: str | None) -> Callable[[str], None]:
    if point is None:
        return nowhere

    def pass_by(here: str) -> None:
        if here == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return pass_by
