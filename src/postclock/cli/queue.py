"""``postclock queue``: what waits and where, and parked mail let go or failed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

import typer

from postclock.cli.command import AsJson, Config, Desk, OfAnyTenant, at_desk
from postclock.cli.output import columns, moment, say
from postclock.core.errors import NotFound
from postclock.core.ids import parse_message_id, public_message_id
from postclock.store.views import Overview, ParkedRow

app = typer.Typer(help="What waits; parked mail let go or failed.")

SHOWN: Final = 20
"""Parked mails that a person is shown: enough to see what they are."""

Idents = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Messages (msg_...).")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="R", help="Only what was parked for this reason.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything that is parked.")]


@app.callback(invoke_without_command=True)
def queue(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """What waits, by host, domain, tenant and reason."""
    if context.invoked_subcommand is not None:
        return

    async def work(desk: Desk) -> tuple[Overview, list[ParkedRow]]:
        overview = await desk.store.overview()
        return overview, await desk.store.messages.parked(None, None) if overview.parked and not as_json else []

    overview, parked = at_desk(config, work)
    shape = {
        "waiting": overview.waiting,
        "oldest_due": moment(overview.oldest_due),
        "parked": overview.parked,
        "by_host": overview.by_host,
        "by_domain": overview.by_domain,
        "by_tenant": overview.by_tenant,
        "by_reason": overview.by_reason,
    }
    say(shape, *_lines(shape, parked), as_json=as_json)


def _lines(shape: dict[str, Any], parked: Sequence[ParkedRow]) -> list[str]:
    lines = [f"waiting: {shape['waiting']}  oldest due: {shape['oldest_due'] or '-'}  parked: {shape['parked']}"]
    for title in ("by_host", "by_domain", "by_tenant", "by_reason"):
        if shape[title]:
            lines.append(f"{title.replace('_', ' ')}:")
            lines += [f"  {n:>9}  {key}" for key, n in shape[title].items()]
    if parked:
        rows = [(_public(row), moment(row.due_at), row.reason) for row in parked[:SHOWN]]
        lines += ["parked, oldest first:", *(f"  {line}" for line in columns(("id", "due", "reason"), rows))]
    return lines


@app.command()
def release(
    idents: Idents = None,
    tenant: OfAnyTenant = None,
    reason: Reason = None,
    everything: Everything = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Let parked mail go on: at once, or when it is due."""
    _needs_choice(idents, tenant, reason, everything=everything)

    async def act(desk: Desk, rows: list[int]) -> int:
        return await desk.store.messages.release_parked(rows, desk.clock.now_ms())

    done = at_desk(config, lambda desk: _act(desk, idents, tenant, reason, act))
    say({"released": done}, f"released: {done}", as_json=as_json)


@app.command()
def drop(
    idents: Idents = None,
    tenant: OfAnyTenant = None,
    reason: Reason = None,
    everything: Everything = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Fail parked mail: it will not be sent."""
    _needs_choice(idents, tenant, reason, everything=everything)

    async def act(desk: Desk, rows: list[int]) -> int:
        return await desk.store.messages.drop_parked(rows, desk.clock.now_ms(), "dropped by the operator")

    done = at_desk(config, lambda desk: _act(desk, idents, tenant, reason, act))
    say({"dropped": done}, f"dropped: {done}", as_json=as_json)


def _needs_choice(idents: list[str] | None, tenant: str | None, reason: str | None, *, everything: bool) -> None:
    if not (idents or tenant or reason or everything):
        raise typer.BadParameter("say which: IDs, --tenant, --reason or --all")
    if everything and (idents or tenant or reason):
        raise typer.BadParameter("--all stands alone")


async def _act(
    desk: Desk,
    idents: list[str] | None,
    tenant: str | None,
    reason: str | None,
    act: Callable[[Desk, list[int]], Awaitable[int]],
) -> int:
    owner = None if tenant is None else (await desk.tenant(tenant)).id
    parked = await desk.store.messages.parked(owner, reason)
    if not idents:
        return await act(desk, [row.id for row in parked])
    there = {row.id for row in parked}
    wanted = [_row(ident) for ident in idents]
    for ident, row in zip(idents, wanted, strict=True):
        if row not in there:
            raise NotFound(f"{ident} is not parked")
    return await act(desk, wanted)


def _row(ident: str) -> int:
    try:
        return parse_message_id(ident)[1]
    except NotFound:
        raise NotFound(f"{ident!r} is no message id") from None


def _public(row: ParkedRow) -> str:
    return public_message_id(row.week, row.id)
