"""The composition root: settings become a store, a courier, services, engine loops and an ASGI app.

The only file that names concrete couriers; stores.py names the stores. Whatever must cross two rooms that do not know each other is passed here,
as a value.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from postclock.api.app import build_app
from postclock.api.endpoint import Gate
from postclock.api.endpoint import routes as endpoint_routes
from postclock.api.intake import Intake
from postclock.api.limits import Limits
from postclock.api.operations import operation_routes
from postclock.api.scaisend.api_keys import key_endpoints
from postclock.api.scaisend.batches import batch_endpoints
from postclock.api.scaisend.failures import failure_body
from postclock.api.scaisend.mail_send import PATH as MAIL_SEND_PATH
from postclock.api.scaisend.mail_send import MailSend
from postclock.api.scaisend.mail_send_endpoint import MAIL_SEND
from postclock.api.scaisend.messages import message_endpoints
from postclock.api.scaisend.openapi import openapi_route
from postclock.api.scaisend.scopes import scope_endpoints
from postclock.api.scaisend.suppressions import bounce_endpoints
from postclock.api.scaisend.templates import template_endpoints
from postclock.console.caught import Timing
from postclock.console.inbox import inbox_routes
from postclock.core.clock import Clock
from postclock.core.errors import Busy, Conflict
from postclock.core.ids import SEQUENCE_BITS, IdSource
from postclock.courier.inbox import InboxCourier
from postclock.courier.interface import Courier
from postclock.courier.opening import open_session
from postclock.courier.relay import RelayAddress, RelayCourier
from postclock.courier.resolver import Resolver
from postclock.courier.return_path import ReturnPath
from postclock.courier.timeouts import Timeouts
from postclock.engine.points import nowhere
from postclock.engine.settings import EngineSettings
from postclock.engine.supervisor import Engine
from postclock.runtime.clock import SystemClock
from postclock.runtime.disk import DiskWatch
from postclock.runtime.entropy import Entropy, SystemEntropy
from postclock.runtime.metrics import Metrics
from postclock.runtime.seal import Seal
from postclock.service.accounts import ApiKeys
from postclock.service.batches import Batches
from postclock.service.domains import Domains
from postclock.service.messages import Messages
from postclock.service.principal import Authenticator
from postclock.service.secret_key import DKIM as DKIM
from postclock.service.secret_key import KEY_FILE as KEY_FILE
from postclock.service.secret_key import Rotation as Rotation
from postclock.service.secret_key import check_key as check_key
from postclock.service.secret_key import opening_key as key_with_store
from postclock.service.secret_key import rotate
from postclock.service.secret_key import secret_key as key_without_store
from postclock.service.share import Share
from postclock.service.submit import Submit
from postclock.service.suppressions import Suppressions
from postclock.service.templates import Templates
from postclock.service.tenants import Tenants
from postclock.settings import Settings
from postclock.store.records import SILENCE_MS, SILENT_SINCE
from postclock.stores import CannotStart, Opened, is_shared, open_data

DEFAULT_TENANT: Final = "default"
COMMAND_SEQUENCE: Final = (1 << SEQUENCE_BITS) - 64
"""Commands share a node: each begins its ids somewhere below this, with room for the few that it makes."""
RESTORED: Final = "overdue after a restore"
GREET_SECONDS: Final = 10.0
"""Patience with each step of a relay's greeting, for somebody who waits at a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What callers may ask for."""

    tenants: Tenants
    keys: ApiKeys
    domains: Domains
    templates: Templates
    suppressions: Suppressions
    messages: Messages
    batches: Batches
    submit: Submit
    authenticator: Authenticator


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


def build_services(
    store: Opened,
    seal: Seal,
    clock: Clock,
    entropy: Entropy,
    *,
    has_room: Callable[[], None],
    on_point: Callable[[str], None],
    dns: str = "",
) -> Services:
    """The services over a store."""
    owner = store.ledger.owner
    ids = IdSource(clock, owner.node, 0 if owner.epoch else int(entropy.jitter() * COMMAND_SEQUENCE))
    authenticator = Authenticator(store.accounts, clock)
    return Services(
        tenants=Tenants(store.accounts, clock, authenticator.forget),
        keys=ApiKeys(store.accounts, clock, ids, entropy, authenticator.forget),
        domains=Domains(
            store.domains,
            clock,
            ids,
            seal=lambda plain: seal.seal(DKIM, plain),
            unseal=lambda sealed: seal.open(DKIM, sealed),
            look_up=Resolver(dns).txt,
        ),
        templates=Templates(store.templates, clock, ids, entropy),
        suppressions=Suppressions(store.suppressions, clock),
        messages=Messages(store.messages, clock),
        batches=Batches(store.messages, clock, ids),
        submit=Submit(
            messages=store.messages,
            ledger=store.ledger,
            templates=store.templates,
            clock=clock,
            make_id=ids,
            has_room=has_room,
            on_point=on_point,
        ),
        authenticator=authenticator,
    )


def build_inbox(courier: Courier, store: Opened) -> list[Route]:
    """The /inbox page when the courier is the one that catches everything, else nothing."""
    if not isinstance(courier, InboxCourier):
        return []

    async def lookup(message: int) -> Timing | None:
        found = await store.messages.timing(message)
        return None if found is None else Timing(due_at_ms=found[0], departed_at_ms=found[1])

    return inbox_routes(courier.box, lookup)


def build_api(
    services: Services,
    store: Opened,
    clock: Clock,
    metrics: Metrics,
    engine: Engine,
    share: Callable[[], float],
    console: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """The ASGI app, with the routes of the console."""
    limits, intake = Limits(clock, share), Intake()
    gate = Gate(services.authenticator, limits, intake, failure_body)
    endpoints = (
        MAIL_SEND,
        *batch_endpoints(services.batches),
        *message_endpoints(services.messages),
        *template_endpoints(services.templates),
        *bounce_endpoints(services.suppressions),
        *key_endpoints(services.keys),
        *scope_endpoints(),
    )

    hot = MailSend(
        authenticator=services.authenticator,
        limits=limits,
        intake=intake,
        submit=services.submit,
        clock=clock,
        metrics=metrics,
    )
    return build_app(
        [
            *operation_routes(_readiness(store, engine), metrics.registry),
            openapi_route(endpoints),
            *endpoint_routes(endpoints, gate),
            *console,
        ],
        {("POST", MAIL_SEND_PATH): hot},
        failure_bodies={"/v3/": failure_body},
    )


def _readiness(store: Opened, engine: Engine) -> Callable[[], Awaitable[str | None]]:
    async def ready() -> str | None:
        if engine.failure is not None:
            return f"the engine ended: {engine.failure}"
        return None if await store.is_ready() else "the store does not answer"

    return ready


def build_operations(house: House) -> ASGIApp:
    """What an engine without an API answers: /health, /ready and /metrics alone."""
    store = house.store

    return build_app(
        operation_routes(_readiness(store, house.engine), house.metrics.registry),
        {},
        failure_bodies={"/v3/": failure_body},
    )


def build_waiting(reason: Callable[[], str], clock: Clock) -> ASGIApp:
    """What a process answers while it waits for its store: /health, /ready with the reason, and 503 for everything else."""

    async def not_ready() -> str | None:
        return reason()

    async def busy(_: Request) -> Response:
        raise Busy(f"Not ready yet: {reason()}", retry_after=2)

    routes = operation_routes(not_ready, Metrics().registry)
    every = Route("/{path:path}", busy, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    return build_app([*routes, every], {}, failure_bodies={"/v3/": failure_body})


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
        store, seal, clock, entropy, has_room=disk.may_accept, on_point=on_point, dns=settings.dns
    )
    share = Share(store.ledger.owner.id)
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
        return_path=ReturnPath(seal.sub_key("return path")),
        metrics=metrics,
        on_point=on_point,
        may_depart=disk.may_depart,
        seen=share.seen,
    )
    app = build_api(services, store, clock, metrics, engine, share, build_inbox(courier, store))
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
