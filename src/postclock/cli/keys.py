"""``postclock keys``: API keys as the operator makes and ends them. A secret is shown once, when it is made."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from postclock.cli.command import DEFAULT, AsJson, Config, Desk, OfAnyTenant, OfTenant, at_desk
from postclock.cli.output import columns, moment, say
from postclock.core.account import SENDARA_SCOPES, ApiKey, Scope
from postclock.core.errors import NotFound
from postclock.service.accounts import KeyMade, public_key_id

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)


class Dialect(StrEnum):
    """Whose API a key is for."""

    scaisend = "scaisend"
    sendara = "sendara"


class Environment(StrEnum):
    """Which half of the tenant's mail a key reaches."""

    live = "live"
    test = "test"


def _scopes(key: ApiKey) -> list[str]:
    """As they were asked for: a Sendara key has one scope that stands for many."""
    if key.dialect == "sendara":
        for name, scopes in SENDARA_SCOPES.items():
            if scopes == key.scopes:
                return [name]
    return [scope.value for scope in Scope if scope in key.scopes]


def _listed(key: ApiKey, tenant: str) -> dict[str, Any]:
    return {
        "id": public_key_id(key),
        "name": key.name,
        "prefix": key.prefix,
        "tenant": tenant,
        "dialect": key.dialect,
        "environment": key.environment,
        "scopes": _scopes(key),
        "created_at": moment(key.created_at),
        "last_used_at": moment(key.last_used_at),
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
    }


@app.command()
def create(
    scopes: Annotated[str, typer.Option(help="Names with commas between; for sendara one of send, read, admin.")],
    tenant: OfTenant = DEFAULT,
    dialect: Annotated[Dialect, typer.Option()] = Dialect.scaisend,
    environment: Annotated[Environment, typer.Option("--env")] = Environment.live,
    no_read: Annotated[bool, typer.Option("--no-read", help="Without messages.read.")] = False,
    name: Annotated[str, typer.Option(help="What people call it.")] = "made by the operator",
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601; never when left out.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its secret, this once."""

    async def work(desk: Desk) -> KeyMade:
        return await desk.services.keys.make(
            await desk.tenant(tenant),
            name=name,
            dialect=dialect.value,
            environment=environment.value,
            scopes=[part.strip() for part in scopes.split(",") if part.strip()],
            read_messages=not no_read,
            expires_at=expires,
        )

    made = at_desk(config, work)
    shape = {
        "id": public_key_id(made.key),
        "api_key": made.secret,
        "tenant": tenant,
        "dialect": made.key.dialect,
        "environment": made.key.environment,
        "scopes": _scopes(made.key),
    }
    say(shape, f"{public_key_id(made.key)}: keep the key, it is not shown again", made.secret, as_json=as_json)


@app.command("list")
def list_(tenant: OfAnyTenant = None, config: Config = None, as_json: AsJson = False) -> None:
    """All keys, oldest first, revoked ones too; never their secrets."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        owner = None if tenant is None else await desk.tenant(tenant)
        names = {t.id: t.name for t in await desk.services.tenants.all()}
        return [_listed(key, names[key.tenant]) for key in await desk.services.keys.all_keys(owner)]

    keys = at_desk(config, work)
    titles = ("id", "tenant", "prefix", "dialect", "environment", "last_used_at", "revoked_at", "name")
    say({"keys": keys}, *columns(titles, [[key[t] for t in titles] for key in keys]), as_json=as_json)


@app.command()
def revoke(ident: Annotated[str, typer.Argument(metavar="ID")], config: Config = None, as_json: AsJson = False) -> None:
    """End a key: it stops within a second and stays listed."""

    async def work(desk: Desk) -> dict[str, Any]:
        try:
            key = await desk.services.keys.revoke_any(ident)
        except NotFound:
            raise NotFound(f"there is no key {ident!r}; see `postclock keys list`") from None
        names = {t.id: t.name for t in await desk.services.tenants.all()}
        return _listed(key, names[key.tenant])

    key = at_desk(config, work)
    say(key, f"{key['id']} is revoked", as_json=as_json)
