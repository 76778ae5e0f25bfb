"""What every command has in common: its options, its work beside the service, its one line when something is wrong."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from postclock.assembly import DEFAULT_TENANT, check_key, ensure_default, opening_key
from postclock.core.account import Tenant
from postclock.core.clock import Clock
from postclock.core.errors import NotFound, PostclockError
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.log import start_logging
from postclock.runtime.seal import Seal
from postclock.services import Services, build_services
from postclock.settings import BadSetting, Settings, read_settings
from postclock.store.interface import Store
from postclock.stores import open_data

T = TypeVar("T")

Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A TOML file; postclock.toml when present.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
OfTenant = Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose.")]
OfAnyTenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant's.")]
DEFAULT = DEFAULT_TENANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a command works with. ``clock`` is the store's."""

    settings: Settings
    store: Store
    services: Services
    clock: Clock

    async def tenant(self, name: str) -> Tenant:
        """The tenant of that name. Raises NotFound with the name in it."""
        try:
            return await self.services.tenants.named(name)
        except NotFound:
            raise NotFound(f"there is no tenant {name!r}; see `postclock tenants list`") from None


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What goes wrong inside becomes one line on stderr and exit status 1."""
    try:
        yield
    except (BadSetting, PostclockError, OSError, RuntimeError) as error:
        typer.echo(f"postclock: {error}", err=True)
        raise typer.Exit(1) from error


def settings_of(config: Path | None) -> Settings:
    """The settings, with the log going where they say. Raises BadSetting."""
    settings = read_settings(config)
    start_logging(settings.log)
    return settings


def at_desk(config: Path | None, work: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` over the store of the settings, beside a running service or without one; errors end the command."""
    with told():
        settings = settings_of(config)
        return asyncio.run(_at_desk(settings, work))
    raise AssertionError  # told() either lets the return through or ends the command


async def _at_desk(settings: Settings, work: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
    store = open_data(settings)
    clock = store.clock
    try:
        seal = Seal(opening_key(settings, store))
        await check_key(store, seal)
        services = build_services(
            store,
            seal,
            clock,
            SystemEntropy(),
            has_room=lambda: None,
            on_point=lambda _: None,
            dns=settings.dns,
            hostname=settings.hostname,
            return_domain=settings.return_domain,
        )
        await ensure_default(services)
        return await work(Desk(settings=settings, store=store, services=services, clock=clock))
    finally:
        store.close()
