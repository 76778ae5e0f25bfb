"""``postclock torture``: a short run over the embedded store, for real: hurt again and again, and nothing broken."""

import json
import os
from pathlib import Path

import pytest

from tests.support.process import run_postclock

KEYS = [
    "seed", "minutes", "store", "processes", "acknowledged", "kills", "freezes", "outages", "lost", "cancelled_but_sent", "early", "late",
    "duplicated", "duplicated_without_uncertain", "batch_sums_wrong", "lateness_ms",
]  # fmt: skip


@pytest.mark.timeout(300)
def test_a_short_run(tmp_path: Path) -> None:
    """Killed, its clock moved, its disk full, its relay gone: exit 0, and the report says what was done."""
    done = run_postclock(
        "torture", "--minutes", "0.3", "--seed", "7", "--json", "--report", str(tmp_path / "report.json"),
        data=tmp_path / "var", seconds=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report) == KEYS
    assert report == json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["kills"] >= 2
    assert report["acknowledged"] > 300
    assert sorted(report["lateness_ms"]) == ["max", "p50", "p99"]
    assert [report[name] for name in ("lost", "cancelled_but_sent", "early", "duplicated_without_uncertain")] == [0] * 4


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
