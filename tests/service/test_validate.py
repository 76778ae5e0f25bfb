"""Validate: which addresses can get mail, by a real DNS server that answers, refuses, lies and is silent."""

from collections.abc import Iterator

import dns.asyncresolver
import dns.resolver
import pytest

from postclock.core.errors import ValidationNotConfigured
from postclock.courier.resolver import DnsUnavailable, Resolver
from postclock.service import validate
from postclock.service.validate import NOWHERE, NULL_MX, REMEMBERED_SECONDS, SYNTAX, VALID, Validation
from tests.support.clock import MovedClock
from tests.support.dns_server import SILENCE, DnsServer


@pytest.fixture
def zone() -> Iterator[DnsServer]:
    """The DNS."""
    with DnsServer() as server:
        yield server


def validation(zone: DnsServer, clock: MovedClock | None = None) -> Validation:
    return Validation(Resolver(zone.address), clock or MovedClock(), DnsUnavailable)


async def test_a_domain_with_mx_gets_mail(zone: DnsServer) -> None:
    """Nobody asks for its address then."""
    zone.mx("example.org", (10, "mx.example.org"))
    assert await validation(zone).check("ada@example.org") == VALID
    assert {kind for _, kind in zone.asked} == {"MX"}


async def test_a_domain_without_mx_gets_mail_at_its_address(zone: DnsServer) -> None:
    """RFC 5321 5.1: A or AAAA stands in."""
    zone.a("four.example.org", "192.0.2.1")
    zone.aaaa("six.example.org", "2001:db8::1")
    asked = validation(zone)
    assert await asked.check("ada@four.example.org") == VALID
    assert await asked.check("ada@six.example.org") == VALID


async def test_a_domain_with_neither_gets_none(zone: DnsServer) -> None:
    """One that does not exist, and one that has other records."""
    zone.txt("text.example.org", "v=spf1 -all")
    asked = validation(zone)
    for domain in ("nowhere.example.org", "text.example.org"):
        assert await asked.check(f"ada@{domain}") == NOWHERE


async def test_a_null_mx_says_that_none_is_wanted(zone: DnsServer) -> None:
    """RFC 7505: although there is an address."""
    zone.mx("example.org", (0, ""))
    zone.a("example.org", "192.0.2.1")
    assert await validation(zone).check("ada@example.org") == NULL_MX


@pytest.mark.parametrize("address", ["", "ada", "ada@", "@example.org", "ada@example", "a b@example.org", "a@b@c.de,"])
async def test_what_is_no_address_is_not_asked_for(zone: DnsServer, address: str) -> None:
    """The syntax comes first."""
    assert await validation(zone).check(address) == SYNTAX
    assert zone.asked == []


async def test_it_fails_open(zone: DnsServer) -> None:
    """SERVFAIL, silence and a resolver that cannot be found are no reason to refuse; nor are they remembered."""
    asked = Validation(
        Resolver(zone.address, try_seconds=0.2, lifetime=0.5), MovedClock(), DnsUnavailable
    )  # short, for the silence is real: what a busy machine loses counts as no answer as well
    zone.fail("broken.example.org")
    zone.fail("silent.example.org", SILENCE)
    assert await asked.check("ada@broken.example.org") == VALID
    assert await asked.check("ada@silent.example.org") == VALID
    assert len(asked) == 0
    assert await Validation(Lost(), MovedClock(), DnsUnavailable).check("ada@example.org") == VALID


async def test_a_verdict_is_remembered_for_a_minute(zone: DnsServer) -> None:
    """One question for all addresses of a domain, whatever its TTL; then it is asked anew."""
    clock = MovedClock()
    asked = validation(zone, clock)
    zone.mx("example.org", (10, "mx.example.org"), ttl=0)
    for address in ("ada@example.org", "bob@EXAMPLE.org", "ada@example.org"):
        assert await asked.check(address) == VALID
    assert zone.asked.count(("example.org", "MX")) == 1
    assert await asked.check("ada@late.example.org") == NOWHERE
    zone.a("late.example.org", "192.0.2.1")
    assert await asked.check("ada@late.example.org") == NOWHERE
    clock.move(REMEMBERED_SECONDS)
    assert await asked.check("ada@late.example.org") == VALID
    assert await asked.check("ada@example.org") == VALID
    assert zone.asked.count(("example.org", "MX")) == 2


async def test_what_is_remembered_is_bounded(zone: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused goes first."""
    monkeypatch.setattr(validate, "MAX_REMEMBERED", 2)
    asked = validation(zone)
    for name in ("one", "two", "one", "three", "one"):
        zone.mx(f"{name}.example.org", (10, "mx.example.org"), ttl=0)
        await asked.check(f"ada@{name}.example.org")
    assert len(asked) == 2
    assert zone.asked.count(("one.example.org", "MX")) == 1


class Nobody:
    """A machine without a resolver."""

    async def is_configured(self) -> bool:
        return False

    async def mx(self, name: str) -> list[str]:
        raise AssertionError

    async def has_address(self, name: str) -> bool:
        raise AssertionError


class Lost(Nobody):
    """A resolver with a name that leads nowhere."""

    async def is_configured(self) -> bool:
        raise DnsUnavailable("there is no such host")


async def test_without_a_resolver_it_says_so() -> None:
    """It is not the address's fault; bad syntax is told all the same."""
    asked = Validation(Nobody(), MovedClock(), DnsUnavailable)
    with pytest.raises(ValidationNotConfigured):
        await asked.check("ada@example.org")
    assert await asked.check("ada") == SYNTAX


async def test_the_resolver_knows_whether_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A named one is; the system's only when it names one."""
    assert await Resolver("127.0.0.1:53").is_configured()

    def none_there() -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "Resolver", none_there)
    assert not await Resolver().is_configured()
