"""``postclock plans``: what tenants' months include, what a message costs beyond that, and what they may spend. None by default."""

from typing import Annotated, Any

import typer

from postclock.cli.command import AsJson, Config, Desk, at_desk
from postclock.cli.output import columns, say
from postclock.core.account import Tenant

app = typer.Typer(help="Plans: set, show, list.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="TENANT")]
TITLES = ("tenant", "included", "price_micros", "soft_limit_micros", "hard_limit_micros")


def _shape(tenant: Tenant) -> dict[str, Any]:
    plan, caps = tenant.settings.spending.plan, tenant.settings.spending.caps
    values = (tenant.name, plan.included, plan.price_micros, caps.soft_micros, caps.hard_micros)
    return dict(zip(TITLES, values, strict=True))


def _line(tenant: Tenant) -> str:
    shape = _shape(tenant)
    said = (f"{title}={'none' if shape[title] is None else shape[title]}" for title in TITLES[1:])
    return f"{tenant.name}: {' '.join(said)}"


@app.command("set")
def set_(
    name: Name,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change a plan: included (recipients a month), price, soft_cap, hard_cap (micro-dollars); none clears one."""

    async def work(desk: Desk) -> Tenant:
        await desk.tenant(name)
        return await desk.services.tenants.set_plan(name, assignments)

    tenant = at_desk(config, work)
    say(_shape(tenant), _line(tenant), as_json=as_json)


@app.command()
def show(name: Name, config: Config = None, as_json: AsJson = False) -> None:
    """One tenant's plan."""
    tenant = at_desk(config, lambda desk: desk.tenant(name))
    say(_shape(tenant), _line(tenant), as_json=as_json)


@app.command("list")
def list_(config: Config = None, as_json: AsJson = False) -> None:
    """Every tenant's plan."""
    tenants = [_shape(t) for t in at_desk(config, lambda desk: desk.services.tenants.all())]
    say({"plans": tenants}, *columns(TITLES, [[t[title] for title in TITLES] for t in tenants]), as_json=as_json)
