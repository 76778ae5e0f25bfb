"""/v1/domains: sending domains, what to publish for them, and what the DNS says (Sendara's documentation, domains)."""

from hashlib import sha256
from typing import Final, Literal

import msgspec

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.limits import Ceiling
from postclock.api.sendara.words import account_id
from postclock.core.account import Scope
from postclock.core.errors import Invalid, NotFound
from postclock.core.ids import public_id
from postclock.core.sending_domain import DnsRecord, SendingDomain
from postclock.core.when import iso
from postclock.service.domains import MAX_DOMAINS, Domains

BASE: Final = "/v1/domains"
ONE: Final = BASE + "/{domain}"
DOMAIN: Final = "dom_"

READ: Final = (Scope.domains_read,)
WRITE: Final = (Scope.domains_write,)

DnsStatus = Literal["pending", "verified"]


class NewDomain(msgspec.Struct):
    """A domain to send from. ``default_from_name`` stands before an address of it that comes without a name."""

    domain: str
    default_from_name: str | None = None


class DomainChange(msgspec.Struct):
    """The new name; empty or null: none."""

    default_from_name: str | None


class Domain(msgspec.Struct, kw_only=True):
    """A sending domain. ``txt_status``: whether mail may be sent from it; the others: which records the DNS had when it was last asked."""

    id: str
    account_id: str
    domain: str
    dkim_status: DnsStatus
    spf_status: DnsStatus
    dmarc_status: DnsStatus
    txt_status: DnsStatus
    mail_from_domain: str
    dns_records: list[DnsRecord]
    is_sandbox: bool
    bimi_logo_url: None
    default_from_name: str | None
    inbound_enabled: bool
    checked_at: str | None
    created_at: str
    updated_at: str


class DomainList(msgspec.Struct):
    """All of a tenant's, by name."""

    domains: list[Domain]


class VerifiedDomain(msgspec.Struct):
    """``fully_verified``: mail may be sent from it. ``problems`` are records that are missing or wrong, one line for each."""

    domain: Domain
    fully_verified: bool
    problems: list[str]


def domain_endpoints(domains: Domains) -> tuple[Endpoint, ...]:
    """The endpoints of sending domains over one service."""

    async def find(call: Call) -> SendingDomain:
        tenant, ident = call.principal.tenant.id, call.path("domain")
        if ident.startswith(DOMAIN):
            for there in await domains.all(tenant):
                if domain_id(there) == ident:
                    return there
        try:
            return await domains.get(tenant, ident)
        except Invalid:
            raise NotFound(f"Domain not found: {ident}") from None

    def shown(domain: SendingDomain) -> Domain:
        return _answer(domain, domains.records(domain), domains.mail_from(domain))

    async def listed(call: Call) -> Reply:
        return Reply(DomainList([shown(d) for d in await domains.all(call.principal.tenant.id)]))

    async def create(call: Call) -> Reply:
        given, tenant = call.body(NewDomain), call.principal.tenant.id
        if given.default_from_name:
            domains.check_from_name(given.default_from_name)
        made = await domains.add(tenant, given.domain, most=MAX_DOMAINS)
        if given.default_from_name is not None:
            made = await domains.set_from_name(tenant, made.domain, given.default_from_name)
        return Reply(shown(made))

    async def one(call: Call) -> Reply:
        return Reply(shown(await find(call)))

    async def change(call: Call) -> Reply:
        name = call.body(DomainChange).default_from_name or ""
        there = await find(call)
        return Reply(shown(await domains.set_from_name(there.tenant, there.domain, name)))

    async def verify(call: Call) -> Reply:
        there = await find(call)
        found = await domains.verify(there.tenant, there.domain)
        return Reply(
            VerifiedDomain(shown(found.domain), found.domain.verified_at is not None, [*found.problems, *found.advice])
        )

    return (
        Endpoint(method="GET", path=BASE, summary="List domains, by name", answer=listed, scopes=READ, gives=DomainList),
        Endpoint(
            method="POST", path=BASE, summary="Add a domain; one that is there is answered as it is", answer=create,
            scopes=WRITE, ceiling=Ceiling.new_domains, takes=NewDomain, gives=Domain, status=201, refuses=(400, 422),
        ),
        Endpoint(
            method="GET", path=ONE, summary="Read a domain, by name or id", answer=one, scopes=READ, gives=Domain,
            refuses=(404,),
        ),
        Endpoint(
            method="PUT", path=ONE, summary="Change a domain's default From name", answer=change, scopes=WRITE,
            takes=DomainChange, gives=Domain, refuses=(400, 404),
        ),
        Endpoint(
            method="PATCH", path=ONE, summary="Change a domain's default From name (as PUT)", answer=change,
            scopes=WRITE, takes=DomainChange, gives=Domain, refuses=(400, 404),
        ),
        Endpoint(
            method="POST", path=ONE + "/verify", summary="Ask the DNS for a domain's records", answer=verify,
            scopes=WRITE, gives=VerifiedDomain, refuses=(404, 409),
        ),
    )  # fmt: skip


def domain_id(domain: SendingDomain) -> str:
    """A domain's id: domains are kept by tenant and name, so it is made of both and never changes."""
    digest = sha256(f"{domain.tenant} {domain.domain}".encode()).digest()
    return public_id(DOMAIN, int.from_bytes(digest[:8]) >> 1)


def _status(found: object) -> DnsStatus:
    return "pending" if found is None else "verified"


def _answer(domain: SendingDomain, records: list[DnsRecord], mail_from: str) -> Domain:
    return Domain(
        id=domain_id(domain),
        account_id=account_id(domain.tenant),
        domain=domain.domain,
        dkim_status=_status(domain.dkim_at),
        spf_status=_status(domain.spf_at),
        dmarc_status=_status(domain.dmarc_at),
        txt_status=_status(domain.verified_at),
        mail_from_domain=mail_from,
        dns_records=records,
        is_sandbox=False,
        bimi_logo_url=None,
        default_from_name=domain.from_name or None,
        inbound_enabled=False,
        checked_at=None if domain.checked_at is None else iso(domain.checked_at),
        created_at=iso(domain.created_at),
        updated_at=iso(domain.updated_at),
    )
