"""/v1/test-recipients and the page where their owners confirm: nobody gets free mail who has not agreed with a button."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postclock.api.app import build_app
from postclock.api.confirmation import confirmation_routes
from postclock.api.endpoint import Gate, routes
from postclock.api.intake import Intake
from postclock.api.limits import Limits
from postclock.api.scaisend.messages import message_endpoints as messages_of_scaisend
from postclock.api.sendara.failures import VOICE
from postclock.api.sendara.messages import message_endpoints
from postclock.api.sendara.test_recipients import recipient_endpoints
from postclock.core.account import Scope, Tenant
from postclock.core.ids import IdSource
from postclock.core.message import Mode, Submission
from postclock.runtime.entropy import SystemEntropy
from postclock.service.accounts import ApiKeys
from postclock.service.confirmation_token import VALID_SECONDS, ConfirmationTokens
from postclock.service.messages import Messages
from postclock.service.principal import Authenticator
from postclock.service.submit import Submit
from postclock.service.tenants import Tenants
from postclock.service.test_recipients import FreeRecipients
from postclock.store.interface import Store
from postclock.store.sqlite.store import open_store
from tests.support.clock import MovedClock

BASE: Final = "/v1/test-recipients"
ADA: Final = "ada@example.net"
URL: Final = re.compile(r"^https://post\.example(/t/r/\S+)$", re.MULTILINE)
_submission = msgspec.msgpack.Decoder(Submission).decode


@dataclass
class Ground:
    """A running API with a tenant that may send from shop.example."""

    client: httpx.AsyncClient
    clock: MovedClock
    store: Store
    keys: ApiKeys
    tenants: Tenants
    tenant: Tenant
    tokens: ConfirmationTokens

    async def headers(
        self, scopes: tuple[str, ...] = ("admin",), mode: Mode = "live", tenant: Tenant | None = None
    ) -> dict[str, str]:
        dialect: Any = "sendara" if scopes == ("admin",) else "scaisend"
        made = await self.keys.make(
            tenant or self.tenant, name="key", dialect=dialect, environment=mode, scopes=scopes, read_messages=False
        )
        return {"Authorization": f"Bearer {made.secret}"}

    async def name(self, email: str = ADA) -> str:
        """A new test recipient's id."""
        answer = await self.client.post(BASE, headers=await self.headers(), json={"email": email})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def mailed(self) -> list[Submission]:
        """What was submitted since the last look, in order."""
        now = self.clock.now_ms()
        claims = sorted(await self.store.ledger.claim([(0, 100)], now, now), key=lambda c: c.id)
        contents = await self.store.ledger.submissions([c.submission for c in claims])
        return [_submission(contents[c.submission]) for c in claims]

    async def link(self) -> str:
        """The path in the one mail that was submitted."""
        (mail,) = await self.mailed()
        found = URL.search(mail.contents[0].value)
        assert found is not None
        return found[1]

    async def listed(self) -> list[dict[str, Any]]:
        answer = await self.client.get(BASE, headers=await self.headers())
        found: list[dict[str, Any]] = answer.json()["recipients"]
        return found


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """The real services over a fresh store, with a clock that stands still."""
    clock = MovedClock()
    store = cast(Store, open_store(tmp_path, clock))
    ids = IdSource(clock, store.ledger.owner.node)
    authenticator = Authenticator(store.accounts, clock)
    tenants = Tenants(store.accounts, clock, authenticator.forget)
    submit = Submit(
        messages=store.messages, ledger=store.ledger, templates=store.templates, clock=clock, make_id=ids,
        has_room=lambda: None, on_point=lambda _: None,
    )  # fmt: skip
    tokens = ConfirmationTokens(b"k" * 32)
    recipients = FreeRecipients(store.metering, submit, clock, ids, tokens, "https://post.example")
    gate, messages = Gate(authenticator, Limits(clock), Intake(), VOICE), Messages(store.messages, clock)
    app = build_app(
        [
            *routes(recipient_endpoints(recipients), gate),
            *routes([*message_endpoints(messages, clock), *messages_of_scaisend(messages)], gate),
            *confirmation_routes(recipients),
        ],
        {},
        voices={"/v1/": VOICE},
    )
    try:
        tenant = await tenants.create("Ada's <Shop>")
        await store.domains.add_domain(tenant.id, "shop.example", (), clock.now_ms(), trusted=True)
        await tenants.set(tenant.name, ["default_from=hello@shop.example"])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postclock") as client:
            keys = ApiKeys(store.accounts, clock, ids, SystemEntropy(), authenticator.forget)
            yield Ground(client, clock, store, keys, tenants, tenant, tokens)
    finally:
        store.close()


async def test_an_inbox_is_pending_until_its_owner_confirms(ground: Ground) -> None:
    """Its mail comes from the default sender, is free and untracked, and says who asks."""
    answer = await ground.client.post(BASE, headers=await ground.headers(), json={"email": "Ada@Example.net"})
    assert answer.status_code == 201
    ident = answer.json()["id"]
    wanted = {"id": ident, "email": "Ada@Example.net", "status": "pending", "verified_at": None, "created_at": "2027-01-15T08:00:00Z"}  # fmt: skip
    assert answer.json() == wanted
    assert re.fullmatch("tr_[0-9A-Z]{13}", ident)
    (mail,) = await ground.mailed()
    assert (mail.from_.email, mail.free, mail.message_type) == ("hello@shop.example", True, "transactional")
    assert (mail.open_tracking, mail.click_tracking, mail.click_text) == (False, False, False)
    assert "Ada's <Shop> would like to send test mail to Ada@Example.net." in mail.contents[0].value
    found = URL.search(mail.contents[0].value)
    assert found is not None
    ground.clock.move(60)
    assert (await ground.client.post(found[1])).status_code == 200
    assert await ground.listed() == [wanted | {"status": "verified", "verified_at": "2027-01-15T08:01:00Z"}]
    assert await ground.store.metering.verified(ground.tenant.id, [ADA, "bob@example.net"]) == {ADA}


async def test_a_program_that_opens_the_link_confirms_nothing(ground: Ground) -> None:
    """GET and HEAD only ask; the page has a button, no script, and loads nothing."""
    await ground.name()
    path = await ground.link()
    for method in ("GET", "HEAD", "GET"):
        page = await ground.client.request(method, path)
        assert page.status_code == 200
    assert [r["status"] for r in await ground.listed()] == ["pending"]
    assert '<form method="post"><button>Confirm</button></form>' in page.text
    assert "<script" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; form-action 'self'")
    assert page.headers["cache-control"] == "no-store"
    await ground.client.post(path)
    again = await ground.client.get(path)
    assert "button" not in again.text
    assert (await ground.client.put(path)).status_code == 405


async def test_confirming_again_changes_nothing(ground: Ground) -> None:
    """The moment of the first one stays."""
    await ground.name()
    path = await ground.link()
    await ground.client.post(path)
    first = await ground.listed()
    ground.clock.move(60)
    assert (await ground.client.post(path)).status_code == 200
    assert await ground.listed() == first


async def test_an_address_is_shown_escaped(ground: Ground) -> None:
    """A quoted local part may hold anything."""
    await ground.name('"<b>x</b>&"@example.net')
    page = await ground.client.get(await ground.link())
    assert "<b>" not in page.text
    assert "&lt;b&gt;x&lt;/b&gt;&amp;" in page.text


async def test_a_link_ends_after_a_week_and_with_its_recipient(ground: Ground) -> None:
    """Both look alike from outside: 404."""
    ident = await ground.name()
    path = await ground.link()
    ground.clock.move(VALID_SECONDS)
    assert (await ground.client.get(path)).status_code == 200
    ground.clock.move(1)
    late = await ground.client.post(path)
    assert late.status_code == 404
    assert [r["status"] for r in await ground.listed()] == ["pending"]
    assert (await ground.client.post(f"{BASE}/{ident}/resend", headers=await ground.headers())).status_code == 204
    path = await ground.link()
    assert (await ground.client.get(path)).status_code == 200
    assert (await ground.client.delete(f"{BASE}/{ident}", headers=await ground.headers())).status_code == 204
    gone = await ground.client.post(path)
    assert (gone.status_code, gone.text) == (404, late.text)
    assert await ground.listed() == []


async def test_a_link_that_is_not_ours_leads_nowhere(ground: Ground) -> None:
    """Of another key, changed in any character, or no token at all."""
    await ground.name()
    path = await ground.link()
    others = [f"/t/r/{ConfirmationTokens(b'x' * 32).make(1, ground.clock.now_ms())}", path[:-1], path + "A", "/t/r/x"]
    others += [path[:n] + ("A" if path[n] != "A" else "B") + path[n + 1 :] for n in range(5, len(path))]
    for other in others:
        assert (await ground.client.post(other)).status_code == 404, other
    assert [r["status"] for r in await ground.listed()] == ["pending"]


@given(st.text())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_text_is_no_token(ground: Ground, text: str) -> None:
    """Nothing that is not ours is read, and nothing makes it fail."""
    assert ground.tokens.read(text, ground.clock.now_ms()) is None


async def test_the_link_is_mailed_again_once_a_minute(ground: Ground) -> None:
    """Sooner is 429 with the seconds to wait; one that has confirmed is not asked again."""
    ident, headers = await ground.name(), await ground.headers()
    await ground.mailed()
    early = await ground.client.post(f"{BASE}/{ident}/resend", headers=headers)
    assert (early.status_code, early.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert early.headers["retry-after"] == "60"
    ground.clock.move(59.999)
    early = await ground.client.post(f"{BASE}/{ident}/resend", headers=headers)
    assert (early.status_code, early.headers["retry-after"]) == (429, "1")
    ground.clock.move(0.001)
    assert (await ground.client.post(f"{BASE}/{ident}/resend", headers=headers)).status_code == 204
    assert (await ground.client.post(f"{BASE}/{ident}/resend", headers=headers)).status_code == 429
    await ground.client.post(await ground.link())
    ground.clock.move(61)
    answer = await ground.client.post(f"{BASE}/{ident}/resend", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert await ground.mailed() == []


async def test_nobody_is_mailed_for_nothing_without_end(ground: Ground) -> None:
    """Ten times a minute, whoever is named, deleted and named again, and mailed again: with any key of the account."""
    for _ in range(9):
        ident = await ground.name()
        gone = await ground.client.delete(f"{BASE}/{ident}", headers=await ground.headers())
        assert gone.status_code == 204
    ident = await ground.name()
    for path, body in (("", {"email": "bob@example.net"}), (f"/{ident}/resend", None)):
        answer = await ground.client.post(BASE + path, headers=await ground.headers(), json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert answer.headers["x-ratelimit-limit"] == "10"
    assert len(await ground.mailed()) == 10
    ground.clock.move(60)
    await ground.name("bob@example.net")


async def test_the_link_is_for_its_owner_alone(ground: Ground) -> None:
    """Neither dialect shows the text of the mail to the account, which could agree for the owner with it."""
    await ground.name()
    headers = await ground.headers()
    (one,) = (await ground.client.get("/v1/messages", headers=headers)).json()["messages"]
    for path in (f"/v1/messages/{one['id']}", f"/v3/messages/{one['id']}"):
        answer = await ground.client.get(path, headers=headers)
        assert answer.status_code == 200
        assert "please confirm" in answer.text
        assert "/t/r/" not in answer.text
    assert (await ground.client.post(await ground.link())).status_code == 200


async def test_an_account_has_at_most_twenty(ground: Ground) -> None:
    """Pending ones included; one that is there already is 409, however it is written."""
    for n in range(20):
        ground.clock.move(60 if n % 10 == 0 else 0)
        await ground.name(f"to{n}@example.net")
    ground.clock.move(60)
    headers = await ground.headers()
    full = await ground.client.post(BASE, headers=headers, json={"email": ADA})
    assert (full.status_code, full.json()["error"]["code"]) == (422, "unprocessable")
    there = await ground.client.post(BASE, headers=headers, json={"email": "TO1@EXAMPLE.net"})
    assert (there.status_code, there.json()["error"]["code"]) == (409, "conflict")
    assert len(await ground.mailed()) == 20
    ground.clock.move(60)
    await ground.client.delete(f"{BASE}/{(await ground.listed())[0]['id']}", headers=headers)
    await ground.name()


async def test_without_a_sender_nobody_is_named(ground: Ground) -> None:
    """No default sender, or one whose domain is not verified: 422 from_not_verified, and nothing is kept."""
    for sender in ("", "hello@elsewhere.example"):
        await ground.tenants.set(ground.tenant.name, [f"default_from={sender}"])
        answer = await ground.client.post(BASE, headers=await ground.headers(), json={"email": ADA})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "from_not_verified")
        assert await ground.listed() == []
    assert await ground.mailed() == []


@pytest.mark.parametrize("body", [{}, {"email": "ada"}, {"email": ""}, {"email": 5}, {"email": None}, {"email": "a\r\nb@example.net"}])  # fmt: skip
async def test_what_is_no_address_is_refused(ground: Ground, body: dict[str, Any]) -> None:
    """400 with the field."""
    answer = await ground.client.post(BASE, headers=await ground.headers(), json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("email: ")


async def test_a_neighbours_recipients_are_not_there(ground: Ground) -> None:
    """Unknown ids, foreign ones and such as are none look alike."""
    ident = await ground.name()
    other = await ground.headers(tenant=await ground.tenants.create("neighbour"))
    assert (await ground.client.get(BASE, headers=other)).json() == {"recipients": []}
    for each in (ident, "tr_0000000000000", "x", "msg_0000000000000"):
        for method, path in (("DELETE", ""), ("POST", "/resend")):
            answer = await ground.client.request(method, f"{BASE}/{each}{path}", headers=other)
            assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Test recipient not found")
    assert len(await ground.listed()) == 1


async def test_a_test_key_has_no_test_recipients(ground: Ground) -> None:
    """Its mail never leaves; it sees none, and names none."""
    ident, headers = await ground.name(), await ground.headers(mode="test")
    assert (await ground.client.get(BASE, headers=headers)).json() == {"recipients": []}
    assert (await ground.client.post(BASE, headers=headers, json={"email": "bob@example.net"})).status_code == 403
    assert (await ground.client.delete(f"{BASE}/{ident}", headers=headers)).status_code == 404
    assert (await ground.client.post(f"{BASE}/{ident}/resend", headers=headers)).status_code == 404


async def test_they_are_a_setting(ground: Ground) -> None:
    """A key without admin.settings neither reads nor writes them."""
    headers = await ground.headers((str(Scope.mail_send), str(Scope.domains_read)))
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/x"), ("POST", "/x/resend")):
        assert (await ground.client.request(method, BASE + path, headers=headers)).status_code == 403
