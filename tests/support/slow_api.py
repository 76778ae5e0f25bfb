"""The /v3 API without its hot path, as a test drives it: the real app over the real SQLite store, with a clock that stands still."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from postclock.api.app import build_app
from postclock.api.endpoint import Endpoint, Gate, routes
from postclock.api.intake import Intake
from postclock.api.limits import Limits
from postclock.api.operations import operation_routes
from postclock.api.scaisend.api_keys import key_endpoints
from postclock.api.scaisend.failures import VOICE
from postclock.api.scaisend.openapi import openapi_route
from postclock.api.scaisend.scopes import scope_endpoints
from postclock.api.scaisend.suppressions import bounce_endpoints
from postclock.api.scaisend.templates import template_endpoints
from postclock.api.sendara.failures import VOICE as SENDARA_VOICE
from postclock.core.account import ALL_SCOPES, Tenant
from postclock.core.ids import IdSource
from postclock.core.message import Mode
from postclock.runtime.entropy import SystemEntropy
from postclock.service.accounts import ApiKeys, KeyMade
from postclock.service.principal import Authenticator
from postclock.service.suppressions import Suppressions
from postclock.service.templates import Templates
from postclock.service.tenants import Tenants
from postclock.store.sqlite.store import SqliteStore, open_store
from tests.support.clock import MovedClock


@dataclass
class SlowApi:
    """A running API: ``client`` speaks to it, the services act as the operator, the clock is moved by the test."""

    client: httpx.AsyncClient
    clock: MovedClock
    store: SqliteStore
    authenticator: Authenticator
    keys: ApiKeys
    tenants: Tenants
    endpoints: list[Endpoint]
    routes: list[BaseRoute]
    tenant: Tenant
    hot: dict[tuple[str, str], ASGIApp] = field(default_factory=dict)
    ready: list[str | None] = field(default_factory=lambda: [None])

    async def key(
        self,
        scopes: Collection[str] = ALL_SCOPES,
        *,
        environment: Mode = "live",
        tenant: Tenant | None = None,
        read_messages: bool = True,
        expires_at: str | None = None,
    ) -> KeyMade:
        """A new key, by default one that may do everything."""
        return await self.keys.make(
            tenant or self.tenant,
            name="a key",
            dialect="scaisend",
            environment=environment,
            scopes=scopes,
            read_messages=read_messages,
            expires_at=expires_at,
        )

    async def headers(
        self, scopes: Collection[str] = ALL_SCOPES, *, environment: Mode = "live", tenant: Tenant | None = None
    ) -> dict[str, str]:
        """The header of a new key."""
        return bearer(await self.key(scopes, environment=environment, tenant=tenant))


def bearer(made: KeyMade) -> dict[str, str]:
    """The header that a key is sent in."""
    return {"Authorization": f"Bearer {made.secret}"}


@asynccontextmanager
async def slow_api(
    folder: Path,
    *,
    more: Sequence[Endpoint] = (),
    hot: dict[tuple[str, str], ASGIApp] | None = None,
    share: Callable[[], float] = lambda: 1.0,
    built: Callable[[SqliteStore, MovedClock], Sequence[Endpoint]] = lambda store, clock: (),
) -> AsyncIterator[SlowApi]:
    """The API over a store in ``folder``, with a tenant named default; ``built`` makes further endpoints over the same store."""
    clock = MovedClock()
    store = open_store(folder, clock)
    ids, entropy = IdSource(clock, store.ledger.owner.node), SystemEntropy()
    authenticator = Authenticator(store.accounts, clock)
    keys = ApiKeys(store.accounts, clock, ids, entropy, authenticator.forget)
    tenants = Tenants(store.accounts, clock, authenticator.forget)
    ready: list[str | None] = [None]

    async def is_ready() -> str | None:
        return ready[0]

    endpoints = [
        *template_endpoints(Templates(store.templates, clock, ids, entropy)),
        *bounce_endpoints(Suppressions(store.suppressions, clock)),
        *key_endpoints(keys),
        *scope_endpoints(),
        *more,
        *built(store, clock),
    ]
    limits, intake = Limits(clock, share), Intake()
    all_routes: list[BaseRoute] = [
        *routes([e for e in endpoints if e.path.startswith("/v3/")], Gate(authenticator, limits, intake, VOICE)),
        *routes(
            [e for e in endpoints if e.path.startswith("/v1/")], Gate(authenticator, limits, intake, SENDARA_VOICE)
        ),
        openapi_route([e for e in endpoints if e.path.startswith("/v3/")]),
        *operation_routes(is_ready, CollectorRegistry()),
    ]
    app = build_app(all_routes, hot or {}, voices={"/v3/": VOICE, "/v1/": SENDARA_VOICE})
    try:
        tenant = await tenants.create("default")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postclock") as client:
            yield SlowApi(
                client, clock, store, authenticator, keys, tenants, endpoints, all_routes, tenant, hot or {}, ready
            )
    finally:
        store.close()
