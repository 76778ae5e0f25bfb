"""``postclock migrate``: the store's schema brought up to date, or only looked at."""

from typing import Annotated

import typer

from postclock.cli.command import AsJson, Config, settings_of, told
from postclock.cli.output import say
from postclock.stores import CannotStart, inspect_data, migrate_data


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when something is to do.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Bring the store's schema up to date."""
    with told():
        settings = settings_of(config)
        before = inspect_data(settings)
        if before.trouble is not None:
            raise CannotStart(f"the store cannot be opened: {before.trouble}")
        if not check:
            migrate_data(settings)
        after = before if check else inspect_data(settings)
    shape = {"version": after.version, "newest": after.newest, "fits": after.fits}
    if after.fits:
        line = f"the schema is up to date (version {after.version})"
    elif after.oldest_app > after.newest:
        line = f"the store needs a newer Postclock (schema {after.oldest_app}; this one brings {after.newest})"
    else:
        line = f"the schema is of version {after.version}, {after.newest} is there: run `postclock migrate`"
    say(shape, line, as_json=as_json)
    if not after.fits:
        raise typer.Exit(1)
