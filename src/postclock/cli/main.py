"""``postclock``: where the commands come together."""

import typer

from postclock.cli import domains, keys, plans, queue, secrets, tenants
from postclock.cli.backup import backup
from postclock.cli.doctor import doctor
from postclock.cli.migrate import migrate
from postclock.cli.serve import serve
from postclock.cli.torture import torture

app = typer.Typer(
    name="postclock",
    help="Mail that leaves at its second.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root() -> None:
    """Mail that leaves at its second."""


app.command("serve")(serve)
app.command("migrate")(migrate)
app.add_typer(tenants.app, name="tenants")
app.add_typer(keys.app, name="keys")
app.add_typer(plans.app, name="plans")
app.add_typer(domains.app, name="domains")
app.add_typer(queue.app, name="queue")
app.command("backup")(backup)
app.add_typer(secrets.app, name="secrets")
app.command("doctor")(doctor)
app.command("torture")(torture)


def run() -> None:
    """The entry point."""
    app()
