"""/v1/domains over HTTP, with a real DNS server: what is to be published, and what the DNS makes of it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from postclock.api.endpoint import Endpoint
from postclock.api.sendara.domains import domain_endpoints
from postclock.core.account import SENDARA_SCOPES
from postclock.core.ids import IdSource
from postclock.courier.resolver import Resolver
from postclock.runtime.seal import Seal
from postclock.service import domains
from postclock.service.domains import MAX_FROM_NAME, Domains
from postclock.store.sqlite.store import SqliteStore
from tests.support.clock import MovedClock
from tests.support.dns_server import DnsServer
from tests.support.slow_api import SlowApi, slow_api

Json = dict[str, Any]
NAME = "mail.example.org"
SENDER = "out.example.net"
PATIENCE = 30.0
"""Seconds that the DNS may take for an answer; a busy machine is not an outage."""


@dataclass
class Scene:
    """A running API and the DNS that it asks."""

    api: SlowApi
    dns: DnsServer

    async def ask(self, method: str, path: str, body: Any = None, *, code: int = 200, **who: Any) -> Json:
        """The answer's JSON, which has to have this status."""
        sent = {} if body is None else {"json": body}
        headers = await self.api.headers(**who)
        answer = await self.api.client.request(method, f"/v1/domains{path}", headers=headers, **sent)
        assert answer.status_code == code, answer.text
        told: Json = answer.json()
        return told

    async def made(self, name: str = NAME, **fields: Any) -> Json:
        return await self.ask("POST", "", {"domain": name, **fields}, code=201)

    def publish(self, domain: Json, *but: str) -> None:
        """Put what is to be published into the DNS, but for the names that begin so: those go."""
        for record in domain["dns_records"]:
            left_out = any(record["name"].startswith(prefix) for prefix in but)
            self.dns.txt(record["name"], *([] if left_out else [record["value"]]), ttl=0)

    async def statuses(self, name: str = NAME) -> dict[str, str]:
        """What a check finds, by what is checked."""
        found = await self.ask("POST", f"/{name}/verify")
        told = found["domain"]
        assert told == await self.ask("GET", f"/{name}")
        assert found["fully_verified"] is (told["txt_status"] == "verified")
        return {word: told[f"{word}_status"] for word in ("dkim", "spf", "dmarc", "txt")}


@asynccontextmanager
async def scene(folder: Path, *, return_domain: str = "", sender: str = SENDER) -> AsyncIterator[Scene]:
    with DnsServer() as server:

        def endpoints(store: SqliteStore, clock: MovedClock) -> tuple[Endpoint, ...]:
            seal = Seal(bytes(32))
            return domain_endpoints(
                Domains(
                    store.domains,
                    clock,
                    IdSource(clock, 7),
                    seal=lambda plain: seal.seal("dkim", plain),
                    unseal=lambda sealed: seal.open("dkim", sealed),
                    look_up=Resolver(server.address, try_seconds=PATIENCE / 2, lifetime=PATIENCE).txt,
                    sender=sender,
                    return_domain=return_domain,
                )
            )

        async with slow_api(folder, built=endpoints) as api:
            yield Scene(api, server)


@pytest.fixture
async def s(tmp_path: Path) -> AsyncIterator[Scene]:
    """An API that asks a DNS server of its own."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(scene(tmp_path))


ALL_PENDING = {"dkim": "pending", "spf": "pending", "dmarc": "pending", "txt": "pending"}
ALL_VERIFIED = dict.fromkeys(ALL_PENDING, "verified")


async def test_a_new_domain_says_what_to_publish(s: Scene) -> None:
    """Everything is pending; by its name, by its id and in the list it looks the same."""
    made = await s.made(" Mail.Example.ORG. ")
    records = made.pop("dns_records")
    assert made == {
        "id": made["id"],
        "account_id": made["account_id"],
        "domain": NAME,
        "dkim_status": "pending",
        "spf_status": "pending",
        "dmarc_status": "pending",
        "txt_status": "pending",
        "mail_from_domain": NAME,
        "is_sandbox": False,
        "bimi_logo_url": None,
        "default_from_name": None,
        "inbound_enabled": False,
        "checked_at": None,
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:00:00Z",
    }
    assert made["id"].startswith("dom_")
    assert made["account_id"].startswith("acct_")
    assert [(r["type"], r["name"]) for r in records] == [
        ("TXT", f"pc1._domainkey.{NAME}"),
        ("TXT", f"pc1-ed25519._domainkey.{NAME}"),
        ("TXT", NAME),
        ("TXT", f"_dmarc.{NAME}"),
    ]
    whole = made | {"dns_records": records}
    assert await s.ask("GET", f"/{NAME}") == whole
    assert await s.ask("GET", "/MAIL.example.org") == whole
    assert await s.ask("GET", f"/{made['id']}") == whole
    assert await s.ask("GET", "") == {"domains": [whole]}


async def test_a_domain_added_again_keeps_its_keys_and_its_id(s: Scene) -> None:
    """What was published stays right."""
    made = await s.made()
    s.api.clock.move(60)
    assert await s.made() == made


async def test_everything_published_is_fully_verified(s: Scene) -> None:
    """Nothing is before it was asked for; the moment of the last look is told."""
    made = await s.made()
    assert await s.statuses() == ALL_PENDING
    s.publish(made)
    s.api.clock.move(60)
    found = await s.ask("POST", f"/{made['id']}/verify")
    assert found["fully_verified"]
    assert found["problems"] == []
    assert found["domain"]["checked_at"] == found["domain"]["updated_at"] == "2027-01-15T08:01:00Z"
    assert await s.statuses() == ALL_VERIFIED


async def test_dkim_alone_is_what_sends(s: Scene) -> None:
    """SPF and DMARC are told apart from it, with what is wrong."""
    made = await s.made()
    s.publish(made, NAME, "_dmarc")
    found = await s.ask("POST", f"/{NAME}/verify")
    assert found["fully_verified"]
    assert found["problems"] == [f"{NAME}: there is no SPF record", f"_dmarc.{NAME}: there is no DMARC record"]
    assert await s.statuses() == {"dkim": "verified", "spf": "pending", "dmarc": "pending", "txt": "verified"}
    s.publish(made, "pc1.")
    assert await s.statuses() == {"dkim": "pending", "spf": "verified", "dmarc": "verified", "txt": "pending"}


async def test_a_domain_on_the_operators_word_may_send_before_its_records_are_there(s: Scene) -> None:
    """It is the tenant's, and yet the DNS has nothing."""
    made = await s.made()
    await s.api.store.domains.add_domain(s.api.tenant.id, NAME, [], s.api.clock.now_ms(), trusted=True)
    assert await s.statuses() == {"dkim": "pending", "spf": "pending", "dmarc": "pending", "txt": "verified"}
    s.publish(made)
    assert await s.statuses() == ALL_VERIFIED


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ([f"v=spf1 a:{SENDER} -all"], "verified"),
        ([f"V=SPF1 ip4:192.0.2.1 +A:{SENDER.upper()} ?all"], "verified"),
        (["some other text", f"v=spf1 a:{SENDER} ~all"], "verified"),
        (["v=spf1 include:example.com ~all"], "pending"),
        ([f"v=spf1 -a:{SENDER} ~all"], "pending"),
        ([f"v=spf1 a:not{SENDER} a:{SENDER}.example ~all"], "pending"),
        ([f"v=spf10 a:{SENDER} ~all"], "pending"),
        ([f"v=spf1 a:{SENDER} ~all", "v=spf1 -all"], "pending"),
        (["v=spf1"], "pending"),
    ],
)
async def test_spf_has_to_name_the_sending_host_in_one_record(s: Scene, records: list[str], status: str) -> None:
    """Receivers take no SPF at all where there are several (RFC 7208 4.5)."""
    s.publish(await s.made())
    s.dns.txt(NAME, *records, ttl=0)
    assert (await s.statuses())["spf"] == status


async def test_spf_belongs_to_the_return_paths_domain(tmp_path: Path) -> None:
    """That is what receivers ask about (RFC 7208 2.4)."""
    async with scene(tmp_path, return_domain="bounce.example.net") as s:
        made = await s.made()
        assert made["mail_from_domain"] == "bounce.example.net"
        s.dns.txt(NAME, f"v=spf1 a:{SENDER} ~all", ttl=0)
        assert (await s.statuses())["spf"] == "pending"
        s.publish(made)
        assert (await s.statuses())["spf"] == "verified"


async def test_without_a_host_to_name_any_spf_record_will_do(tmp_path: Path) -> None:
    """Who sends by a relay knows better than we do what stands there; nothing is advised then."""
    async with scene(tmp_path, sender="localhost") as s:
        made = await s.made()
        assert not any("spf1" in r["value"] for r in made["dns_records"])
        s.dns.txt(NAME, "v=spf1 include:relay.example.net ~all", ttl=0)
        assert (await s.statuses())["spf"] == "verified"


@pytest.mark.parametrize(
    ("name", "record", "status"),
    [
        (f"_dmarc.{NAME}", "v=DMARC1; p=reject; rua=mailto:d@example.org", "verified"),
        (f"_dmarc.{NAME}", "v=DMARC1", "verified"),
        ("_dmarc.example.org", "v=DMARC1;p=none", "verified"),
        ("_dmarc.org", "v=DMARC1; p=none", "pending"),
        (f"_dmarc.{NAME}", "v=DMARC2; p=none", "pending"),
        (f"_dmarc.{NAME}", "v=DMARC11", "pending"),
        (NAME, "v=DMARC1; p=none", "pending"),
    ],
)
async def test_a_dmarc_record_may_be_the_organisations(s: Scene, name: str, record: str, status: str) -> None:
    """A subdomain without one has its parent's (RFC 7489 6.6.3); a top level has none to give."""
    await s.made()
    s.dns.txt(name, record, ttl=0)
    assert (await s.statuses())["dmarc"] == status


async def test_a_long_name_is_asked_about_a_bounded_number_of_times(s: Scene) -> None:
    """Its own record first, then the parents nearest to the top."""
    name = ".".join(f"x{n}" for n in range(30)) + ".example.org"
    await s.made(name)
    await s.statuses(name)
    asked = {question for question, _ in s.dns.asked if question.startswith("_dmarc.")}
    assert len(asked) == domains.MAX_PARENTS
    assert {f"_dmarc.{name}", "_dmarc.example.org"} <= asked


async def test_a_dns_that_fails_changes_nothing(s: Scene) -> None:
    """503 when the keys cannot be asked for; SPF and DMARC stay as they were when only they cannot."""
    made = await s.made()
    s.publish(made)
    await s.statuses()
    for name in (NAME, f"_dmarc.{NAME}"):
        s.dns.fail(name)
    found = await s.ask("POST", f"/{NAME}/verify")
    assert (found["domain"]["spf_status"], found["domain"]["dmarc_status"]) == ("verified", "verified")
    assert len(found["problems"]) == 2
    s.dns.fail(f"pc1._domainkey.{NAME}")
    error = (await s.ask("POST", f"/{NAME}/verify", code=503))["error"]
    assert error["code"] == "unavailable"
    assert (await s.ask("GET", f"/{NAME}"))["dkim_status"] == "verified"


async def test_a_domain_is_live_for_one_tenant(s: Scene) -> None:
    """The second one's proof is 409, although its record is there too."""
    s.publish(await s.made())
    await s.ask("POST", f"/{NAME}/verify")
    neighbour = await s.api.tenants.create("neighbour")
    await s.ask("GET", f"/{NAME}", code=404, tenant=neighbour)
    theirs = await s.ask("POST", "", {"domain": NAME}, code=201, tenant=neighbour)
    assert theirs["id"] != (await s.ask("GET", f"/{NAME}"))["id"]
    s.publish(theirs)
    error = (await s.ask("POST", f"/{NAME}/verify", code=409, tenant=neighbour))["error"]
    assert error["code"] == "conflict"


async def test_unknown_and_foreign_domains_look_alike(s: Scene) -> None:
    """By name, by id, and by what is no name at all."""
    ident = (await s.made())["id"]
    neighbour = await s.api.tenants.create("neighbour")
    for name in (NAME, ident, "dom_0000000000000", "not a domain", "x", "a" * 300):
        for method, path, body in (
            ("GET", "", None), ("POST", "/verify", None), ("PATCH", "", {"default_from_name": "x"}),
        ):  # fmt: skip
            error = (await s.ask(method, f"/{name}{path}", body, code=404, tenant=neighbour))["error"]
            assert error["code"] == "not_found"
    assert await s.ask("GET", "", tenant=neighbour) == {"domains": []}


async def test_a_default_from_name_is_kept_changed_and_taken_away(s: Scene) -> None:
    """By PUT or PATCH, by name or id; empty or null takes it away, and adding the domain again without one does not."""
    made = await s.made(default_from_name="Acme Receipts")
    assert made["default_from_name"] == "Acme Receipts"
    assert (await s.made())["default_from_name"] == "Acme Receipts"
    path = f"/{made['id']}"
    assert (await s.ask("PUT", path, {"default_from_name": "Küche & Co"}))["default_from_name"] == "Küche & Co"
    assert (await s.ask("PATCH", path, {"default_from_name": None}))["default_from_name"] is None
    assert (await s.ask("PATCH", f"/{NAME}", {"default_from_name": " X "}))["default_from_name"] == "X"
    assert (await s.ask("PATCH", path, {"default_from_name": ""}))["default_from_name"] is None


@pytest.mark.parametrize("name", ["x" * (MAX_FROM_NAME + 1), "a\r\nBcc: eve@example.com", "a\x7fb", 7])
async def test_what_cannot_stand_before_an_address_is_refused(s: Scene, name: Any) -> None:
    """400 that names the field, also when the domain is added, and then it is not."""
    error = (await s.ask("POST", "", {"domain": NAME, "default_from_name": name}, code=400))["error"]
    assert (error["code"], "default_from_name" in error["message"]) == ("invalid_request", True)
    assert await s.ask("GET", "") == {"domains": []}
    await s.made()
    await s.ask("PATCH", f"/{NAME}", {"default_from_name": name}, code=400)


@pytest.mark.parametrize(
    "body", [{}, {"domain": ""}, {"domain": "localhost"}, {"domain": "a b.example"}, {"domain": 7}]
)
async def test_what_is_no_domain_is_refused(s: Scene, body: Json) -> None:
    """400 that names the field."""
    error = (await s.ask("POST", "", body, code=400))["error"]
    assert (error["code"], "domain" in error["message"]) == ("invalid_request", True)


async def test_a_tenant_adds_a_bounded_number(s: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """422 beyond it; one that is there is still answered."""
    monkeypatch.setattr("postclock.api.sendara.domains.MAX_DOMAINS", 1)
    made = await s.made()
    error = (await s.ask("POST", "", {"domain": "other.example.org"}, code=422))["error"]
    assert error["code"] == "unprocessable"
    assert await s.made() == made


async def test_ten_domains_are_added_a_minute(s: Scene) -> None:
    """Each makes keys; whoever adds more waits, with any key of the tenant."""
    await s.made()
    for _ in range(9):
        await s.ask("POST", "", {"domain": "localhost"}, code=400)
    error = (await s.ask("POST", "", {"domain": NAME}, code=429))["error"]
    assert error["code"] == "rate_limit_exceeded"
    s.api.clock.move(60)
    await s.made()


async def test_a_read_key_only_looks(s: Scene) -> None:
    """Whatever changes something takes an admin key."""
    await s.made()
    read, send = (SENDARA_SCOPES[word] for word in ("read", "send"))
    await s.ask("GET", f"/{NAME}", scopes=read)
    for method, path, body in (
        ("POST", "", {"domain": NAME}), ("POST", f"/{NAME}/verify", None), ("PATCH", f"/{NAME}", {"default_from_name": "x"}),
    ):  # fmt: skip
        assert (await s.ask(method, path, body, code=403, scopes=read))["error"]["code"] == "forbidden"
    await s.ask("GET", "", code=403, scopes=send)
