"""``postclock domains``: what tenants may put behind the @ of their From, and the records that prove it."""

from typing import Annotated, Any

import typer

from postclock.cli.command import DEFAULT, AsJson, Config, Desk, OfAnyTenant, OfTenant, at_desk
from postclock.cli.output import columns, say
from postclock.core.sending_domain import SendingDomain
from postclock.service.domains import Verification, records
from postclock.settings import Settings

app = typer.Typer(help="Sending domains: add, list, verify, records.", no_args_is_help=True)
Domain = Annotated[str, typer.Argument(metavar="DOMAIN")]


def _shape(domain: SendingDomain, settings: Settings) -> dict[str, Any]:
    wanted = records(domain, sender=settings.hostname, return_domain=settings.return_domain)
    return {
        "domain": domain.domain,
        "verified": domain.verified_at is not None,
        "records": [{"type": r.type, "name": r.name, "value": r.value} for r in wanted],
    }


def _lines(shape: dict[str, Any]) -> list[str]:
    state = "verified" if shape["verified"] else "not verified"
    return [f"{shape['domain']}: {state}", *(f"{r['type']}  {r['name']}  {r['value']}" for r in shape["records"])]


@app.command()
def add(
    domain: Domain,
    tenant: OfTenant = DEFAULT,
    trust: Annotated[bool, typer.Option("--trust", help="Verified on the operator's word, no DNS asked.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Add a domain, make its DKIM keys and show what to publish."""

    async def work(desk: Desk) -> dict[str, Any]:
        owner = await desk.tenant(tenant)
        return _shape(await desk.services.domains.add(owner.id, domain, trusted=trust), desk.settings)

    shape = at_desk(config, work)
    say(shape, *_lines(shape), as_json=as_json)


@app.command("list")
def list_(tenant: OfAnyTenant = None, config: Config = None, as_json: AsJson = False) -> None:
    """All domains, by name."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        owner = None if tenant is None else (await desk.tenant(tenant)).id
        names = {t.id: t.name for t in await desk.services.tenants.all()}
        return [
            _shape(d, desk.settings) | {"tenant": names[d.tenant], "trusted": d.trusted}
            for d in await desk.services.domains.all(owner)
        ]

    domains = at_desk(config, work)
    titles = ("domain", "tenant", "verified", "trusted")
    say({"domains": domains}, *columns(titles, [[d[t] for t in titles] for d in domains]), as_json=as_json)


@app.command()
def verify(domain: Domain, tenant: OfAnyTenant = None, config: Config = None, as_json: AsJson = False) -> None:
    """Ask the DNS whether the records are there."""

    async def work(desk: Desk) -> tuple[Verification, dict[str, Any]]:
        owner = None if tenant is None else (await desk.tenant(tenant)).id
        found = await desk.services.domains.verify(owner, domain)
        return found, _shape(found.domain, desk.settings)

    found, shape = at_desk(config, work)
    say(shape, _lines(shape)[0], *(f"  {line}" for line in (*found.problems, *found.advice)), as_json=as_json)


@app.command("records")
def records_(domain: Domain, tenant: OfAnyTenant = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show what to publish."""

    async def work(desk: Desk) -> dict[str, Any]:
        owner = None if tenant is None else (await desk.tenant(tenant)).id
        return _shape(await desk.services.domains.get(owner, domain), desk.settings)

    shape = at_desk(config, work)
    say(shape, *_lines(shape), as_json=as_json)
