"""``postclock torture``: a short run over the embedded store, for real: hurt again and again, and nothing broken."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import run_postclock

KEYS = [
    "seed", "minutes", "store", "processes", "acknowledged", "kills", "freezes", "outages", "lost", "cancelled_but_sent", "early", "late",
    "duplicated", "duplicated_without_uncertain", "batch_sums_wrong", "lateness_ms",
]  # fmt: skip


@pytest.mark.timeout(300)
def test_a_short_run(tmp_path: Path) -> None:
    """Killed, its clock moved, its disk full, its relay gone: exit 0, and the report says what was done."""
    report = hurt(tmp_path, "--minutes", "0.5", "--seed", "7")
    assert (report["store"], report["processes"]) == ("sqlite", 1)
    assert report["kills"] >= 1


@pytest.mark.timeout(300)
def test_a_short_run_of_several_processes(tmp_path: Path, empty_postgres_dsn: str) -> None:
    """On PostgreSQL: the database away, connections cut, and COMMITs whose answers are lost as well."""
    report = hurt(
        tmp_path, "--minutes", "0.4", "--seed", "7", "--rate", "40", "--processes", "3", "--store", empty_postgres_dsn
    )
    assert (report["store"], report["processes"]) == ("postgresql", 3)
    assert report["outages"] >= 1


def hurt(folder: Path, *args: str) -> dict[str, Any]:
    """The report of a run in which nothing was broken."""
    file = folder / "report.json"
    done = run_postclock("torture", *args, "--json", "--report", str(file), data=folder / "var", seconds=280)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert list(report) == KEYS
    assert report == json.loads(file.read_text("utf-8"))
    assert report["acknowledged"] > 300
    assert sorted(report["lateness_ms"]) == ["max", "p50", "p99"]
    zero = ("lost", "cancelled_but_sent", "early", "duplicated_without_uncertain", "batch_sums_wrong")
    assert [report[name] for name in zero] == [0] * 5
    return report


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    """Several processes need PostgreSQL; a store is sqlite or a URL of it."""
    for args in (("--processes", "2"), ("--store", "mysql://x")):
        done = run_postclock("torture", "--minutes", "1", *args, data=tmp_path / "var")
        assert done.returncode == 2
        assert args[0] in done.stderr


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """One line and exit 1, and no folder is left behind unnamed."""
    url = f"postgresql://nobody@127.0.0.1:1/{os.getpid()}"
    done = run_postclock("torture", "--minutes", "1", "--store", url, data=tmp_path / "var")
    assert done.returncode == 1
    assert "postclock:" in done.stderr
