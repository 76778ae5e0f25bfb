"""Every method of Sendara's own Python library that /v1 has calls for, by its plain and its asynchronous client, against the running service.

The stories beside this file look closer at most of them; here none can be forgotten: what was called is held against what the library has.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sendara import AsyncSendara, Sendara
from sendara.errors import NotFoundError, SendaraError

from postclock.runtime.shifted_clock import ClockFile
from tests.end_to_end.parts import Ground, ground
from tests.support.dns_server import DnsServer
from tests.support.fleet import SECRET_KEY
from tests.support.process import DOMAIN

FROM = f"Shop <hello@{DOMAIN}>"
NOT_HERE = {"billing", "broadcasts", "contacts", "credits", "lists", "uploads"}
"""Resources of the library that /v1 has no calls for."""
NOT_HERE_EITHER = {"emails.send_bulk", "domains.get_bimi", "domains.set_bimi", "domains.upload_bimi_logo"}
A_MINUTE_MS = 60_000
"""After which a test recipient may be mailed again."""

Client = Sendara | AsyncSendara


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> ClockFile:
    """What moves the service's clock."""
    return ClockFile(tmp_path_factory.mktemp("clock") / "clock")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, hand: ClockFile) -> Iterator[Ground]:
    """A service over either store with a DNS of its own, in which example.com gets mail, and a default sender."""
    with DnsServer() as dns:
        dns.mx("example.com", (10, "mx.example.com"))
        env = {"POSTCLOCK_DNS": dns.address}
        if request.param == "postgres":
            env |= {
                "POSTCLOCK_STORE": request.getfixturevalue("module_postgres_dsn"),
                "POSTCLOCK_SECRET_KEY": SECRET_KEY,
            }
        folder = tmp_path_factory.mktemp("postclock")
        with ground(folder, env, args=("--clock-file", str(hand.path))) as there:
            there.service.cli_json("tenants", "set", "default", f"default_from=hello@{DOMAIN}")
            yield there


def hence(**delta: float) -> str:
    """A moment from now on, in RFC 3339."""
    return (datetime.now(UTC) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Caller:
    """Calls methods of either client by name, and keeps which they were."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.called: set[str] = set()

    async def __call__(self, name: str, /, *args: Any, **more: Any) -> Any:
        self.called.add(name)
        resource, _, method = name.rpartition(".")
        owner = getattr(self._client, resource) if resource else self._client
        answer = getattr(owner, method)(*args, **more)
        return await answer if inspect.isawaitable(answer) else answer

    def methods(self) -> set[str]:
        """What the library has."""
        found = {"request", "send", "send_batch"}
        for name, resource in vars(self._client).items():
            if not name.startswith("_"):
                found |= {f"{name}.{m}" for m, _ in inspect.getmembers(resource, callable) if not m.startswith("_")}
        return found


async def _mail(call: Caller, here: Ground, who: str) -> None:
    """Send in every way, list, read, cancel."""
    to = f"{who}@example.com"
    told = {"subject": "Hi", "html": "<p>Hi</p>", "text": "Hi", "from_": FROM, "validate_recipient": True}
    one = await call("emails.send", to=to, metadata={"order": 7}, message_type="marketing", store_payload=False, **told)
    assert (one.status, one.channel, len(one.idempotency_key)) == ("queued", "email", 36)
    raw = {
        "channel": "email",
        "destination": {"email": to},
        "payload": {"subject": "Raw", "body_html": None, "body_text": "Raw"},
        "metadata": {"from_email": FROM},
    }
    first = await call("emails.send_raw", raw | {"idempotency_key": f"raw-{who}"})
    again = await call("send", raw | {"idempotency_key": f"raw-{who}", "scheduled_at": hence(days=1)})
    assert again.id == first.id
    later = raw | {"scheduled_at": hence(hours=1)}
    good, bad = await call("emails.send_batch", [later, raw | {"destination": {"email": "nobody"}}])
    assert (good.success, good.response.status, good.error) == (True, "scheduled", None)
    assert (bad.success, bad.error.code, bad.error.status) == (False, "invalid_request", 400)
    assert [item.success for item in await call("send_batch", [raw])] == [True]
    here.wait_for(to, 3)

    listed = await call("messages.list", search=f"{who}@", status="scheduled", channel="email", limit=10)
    assert ([m.id for m in listed["messages"]], listed["next_cursor"]) == ([good.response.id], None)
    read = await call("messages.get", good.response.id)
    by_key = await call("messages.get", idempotency_key=good.response.idempotency_key)
    assert (read.status, read.raw) == ("scheduled", by_key.raw)
    walked = call._client.messages.iter(search=f"{who}@", limit=2)
    call.called.add("messages.iter")
    found = [m.id async for m in walked] if hasattr(walked, "__aiter__") else [m.id for m in walked]
    assert len(found) == len(set(found)) == 4
    cancel = f"/v1/messages/{good.response.id}/cancel"
    assert await call("request", "POST", cancel) == {"id": good.response.id, "status": "canceled"}
    with pytest.raises(NotFoundError):
        await call("request", "POST", cancel)
    verdict = await call("request", "POST", "/v1/validate", {"email": to})
    assert verdict == {"email": to, "valid": True, "reason": ""}


async def _templates(call: Caller, here: Ground, who: str) -> None:
    variables = [{"name": "name", "required": True}]
    made = await call(
        "templates.create", name="hi", channel="email", subject="Hi", body_text="{{ name }}", variables=variables
    )
    assert made.id in [t.id for t in await call("templates.list")]
    assert (await call("templates.update", made.id, subject="Ho")).version == 2
    assert (await call("templates.get", made.id)).subject == "Ho"
    assert (await call("templates.render", made.id, vars={"name": "Ada"}))["body_text"] == "Ada"
    await call(
        "emails.send",
        to=f"from-template-{who}@example.com",
        from_=FROM,
        template_id=made.id,
        template_vars={"name": "A"},
    )
    here.wait_for(f"from-template-{who}@example.com")
    assert await call("templates.delete", made.id) is None


async def _domains(call: Caller, here: Ground, who: str) -> None:
    name = f"{who}.example.org"
    made = await call("domains.create", name)
    assert made.txt_status == "pending"
    assert [d.domain for d in await call("domains.list") if d.domain == name] == [name]
    assert (await call("domains.get", name)).id == made.id
    assert (await call("domains.verify", name))["fully_verified"] is False


async def _account(call: Caller, here: Ground, who: str) -> None:
    """Keys, suppressions, usage and caps."""
    key = await call("api_keys.create", scope="read", test_mode=True)
    assert (key.scope, key.test_mode) == ("read", True)
    assert (await call("api_keys.rotate", key.id)).startswith("sk_test_")
    await call("api_keys.revoke", key.id)
    assert key.id not in [k.id for k in await call("api_keys.list")]
    gone = {"channel": "email", "recipient": f"gone-{who}@example.com"}
    assert (await call("suppressions.create", reason="bounce", **gone)).reason == "bounce"
    assert [s.recipient for s in await call("suppressions.list", channel="email")] == [gone["recipient"]]
    assert await call("suppressions.delete", **gone) is None
    month = await call("usage.get")
    assert month.total_send_count == (await call("usage.get", period=month.period)).total_send_count > 0
    assert (await call("usage.set_spend_cap", soft_limit_micros=10**12))["soft_limit_micros"] == 10**12


async def _webhooks(call: Caller, here: Ground, who: str) -> None:
    made = await call("webhooks.create", endpoint_url="https://hooks.example.com/", event_types=["failed"])
    assert [w.id for w in await call("webhooks.list")] == [made.id]
    assert (await call("webhooks.get", made.id)).signing_secret == made.signing_secret
    assert (await call("webhooks.update", made.id, is_active=False)).is_active is False
    assert (await call("webhooks.rotate_secret", made.id)).signing_secret != made.signing_secret
    assert await call("webhooks.deliveries", made.id, limit=3) == []
    assert await call("webhooks.delete", made.id) is None


async def _recipients(call: Caller, here: Ground, who: str, a_minute_passes: Callable[[], None]) -> None:
    inbox = f"inbox-{who}@example.com"
    made = await call("test_recipients.create", inbox)
    assert (made.status, [r.id for r in await call("test_recipients.list")]) == ("pending", [made.id])
    here.wait_for(inbox)
    a_minute_passes()
    assert await call("test_recipients.resend", made.id) is None
    here.wait_for(inbox, 2)
    with pytest.raises(SendaraError) as refused:
        await call("emails.send", to=inbox, subject="s", text="t", from_=FROM, test_send=True)
    assert (refused.value.status, refused.value.code) == (422, "invalid_recipient")
    assert await call("test_recipients.delete", made.id) is None


@pytest.mark.parametrize("kind", [Sendara, AsyncSendara])
def test_every_method_has_an_answer(here: Ground, hand: ClockFile, kind: type[Client]) -> None:
    """Each as the library's users call it; what the library has beside them is what /v1 has not."""
    client = kind(here.service.key(dialect="sendara"), base_url=here.service.url)
    call, who = Caller(client), kind.__name__.lower()

    def a_minute_passes() -> None:
        moved = int.from_bytes(hand.path.read_bytes(), "little", signed=True)
        hand.shift(moved + A_MINUTE_MS)

    async def story() -> None:
        try:
            for part in (_mail, _templates, _domains, _account, _webhooks):
                await part(call, here, who)
            await _recipients(call, here, who, a_minute_passes)
        finally:
            await client.aclose() if isinstance(client, AsyncSendara) else client.close()

    asyncio.run(story())
    beside = {m for m in call.methods() if m.partition(".")[0] in NOT_HERE} | NOT_HERE_EITHER
    assert call.methods() - call.called - {"close", "aclose"} == beside
