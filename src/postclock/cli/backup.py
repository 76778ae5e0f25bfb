"""``postclock backup``: a consistent copy of the SQLite store while it runs."""

from pathlib import Path
from typing import Annotated

import typer

from postclock.assembly import KEY_FILE
from postclock.cli.command import AsJson, Config, settings_of, told
from postclock.cli.output import say
from postclock.stores import back_up_data


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not exist.")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy the store, queue included, while the service runs."""
    with told():
        settings = settings_of(config)
        octets = back_up_data(settings, file, lambda _done, _all: None)
    kept = "POSTCLOCK_SECRET_KEY" if settings.secret_key else str(settings.data / KEY_FILE)
    reminder = f"The copy is of no use without the secret key ({kept}): keep that too, in another place."
    say(
        {"file": str(file), "octets": octets, "reminder": reminder},
        f"{file}: {octets} octets. To restore, put it as postclock.db into an empty data folder, with the secret key.",
        reminder,
        as_json=as_json,
    )
