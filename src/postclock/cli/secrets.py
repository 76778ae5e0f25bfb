"""``postclock secrets``: a new secret key for everything that is encrypted at rest."""

import asyncio

import typer

from postclock.assembly import Rotation, rotate_secret
from postclock.cli.command import AsJson, Config, settings_of, told
from postclock.cli.output import say
from postclock.settings import Settings
from postclock.stores import open_data

app = typer.Typer(help="The secret key: rotate.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """The secret key."""


@app.command()
def rotate(config: Config = None, as_json: AsJson = False) -> None:
    """Wrap everything under a new secret key. The service must be stopped."""
    with told():
        settings = settings_of(config)
        rotation = asyncio.run(_rotate(settings))
    if rotation.key is None:
        shape = {"rewrapped": rotation.rewrapped, "key_file": str(rotation.kept_in)}
        say(shape, f"{rotation.rewrapped} secrets rewrapped; the new key is in {rotation.kept_in}", as_json=as_json)
        return
    say(
        {"rewrapped": rotation.rewrapped, "secret_key": rotation.key.hex()},
        f"{rotation.rewrapped} secrets rewrapped. The new POSTCLOCK_SECRET_KEY, not shown again:",
        rotation.key.hex(),
        as_json=as_json,
    )
    rotation.kept_in.unlink()


async def _rotate(settings: Settings) -> Rotation:
    store = open_data(settings, alone=True)
    try:
        return await rotate_secret(settings, store)
    finally:
        store.close()
