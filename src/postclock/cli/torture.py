"""``postclock torture``: hurts a service of its own and audits it; exit 1 when something that must be zero is not."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop
from rich.console import Console

from postclock.cli.command import AsJson, told
from postclock.runtime.clock import SystemClock
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.log import start_logging
from postclock.torture.processes import CannotRun
from postclock.torture.report import Outcome, show
from postclock.torture.run import Plan
from postclock.torture.run import torture as run

SEEDS = 1_000_000
RATE = 75.0
"""Mails a second: some 20,000 in five minutes."""


def torture(
    minutes: Annotated[float, typer.Option(min=0.1, max=7 * 1440, help="How long it is hurt.")],
    store: Annotated[
        str, typer.Option(metavar="URL", help="sqlite, or postgresql://… naming an empty database of its own.")
    ] = "sqlite",
    processes: Annotated[
        int, typer.Option(min=1, max=32, help="Engines and APIs in turn; more than one need PostgreSQL.")
    ] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="Of an earlier run, to deal the same blows.")] = None,
    rate: Annotated[float, typer.Option(min=1, max=5_000, help="Mails a second.")] = RATE,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON report there as well.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hurt a service of its own for some minutes and audit it: lost, early, duplicated, cancelled but sent, wrong sums."""
    if store != "sqlite" and not store.startswith(("postgresql://", "postgres://")):
        raise typer.BadParameter("sqlite or postgresql://…", param_hint="--store")
    if processes > 1 and store == "sqlite":
        raise typer.BadParameter("more than one need PostgreSQL (--store)", param_hint="--processes")
    start_logging("warning")
    clock, entropy = SystemClock(), SystemEntropy()
    sown = int(entropy.jitter() * SEEDS) if seed is None else seed
    plan = Plan(minutes=minutes, seed=sown, store=store, processes=processes, rate=rate)
    typer.echo(f"torture: seed {sown}", err=True)
    with told():
        outcome = _run(plan, clock, entropy)
    encoded = msgspec.json.encode(outcome.report).decode()
    if report is not None:
        with told():
            report.write_text(encoded + "\n", "utf-8")
    if as_json:
        typer.echo(encoded)
        for line in _wrong(outcome):
            typer.echo(line, err=True)
    else:
        show(outcome, Console(highlight=False, soft_wrap=True))
    if not outcome.is_good:
        raise typer.Exit(1)


def _run(plan: Plan, clock: SystemClock, entropy: SystemEntropy) -> Outcome:
    async def work() -> Outcome:
        task = asyncio.current_task()
        assert task is not None
        # Its processes are ended before it ends itself.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await run(plan, clock, entropy, lambda line: typer.echo(f"torture: {line}", err=True))

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work())
    except asyncio.CancelledError:
        raise CannotRun("stopped before its end") from None


def _wrong(outcome: Outcome) -> list[str]:
    found = [f"{name}: {f.subject}: {f.why}" for name, findings in outcome.findings.broken for f in findings[:20]]
    return [f"torture: {line}" for line in (*found, *outcome.troubles)]
