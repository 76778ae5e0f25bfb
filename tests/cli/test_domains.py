"""postclock domains: what is to be published, and what the DNS made of it."""

from tests.cli.parts import Commands
from tests.support.dns_server import DnsServer

NAME = "mail.example.org"


def test_a_domain_is_added_published_and_verified(commands: Commands) -> None:
    """The records as they are shown are what verifies, copied into the DNS by a machine."""
    with DnsServer() as server:
        commands.env["POSTCLOCK_DNS"] = server.address
        added = commands.json("domains", "add", NAME, "--tenant", "default")
        assert set(added) == {"domain", "verified", "records"}
        assert (added["domain"], added["verified"]) == (NAME, False)
        assert all(set(r) == {"type", "name", "value"} for r in added["records"])
        assert commands.json("domains", "verify", NAME)["verified"] is False
        for record in added["records"]:
            assert record["type"] == "TXT"
            server.txt(record["name"], record["value"])
        assert commands.json("domains", "verify", NAME) == added | {"verified": True}
        assert commands.json("domains", "records", NAME) == added | {"verified": True}


def test_what_is_missing_is_shown_to_a_person(commands: Commands) -> None:
    """One line for each record."""
    with DnsServer() as server:
        commands.env["POSTCLOCK_DNS"] = server.address
        commands.json("domains", "add", NAME)
        said = commands.says("domains", "verify", NAME)
    assert said.startswith(f"{NAME}: not verified\n")
    assert f"pc1._domainkey.{NAME}: there is no TXT record" in said
    assert f"\n  _dmarc.{NAME}: there is no DMARC record" in said


def test_a_trusted_domain_is_verified_without_the_dns(commands: Commands) -> None:
    """On the operator's word."""
    with DnsServer() as server:
        commands.env["POSTCLOCK_DNS"] = server.address
        assert commands.json("domains", "add", NAME, "--trust")["verified"] is True
        assert server.asked == []
    listed = commands.json("domains", "list")["domains"]
    assert [(d["domain"], d["tenant"], d["verified"], d["trusted"]) for d in listed] == [(NAME, "default", True, True)]
    assert commands.json("domains", "list", "--tenant", "default")["domains"] == listed
    assert NAME in commands.says("domains", "list")


def test_a_dns_that_fails_is_told(commands: Commands) -> None:
    """With exit status 1: nothing is known."""
    with DnsServer() as server:
        commands.env["POSTCLOCK_DNS"] = server.address
        commands.json("domains", "add", NAME)
        server.fail(f"pc1._domainkey.{NAME}")
        assert "SERVFAIL" in commands.fails("domains", "verify", NAME)


def test_mistakes_about_domains_are_one_line(commands: Commands) -> None:
    """What it is, by name."""
    commands.json("tenants", "create", "acme")
    commands.json("domains", "add", NAME, "--trust")
    assert commands.fails("domains", "add", "under_score.example.org") == "'under_score.example.org' is not a domain"
    assert commands.fails("domains", "records", "other.example.org") == "Domain not found: other.example.org"
    assert commands.fails("domains", "verify", NAME, "--tenant", "acme") == f"Domain not found: {NAME}"
    assert commands.fails("domains", "add", NAME, "--tenant", "nobody").startswith("there is no tenant 'nobody'")
    assert "another tenant" in commands.fails("domains", "add", NAME, "--tenant", "acme", "--trust")
