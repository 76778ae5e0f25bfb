"""What a run is told as: the one JSON object for programs, a table and the histogram of lateness for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from postclock.torture.audit import Findings

BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 30_000)
BAR: Final = 40
SHOWN: Final = 5
"""So many findings of a kind are told in words."""


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from due (or acknowledged) to the first command at the sink, without the time in which something was hurt."""

    p50: int
    p99: int
    max: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report; numbers of messages, of batches for the last."""

    seed: int
    minutes: float
    store: str
    processes: int
    acknowledged: int
    kills: int
    freezes: int
    outages: int
    lost: int
    cancelled_but_sent: int
    early: int
    late: int
    duplicated: int
    duplicated_without_uncertain: int
    batch_sums_wrong: int
    lateness_ms: Lateness


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    report: Report
    findings: Findings
    notes: Mapping[str, Any]
    """What else a person wants to know, in the order in which it is shown."""
    troubles: Sequence[str]
    """What kept the run from being judged: unsettled messages, processes that did not come back."""

    is_curious: bool = False
    """Whether something happened that breaks no promise and still wants an explanation: the logs are kept for it."""

    @property
    def is_good(self) -> bool:
        """Whether everything that must be zero is."""
        return not self.findings.broken and not self.troubles


def make_report(
    findings: Findings,
    *,
    seed: int,
    minutes: float,
    store: str,
    processes: int,
    kills: int,
    freezes: int,
    outages: int,
) -> Report:
    """The numbers of the findings, with how they came about."""
    return Report(
        seed=seed,
        minutes=minutes,
        store=store,
        processes=processes,
        acknowledged=findings.acknowledged,
        kills=kills,
        freezes=freezes,
        outages=outages,
        lost=len(findings.lost),
        cancelled_but_sent=len(findings.cancelled_but_sent),
        early=len(findings.early),
        late=len(findings.late),
        duplicated=len(findings.duplicated),
        duplicated_without_uncertain=len(findings.duplicated_without_uncertain),
        batch_sums_wrong=len(findings.batch_sums_wrong),
        lateness_ms=Lateness(
            p50=_percentile(findings.lateness_ms, 0.50),
            p99=_percentile(findings.lateness_ms, 0.99),
            max=_percentile(findings.lateness_ms, 1.0),
        ),
    )


def show(outcome: Outcome, console: Console) -> None:
    """The table, what else happened, the histogram, and what went wrong in words."""
    must = {"lost", "cancelled_but_sent", "early", "duplicated_without_uncertain", "batch_sums_wrong"}
    table = Table("", "", "must be 0", box=None, pad_edge=False)
    for name, value in msgspec.structs.asdict(outcome.report).items():
        if name != "lateness_ms":
            verdict = ("ok" if value == 0 else "BROKEN") if name in must else ""
            table.add_row(name.replace("_", " "), str(value), verdict)
    for name, value in outcome.notes.items():
        table.add_row(name, str(value), "")
    console.print(table)
    console.print(histogram(outcome.findings.lateness_ms))
    for name, found in outcome.findings.broken:
        for finding in found[:SHOWN]:
            console.print(f"{name.replace('_', ' ')}: {finding.subject}: {finding.why}", markup=False)
        if len(found) > SHOWN:
            console.print(f"{name.replace('_', ' ')}: and {len(found) - SHOWN} more")
    for trouble in outcome.troubles:
        console.print(trouble, markup=False)


def histogram(lateness_ms: Sequence[int]) -> Table:
    """How many were how late, in buckets; what was due while something was hurt counts from its end."""
    counts = Counter(next((top for top in BUCKETS_MS if ms <= top), None) for ms in lateness_ms)
    most = max(counts.values(), default=1)
    table = Table("late by up to", "mails", "", box=None, pad_edge=False)
    for top in (*BUCKETS_MS, None):
        n = counts[top]
        table.add_row("more" if top is None else f"{top} ms", str(n), "#" * -(-n * BAR // most))
    return table


def _percentile(ordered: Sequence[int], p: float) -> int:
    return ordered[min(len(ordered) - 1, int(len(ordered) * p))] if ordered else 0
