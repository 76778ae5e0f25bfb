"""/v1/send and /v1/send/batch as a test drives them: the real app over a real store, with a clock that stands still."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from postclock.api.app import build_app
from postclock.api.endpoint import Gate, routes
from postclock.api.intake import Intake
from postclock.api.limits import Limits
from postclock.api.sendara.failures import VOICE
from postclock.api.sendara.messages import message_endpoints
from postclock.api.sendara.send import PATH, Send, SendOne
from postclock.api.sendara.send_batch import PATH as BATCH_PATH
from postclock.api.sendara.send_batch import SendBatch
from postclock.core.account import Principal, Tenant
from postclock.core.errors import SpendCapExceeded
from postclock.core.ids import IdSource, parse_message_id
from postclock.core.message import Mode, Personalization, Submission
from postclock.core.suppression import Suppression
from postclock.core.when import iso
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.metrics import Metrics
from postclock.service.accounts import ApiKeys
from postclock.service.messages import Messages
from postclock.service.principal import Authenticator
from postclock.service.submit import Submit
from postclock.service.tenants import Tenants
from postclock.store.interface import Store
from postclock.store.records import mode_number
from postclock.store.sqlite.store import open_store
from postclock.store.views import MessageDetail
from tests.support.clock import MovedClock

DOMAIN: Final = "example.com"
Json = dict[str, Any]

_submission = msgspec.msgpack.Decoder(Submission).decode
_personalization = msgspec.msgpack.Decoder(Personalization).decode


def one(to: str = "ada@example.net", **more: Any) -> Json:
    """A good body of send; None takes a field out."""
    body: Json = {
        "channel": "email",
        "destination": {"email": to},
        "metadata": {"from_email": f"hello@{DOMAIN}"},
        "payload": {"subject": "See you Monday", "body_html": "<p>Reminder</p>"},
    }
    body |= more
    return {name: value for name, value in body.items() if value is not None}


@dataclass
class SendApi:
    """A running API. What Submit asks of others is said by the test: ``undeliverable``, ``testers``, ``spent``."""

    client: httpx.AsyncClient
    clock: MovedClock
    store: Store
    tenant: Tenant
    keys: ApiKeys
    tenants: Tenants
    ids: IdSource
    undeliverable: dict[str, str] = field(default_factory=dict)
    looked_at: list[str] = field(default_factory=list)
    testers: set[str] = field(default_factory=set)
    spent: str = ""
    headers: dict[Mode, dict[str, str]] = field(default_factory=dict)

    async def key(self, scopes: Sequence[str] = ("admin",), mode: Mode = "live", **more: Any) -> dict[str, str]:
        """The header of a new /v1 key."""
        made = await self.keys.make(
            more.pop("tenant", self.tenant), name="key", dialect=more.pop("dialect", "sendara"), environment=mode,
            scopes=scopes, read_messages=True,
        )  # fmt: skip
        return {"Authorization": f"Bearer {made.secret}"}

    async def usual(self, mode: Mode = "live") -> dict[str, str]:
        """The header of a key that may do everything."""
        if mode not in self.headers:
            self.headers[mode] = await self.key(mode=mode)
        return self.headers[mode]

    async def post(
        self, body: Any, *, headers: dict[str, str] | None = None, mode: Mode = "live", path: str = PATH
    ) -> httpx.Response:
        """One call; bytes go as they are."""
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await self.client.post(path, headers=(await self.usual(mode)) | (headers or {}), **given)

    async def send(self, body: Json | None = None, *, mode: Mode = "live", **more: Any) -> Json:
        """The answer to a call that must be taken."""
        answer = await self.post(body or one(**more), mode=mode)
        assert answer.status_code == 201, answer.text
        told: Json = answer.json()
        return told

    async def refused(self, body: Any, *, mode: Mode = "live", **how: Any) -> tuple[int, str, str]:
        """(status, code, message) of a call that must not be."""
        answer = await self.post(body, mode=mode, **how)
        error = answer.json()["error"]
        assert set(error) == {"code", "message", "status"}
        assert error["status"] == answer.status_code
        return answer.status_code, error["code"], error["message"]

    async def detail(self, public: str, mode: Mode = "live") -> MessageDetail:
        """What the store has."""
        return await self.store.messages.detail(self.tenant.id, mode_number(mode), parse_message_id(public)[1])

    async def stored(self, public: str, mode: Mode = "live") -> tuple[Submission, Personalization]:
        """What it is made from."""
        row = (await self.detail(public, mode)).row
        assert row.personal is not None
        return _submission(row.submission), _personalization(row.personal)

    async def count(self, mode: Mode = "live") -> int:
        """How many messages there are."""
        answer = await self.client.get("/v1/messages", headers=await self.usual(mode), params={"limit": 100})
        assert answer.json()["next_cursor"] is None
        return len(answer.json()["messages"])

    async def suppress(self, address: str, mode: Mode = "live") -> None:
        """Put it on a list."""
        entry = Suppression(address=address, list="bounces", created_at=self.clock.now_ms())
        await self.store.suppressions.suppress(self.tenant.id, mode_number(mode), entry)

    def at(self, seconds: float) -> str:
        """The moment so many seconds from now, as RFC 3339."""
        ms = self.clock.now_ms() + round(seconds * 1000)
        return iso(ms) if ms % 1000 == 0 else iso(ms).removesuffix("Z") + f".{ms % 1000:03d}Z"


@asynccontextmanager
async def fresh_api(folder: Path) -> AsyncIterator[SendApi]:
    """The API over a store of its own in the folder."""
    clock = MovedClock()
    store = open_store(folder, clock)
    try:
        async with send_api(store, clock) as running:
            yield running
    finally:
        store.close()


@asynccontextmanager
async def send_api(store: Store, clock: MovedClock) -> AsyncIterator[SendApi]:
    """The API over an empty store; the tenant ``default`` may send from ``DOMAIN``."""
    ids, entropy = IdSource(clock, store.ledger.owner.node), SystemEntropy()
    authenticator = Authenticator(store.accounts, clock)
    keys = ApiKeys(store.accounts, clock, ids, entropy, authenticator.forget)
    tenants = Tenants(store.accounts, clock, authenticator.forget)

    async def look(address: str) -> str:
        api.looked_at.append(address)
        return api.undeliverable.get(address, "")

    async def is_tester(_: int, address: str) -> bool:
        return address in api.testers

    async def may_spend(_: Principal, __: Submission, n: int) -> None:
        assert n == 1
        if api.spent:
            raise SpendCapExceeded(api.spent)

    submit = Submit(
        messages=store.messages, ledger=store.ledger, templates=store.templates, clock=clock, make_id=ids, has_room=lambda: None,
        on_point=lambda _: None, suppressions=store.suppressions, look_at_recipient=look, is_test_recipient=is_tester, may_spend=may_spend,
    )  # fmt: skip
    messages = Messages(store.messages, clock)
    limits, intake = Limits(clock), Intake()
    send_one = SendOne(submit=submit, messages=messages, clock=clock, entropy=entropy, metrics=Metrics())
    app = build_app(
        routes(message_endpoints(messages, clock), Gate(authenticator, limits, intake, VOICE)),
        {
            ("POST", PATH): Send(send_one=send_one, authenticator=authenticator, limits=limits, intake=intake),
            ("POST", BATCH_PATH): SendBatch(
                send_one=send_one, clock=clock, authenticator=authenticator, limits=limits, intake=intake
            ),
        },
        voices={"/v1/": VOICE},
    )
    tenant = await tenants.create("default")
    await store.domains.add_domain(tenant.id, DOMAIN, (), clock.now_ms(), trusted=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postclock") as client:
        api = SendApi(client, clock, store, tenant, keys, tenants, ids)
        yield api
