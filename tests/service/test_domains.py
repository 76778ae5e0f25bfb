"""Sending domains: what is to be published, and what the DNS makes of a domain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from postclock.core.account import Tenant
from postclock.core.errors import Conflict, Invalid, NotFound
from postclock.core.ids import IdSource
from postclock.core.sending_domain import SendingDomain
from postclock.courier.resolver import DnsUnavailable, Resolver
from postclock.runtime.seal import Seal
from postclock.service.domains import MAX_NAME, Domains, records
from postclock.store.sqlite.store import SqliteStore, open_store
from tests.support.clock import MovedClock
from tests.support.dns_server import SILENCE, DnsServer

NAME = "mail.example.org"
RSA = f"pc1._domainkey.{NAME}"
ED25519 = f"pc1-ed25519._domainkey.{NAME}"


@dataclass(frozen=True, slots=True)
class Scene:
    """The service over a real store and a real DNS server."""

    domains: Domains
    store: SqliteStore
    dns: DnsServer
    clock: MovedClock
    one: Tenant
    two: Tenant

    def publish(self, domain: SendingDomain, *selectors: str) -> None:
        """Put the records of these keys into the DNS, and take the others away."""
        for key in domain.keys:
            texts = [key.record] if key.selector in selectors else []
            self.dns.txt(f"{key.selector}._domainkey.{domain.domain}", *texts, ttl=0)

    async def signing(self, tenant: Tenant) -> list[str] | None:
        """The selectors that mail is signed with now; None when the domain is not live."""
        context = await self.store.ledger.context(tenant.id)
        return [k.selector for k in context.keys[NAME]] if NAME in context.keys else None


@asynccontextmanager
async def scene(folder: Path, *, patience: float = 30.0) -> AsyncIterator[Scene]:
    """``patience``: how long the DNS may take for an answer, in seconds; a busy machine is not an outage."""
    clock = MovedClock()
    store = open_store(folder, clock)
    seal = Seal(bytes(32))
    try:
        with DnsServer() as server:
            domains = Domains(
                store.domains,
                clock,
                IdSource(clock, 1),
                seal=lambda plain: seal.seal("dkim", plain),
                unseal=lambda sealed: seal.open("dkim", sealed),
                look_up=Resolver(server.address, try_seconds=patience / 2, lifetime=patience).txt,
            )
            one = await store.accounts.create_tenant("one", clock.now_ms())
            two = await store.accounts.create_tenant("two", clock.now_ms())
            yield Scene(domains, store, server, clock, one, two)
    finally:
        store.close()


async def test_a_published_domain_is_verified_and_signs_with_both_keys(tmp_path: Path) -> None:
    """Nothing is live before the DNS has said so."""
    async with scene(tmp_path) as s:
        added = await s.domains.add(s.one.id, " Mail.Example.ORG. ")
        assert (added.domain, added.verified_at) == (NAME, None)
        assert await s.signing(s.one) is None
        s.publish(added, "pc1", "pc1-ed25519")
        found = await s.domains.verify(s.one.id, NAME)
        assert found.problems == ()
        assert found.domain.verified_at == s.clock.now_ms()
        assert await s.signing(s.one) == ["pc1", "pc1-ed25519"]


async def test_an_unpublished_second_key_makes_no_signature(tmp_path: Path) -> None:
    """A signature whose key nobody finds would fail; once the record is there it signs, once it is gone it stops."""
    async with scene(tmp_path) as s:
        added = await s.domains.add(s.one.id, NAME)
        s.publish(added, "pc1")
        found = await s.domains.verify(s.one.id, NAME)
        assert found.domain.verified_at is not None
        assert found.problems == (f"{ED25519}: there is no TXT record",)
        assert await s.signing(s.one) == ["pc1"]
        revision = (await s.store.ledger.context(s.one.id)).revision
        s.publish(added, "pc1", "pc1-ed25519")
        await s.domains.verify(s.one.id, NAME)
        assert await s.signing(s.one) == ["pc1", "pc1-ed25519"]
        assert (await s.store.ledger.context(s.one.id)).revision > revision
        s.publish(added, "pc1")
        await s.domains.verify(s.one.id, NAME)
        assert await s.signing(s.one) == ["pc1"]


async def test_a_record_that_disappeared_takes_the_domain_back(tmp_path: Path) -> None:
    """Asked again, the DNS decides again."""
    async with scene(tmp_path) as s:
        added = await s.domains.add(s.one.id, NAME)
        s.publish(added, "pc1")
        await s.domains.verify(s.one.id, NAME)
        s.publish(added)
        found = await s.domains.verify(s.one.id, NAME)
        assert found.domain.verified_at is None
        assert not await s.store.domains.is_verified(s.one.id, NAME)


async def test_the_second_key_alone_verifies_nothing(tmp_path: Path) -> None:
    """Receivers that do not know Ed25519 would find no signature they can check."""
    async with scene(tmp_path) as s:
        s.publish(await s.domains.add(s.one.id, NAME), "pc1-ed25519")
        found = await s.domains.verify(s.one.id, NAME)
        assert found.domain.verified_at is None


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["v=DKIM1; k=rsa; p=AAAA"], "the TXT record there is not the one to publish"),
        (["v=DKIM1; k=rsa; p="], "the TXT record there is not the one to publish"),
        (["{ours}", "v=DKIM1; k=rsa; p=AAAA"], "there is another TXT record beside ours"),
    ],
)
async def test_a_wrong_record_is_told_apart_from_none(tmp_path: Path, texts: list[str], problem: str) -> None:
    """One line says what is there."""
    async with scene(tmp_path) as s:
        added = await s.domains.add(s.one.id, NAME)
        s.dns.txt(RSA, *(text.replace("{ours}", added.keys[0].record) for text in texts))
        found = await s.domains.verify(s.one.id, NAME)
        assert found.domain.verified_at is None
        assert found.problems[0] == f"{RSA}: {problem}"


@pytest.mark.parametrize("failure", ["SERVFAIL", SILENCE])
async def test_a_dns_that_does_not_answer_changes_nothing(tmp_path: Path, failure: str) -> None:
    """A verified domain stays so: an outage of somebody's DNS stops nobody's mail."""
    async with scene(tmp_path, patience=4.0) as s:
        s.publish(await s.domains.add(s.one.id, NAME), "pc1")
        await s.domains.verify(s.one.id, NAME)
        s.dns.fail(RSA, failure)
        with pytest.raises(DnsUnavailable, match=RSA):
            await s.domains.verify(s.one.id, NAME)
        assert await s.store.domains.is_verified(s.one.id, NAME)


async def test_a_trusted_domain_is_live_on_the_operators_word(tmp_path: Path) -> None:
    """It signs with its RSA key, no DNS asked, and a look at an empty DNS does not take it back."""
    async with scene(tmp_path) as s:
        added = await s.domains.add(s.one.id, NAME, trusted=True)
        assert (added.trusted, s.dns.asked) == (True, [])
        assert await s.signing(s.one) == ["pc1"]
        found = await s.domains.verify(s.one.id, NAME)
        assert (found.domain.verified_at, found.domain.trusted) == (added.verified_at, True)
        s.publish(added, "pc1", "pc1-ed25519")
        await s.domains.verify(s.one.id, NAME)
        assert await s.signing(s.one) == ["pc1", "pc1-ed25519"]


async def test_a_domain_is_live_for_one_tenant(tmp_path: Path) -> None:
    """Both may ask; each has keys of its own, and the second to prove it is refused."""
    async with scene(tmp_path) as s:
        first = await s.domains.add(s.one.id, NAME)
        second = await s.domains.add(s.two.id, NAME)
        assert first.keys[0].record != second.keys[0].record
        s.publish(first, "pc1")
        await s.domains.verify(s.one.id, NAME)
        s.publish(second, "pc1")
        with pytest.raises(Conflict):
            await s.domains.verify(s.two.id, NAME)
        with pytest.raises(Conflict):
            await s.domains.add(s.two.id, NAME, trusted=True)


async def test_a_domain_added_again_keeps_its_keys(tmp_path: Path) -> None:
    """What was published stays right; trust given later reaches it too."""
    async with scene(tmp_path) as s:
        added = await s.domains.add(s.one.id, NAME)
        assert await s.domains.add(s.one.id, NAME) == added
        trusted = await s.domains.add(s.one.id, NAME, trusted=True)
        assert trusted.keys == added.keys
        assert trusted.trusted


async def test_what_is_no_domain_is_refused(tmp_path: Path) -> None:
    """And an unknown one is named."""
    async with scene(tmp_path) as s:
        with pytest.raises(Invalid, match="'not a domain' is not a domain"):
            await s.domains.add(s.one.id, "not a domain")
        with pytest.raises(Invalid, match="at most"):
            await s.domains.add(s.one.id, NAME + "." * MAX_NAME)
        with pytest.raises(NotFound, match=f"Domain not found: {NAME}"):
            await s.domains.verify(None, NAME)


async def test_the_records_say_what_to_publish(tmp_path: Path) -> None:
    """DKIM for both keys; SPF for the return path's domain when the sending host has a real name; a DMARC to begin with."""
    async with scene(tmp_path) as s:
        added = await s.domains.add(s.one.id, NAME)
        plain = [(r.type, r.name) for r in records(added, sender="localhost")]
        assert plain == [("TXT", RSA), ("TXT", ED25519), ("TXT", f"_dmarc.{NAME}")]
        more = {r.name: r.value for r in records(added, sender="mx.example.net", return_domain="bounce.example.net")}
        assert more["bounce.example.net"] == "v=spf1 a:mx.example.net ~all"
        assert more[RSA].startswith("v=DKIM1; k=rsa; p=")
