"""The resolver, against a DNS server that answers, refuses, lies and is silent."""

import asyncio

import pytest

from postclock.courier.resolver import MAX_RECORDS, MAX_TEXT, DnsUnavailable, Resolver
from tests.support.dns_server import SILENCE, DnsServer

NAME = "pc1._domainkey.example.org"


async def test_a_text_record_is_read_whole() -> None:
    """A DKIM key is longer than one DNS string: its strings are joined as they are."""
    text = "v=DKIM1; k=rsa; p=" + "A" * 600
    with DnsServer() as server:
        server.txt(NAME, text)
        assert await Resolver(server.address).txt(NAME) == [text]


async def test_every_record_of_a_name_is_read() -> None:
    """In whatever order they come."""
    with DnsServer() as server:
        server.txt(NAME, "one", "two")
        assert sorted(await Resolver(server.address).txt(NAME)) == ["one", "two"]


async def test_an_alias_is_followed() -> None:
    """Providers let keys be published by CNAME."""
    with DnsServer() as server:
        server.cname(NAME, "key.provider.example")
        server.txt("key.provider.example", "v=DKIM1; p=AA")
        assert await Resolver(server.address).txt(NAME) == ["v=DKIM1; p=AA"]


async def test_a_name_that_does_not_exist_has_no_records() -> None:
    """NXDOMAIN is an answer."""
    with DnsServer() as server:
        assert await Resolver(server.address).txt(NAME) == []


async def test_a_name_with_other_records_has_no_text() -> None:
    """An empty answer is an answer too."""
    with DnsServer() as server:
        server.a(NAME, "192.0.2.1")
        assert await Resolver(server.address).txt(NAME) == []


async def test_an_answer_is_remembered_as_long_as_its_ttl_says() -> None:
    """One question for two look-ups; with a TTL of zero each look-up asks."""
    with DnsServer() as server:
        server.txt(NAME, "lasting", ttl=300)
        server.txt("b.example.org", "fleeting", ttl=0)
        resolver = Resolver(server.address)
        for _ in range(2):
            assert await resolver.txt(NAME) == ["lasting"]
            assert await resolver.txt("b.example.org") == ["fleeting"]
        assert server.asked.count((NAME, "TXT")) == 1
        assert server.asked.count(("b.example.org", "TXT")) == 2


async def test_what_is_not_there_is_not_remembered() -> None:
    """Who looked in vain publishes the record and looks again."""
    with DnsServer() as server:
        resolver = Resolver(server.address)
        assert await resolver.txt(NAME) == []
        server.txt(NAME, "there")
        assert await resolver.txt(NAME) == ["there"]


async def test_a_failing_server_is_named_with_its_own_word() -> None:
    """SERVFAIL says nothing about the name."""
    with DnsServer() as server:
        server.fail(NAME)
        with pytest.raises(DnsUnavailable, match=f"{NAME}: the DNS resolver {server.address} .*SERVFAIL"):
            await Resolver(server.address).txt(NAME)


async def test_a_silent_server_does_not_hold_us() -> None:
    """The wait is bounded and its length is told."""
    with DnsServer() as server:
        server.fail(NAME, SILENCE)
        with pytest.raises(DnsUnavailable, match=r"did not answer in 0\.2 s"):
            await Resolver(server.address, try_seconds=0.1, lifetime=0.2).txt(NAME)


async def test_a_resolver_that_is_none_is_told() -> None:
    """A name that leads nowhere is found out at the first question, in one line."""
    with pytest.raises(DnsUnavailable, match=r"there is no DNS resolver nowhere\.invalid:53"):
        await Resolver("nowhere.invalid:53").txt(NAME)


async def test_what_strangers_publish_is_bounded() -> None:
    """Records that are too long or too many are not looked at."""
    with DnsServer() as server:
        server.txt(NAME, "x" * (MAX_TEXT + 1), "short")
        server.txt("many.example.org", *(f"n{n}" for n in range(MAX_RECORDS + 10)))
        resolver = Resolver(server.address)
        assert await resolver.txt(NAME) == ["short"]
        assert len(await resolver.txt("many.example.org")) == MAX_RECORDS


async def test_octets_that_are_no_text_do_no_harm() -> None:
    """They become something that matches no key."""
    with DnsServer() as server:
        server.txt(NAME, b"v=DKIM1; p=\xff")
        assert await Resolver(server.address).txt(NAME) == ["v=DKIM1; p=\ufffd"]


async def test_a_resolver_that_answers_is_told_by_its_name() -> None:
    """For the doctor."""
    with DnsServer() as server:
        assert await Resolver(server.address).answers() == server.address
        server.fail(".", "REFUSED")
        with pytest.raises(DnsUnavailable, match="REFUSED"):
            await Resolver(server.address).answers()


async def test_so_many_questions_are_asked_at_once_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """When one of them is over, the next is asked."""
    monkeypatch.setattr("postclock.courier.resolver.MOST_AT_ONCE", 3)
    with DnsServer() as server:
        server.fail(NAME, SILENCE)
        server.txt("b.example.org", "here")
        resolver = Resolver(server.address, try_seconds=60, lifetime=60)
        silent = [asyncio.create_task(resolver.txt(NAME)) for _ in range(3)]
        next_one = asyncio.create_task(resolver.txt("b.example.org"))
        async with asyncio.timeout(30):
            while server.asked.count((NAME, "TXT")) < 3:
                await asyncio.to_thread(lambda: None)
        assert not next_one.done()
        assert ("b.example.org", "TXT") not in server.asked
        silent[0].cancel()
        assert await next_one == ["here"]
        for task in silent:
            task.cancel()
        await asyncio.gather(*silent, return_exceptions=True)


async def test_a_question_does_not_wait_for_ever_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """After as long as an answer may take it is told."""
    monkeypatch.setattr("postclock.courier.resolver.MOST_AT_ONCE", 0)
    with DnsServer() as server:
        server.txt(NAME, "here")
        with pytest.raises(DnsUnavailable, match=f"{NAME}: too many questions"):
            await Resolver(server.address, lifetime=0.05).txt(NAME)
        assert server.asked == []
