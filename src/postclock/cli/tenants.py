"""``postclock tenants``: who uses this installation, and how their mail is to be treated."""

from typing import Annotated, Any

import msgspec
import typer

from postclock.cli.command import AsJson, Config, Desk, at_desk
from postclock.cli.output import columns, say
from postclock.core.account import Tenant
from postclock.service.tenants import ASSIGNED

app = typer.Typer(help="Tenants: create, list, suspend, resume, set.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME")]


def _shape(tenant: Tenant) -> dict[str, Any]:
    settings = {name: getattr(tenant.settings, name) for name in ASSIGNED}
    return {
        "name": tenant.name,
        "status": "suspended" if tenant.suspended else "active",
        "settings": msgspec.to_builtins(settings),
    }


def _line(tenant: Tenant) -> str:
    settings = " ".join(f"{name}={value}" for name, value in _shape(tenant)["settings"].items())
    return f"{tenant.name}: {'suspended' if tenant.suspended else 'active'}; {settings}"


@app.command()
def create(name: Name, config: Config = None, as_json: AsJson = False) -> None:
    """Make a tenant."""
    tenant = at_desk(config, lambda desk: desk.services.tenants.create(name))
    say(_shape(tenant), _line(tenant), as_json=as_json)


@app.command("list")
def list_(config: Config = None, as_json: AsJson = False) -> None:
    """All tenants, oldest first."""
    tenants = at_desk(config, lambda desk: desk.services.tenants.all())
    rows = [(t.name, _shape(t)["status"], t.settings.uncertain, t.settings.default_from) for t in tenants]
    lines = columns(("name", "status", "uncertain", "default_from"), rows)
    say({"tenants": [_shape(t) for t in tenants]}, *lines, as_json=as_json)


@app.command()
def suspend(name: Name, config: Config = None, as_json: AsJson = False) -> None:
    """Refuse a tenant's calls and park its mail."""

    async def work(desk: Desk) -> Tenant:
        await desk.tenant(name)
        return await desk.services.tenants.suspend(name)

    tenant = at_desk(config, work)
    say(_shape(tenant), _line(tenant), as_json=as_json)


@app.command()
def resume(name: Name, config: Config = None, as_json: AsJson = False) -> None:
    """Let a tenant and its mail go on."""

    async def work(desk: Desk) -> Tenant:
        await desk.tenant(name)
        return await desk.services.tenants.resume(name)

    tenant = at_desk(config, work)
    say(_shape(tenant), _line(tenant), as_json=as_json)


@app.command("set")
def set_(
    name: Name,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change settings: uncertain, rate_sends, rate_requests, open_tracking, click_tracking, click_text, default_from."""

    async def work(desk: Desk) -> Tenant:
        await desk.tenant(name)
        return await desk.services.tenants.set(name, assignments)

    tenant = at_desk(config, work)
    say(_shape(tenant), _line(tenant), as_json=as_json)
