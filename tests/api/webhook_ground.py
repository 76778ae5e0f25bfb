"""A running API with the webhooks of both dialects, for the tests of either."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postclock.api.endpoint import Endpoint
from postclock.api.scaisend.event_settings import event_settings_endpoints
from postclock.api.scaisend.webhooks import webhook_endpoints
from postclock.api.sendara.webhooks import webhook_endpoints as sendara_webhook_endpoints
from postclock.core.account import Tenant
from postclock.core.ids import IdSource
from postclock.core.message import Mode
from postclock.core.sealing import WEBHOOK
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.seal import Seal
from postclock.service.webhooks import Webhooks
from postclock.store.sqlite.store import SqliteStore
from tests.support.clock import MovedClock
from tests.support.slow_api import SlowApi, bearer, slow_api

SEAL = Seal(bytes(32))


@dataclass(frozen=True, slots=True)
class WebhookGround:
    """The API, and the service behind it."""

    api: SlowApi
    webhooks: Webhooks

    async def key(self, scope: str = "admin", *, mode: Mode = "live", tenant: Tenant | None = None) -> dict[str, str]:
        """The header of a new /v1 key."""
        made = await self.api.keys.make(
            tenant or self.api.tenant, name="a key", dialect="sendara", environment=mode, scopes=[scope]
        )
        return bearer(made)

    async def call(
        self, method: str, path: str, headers: dict[str, str], body: Any = None, *, code: int = 200
    ) -> dict[str, Any]:
        """The answer's body, after a look at its status."""
        answer = await self.api.client.request(method, path, headers=headers, json=body)
        assert answer.status_code == code, answer.text
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found


@asynccontextmanager
async def webhook_ground(folder: Path, *, allowed: Sequence[str] = ()) -> AsyncIterator[WebhookGround]:
    """``allowed``: private networks that webhooks may lead to."""
    made: list[Webhooks] = []

    def built(store: SqliteStore, clock: MovedClock) -> Sequence[Endpoint]:
        webhooks = Webhooks(
            store.outbox,
            clock,
            IdSource(clock, store.ledger.owner.node),
            SystemEntropy(),
            seal=lambda plain: SEAL.seal(WEBHOOK, plain),
            unseal=lambda sealed: SEAL.open(WEBHOOK, sealed),
            allowed=allowed,
        )
        made.append(webhooks)
        return (
            *webhook_endpoints(webhooks),
            *event_settings_endpoints(webhooks),
            *sendara_webhook_endpoints(webhooks),
        )

    async with slow_api(folder, built=built) as api:
        yield WebhookGround(api, made[0])
