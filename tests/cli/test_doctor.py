"""postclock doctor: what is wrong, how to mend it, and an exit status to go by."""

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from postclock.cli.doctor import BUILT_MS, Finding, Status, check_clock, check_disk, check_queue, check_store
from postclock.runtime import disk
from postclock.runtime.clock import SystemClock
from postclock.settings import Settings
from postclock.store.inspection import Inspection
from postclock.store.views import Overview
from tests.cli.parts import Commands, park
from tests.support.dns_server import DnsServer
from tests.support.sink import Sink

NOW = 1_900_000_000_000


def look(commands: Commands) -> dict[str, Any]:
    """What doctor says, by the names of its checks, over a DNS that answers; the exit status must agree."""
    if "POSTCLOCK_DNS" in commands.env:
        return _look(commands)
    with DnsServer() as server:
        commands.env["POSTCLOCK_DNS"] = server.address
        found = _look(commands)
        del commands.env["POSTCLOCK_DNS"]
        return found


def _look(commands: Commands) -> dict[str, Any]:
    done = commands.run("doctor", "--json")
    said = json.loads(done.stdout)
    checks = {check["name"]: check for check in said["checks"]}
    assert said["ok"] is all(check["status"] != "problem" for check in checks.values())
    assert done.exit_code == (0 if said["ok"] else 1)
    assert all(check["mend"] for check in checks.values() if check["status"] != "ok")
    return checks


def test_a_place_that_was_never_used_has_no_problem(commands: Commands) -> None:
    """And looking makes nothing."""
    checks = look(commands)
    assert checks["database"]["status"] == checks["data folder"]["status"] == "note"
    assert not commands.data.exists()


def test_a_place_in_order_is_in_order(commands: Commands) -> None:
    """Every check passes; whether somebody keeps the clock is the machine's matter."""
    commands.json("tenants", "list")
    checks = look(commands)
    assert {name for name, check in checks.items() if check["status"] != "ok"} <= {"clock"}
    assert set(checks) == {"clock", "data folder", "key file", "disk", "database", "secret key", "queue", "DNS"}


def test_an_open_folder_is_told_with_its_cure(commands: Commands) -> None:
    """The chmod to paste."""
    commands.json("tenants", "list")
    commands.data.chmod(0o755)
    (commands.data / "secret.key").chmod(0o640)
    checks = look(commands)
    assert checks["data folder"]["mend"] == f"chmod 0700 {commands.data}"
    assert checks["key file"]["mend"] == f"chmod 0600 {commands.data / 'secret.key'}"
    commands.data.chmod(0o700)


def test_a_wrong_or_missing_secret_key_is_found(commands: Commands) -> None:
    """Before a start fails by it; and no new one is made."""
    commands.json("tenants", "list")
    commands.env["POSTCLOCK_SECRET_KEY"] = "ab" * 32
    assert look(commands)["secret key"]["status"] == "problem"
    del commands.env["POSTCLOCK_SECRET_KEY"]
    (commands.data / "secret.key").write_text("what?")
    assert "64 hex characters" in look(commands)["secret key"]["what"]
    (commands.data / "secret.key").unlink()
    assert look(commands)["secret key"]["what"] == "there is none"
    assert not (commands.data / "secret.key").exists()


def test_a_damaged_database_is_found(commands: Commands) -> None:
    """By reading all of it: a page in the middle was overwritten."""
    commands.json("tenants", "list")
    file = commands.data / "postclock.db"
    connection = apsw.Connection(str(file))
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'queue_due'").fetchone()
    connection.close()
    assert root is not None
    with file.open("r+b") as damaged:
        damaged.seek((int(str(root[0])) - 1) * 4096)
        damaged.write(b"\xff" * 4096)
    check = look(commands)["database"]
    assert (check["status"], check["mend"]) == ("problem", "Restore a backup.")
    file.write_bytes(b"not a database" * 400)
    assert "cannot be opened" in look(commands)["database"]["what"]


def test_mail_that_is_overdue_is_found(commands: Commands) -> None:
    """Parked mail is a note; mail that should have gone is a problem."""
    [one] = park(commands, "default", "held", "ada@example.net")
    check = look(commands)["queue"]
    assert (check["status"], check["what"]) == ("note", "1 wait, 1 parked, 0 uncertain")
    commands.json("queue", "release", one.public)
    check = look(commands)["queue"]
    assert check["status"] == "problem"
    assert "postclock serve" in check["mend"]


def test_a_dns_that_does_not_answer_is_found(commands: Commands) -> None:
    """With the setting to change."""
    with DnsServer() as server:
        server.fail(".")
        commands.env["POSTCLOCK_DNS"] = server.address
        check = look(commands)["DNS"]
    assert check["status"] == "problem"
    assert "SERVFAIL" in check["what"]
    assert "POSTCLOCK_DNS" in check["mend"]


def test_a_relay_is_greeted(commands: Commands) -> None:
    """EHLO and no more: no mail is begun."""
    with Sink() as sink:
        commands.env["POSTCLOCK_COURIER"] = sink.url
        assert look(commands)["relay"]["status"] == "ok"
        assert sink.commands[0] == "EHLO mx.example.net"
        assert not [command for command in sink.commands if command.startswith("MAIL")]
        sink.answer("connect", "554 5.7.1 not you")
        assert "not you" in look(commands)["relay"]["what"]
    assert look(commands)["relay"]["status"] == "problem"


def test_a_person_gets_lines(commands: Commands) -> None:
    """One for each check, and one below it for what to do."""
    with DnsServer() as server:
        commands.env["POSTCLOCK_DNS"] = server.address
        said = commands.says("doctor")
    assert "ok       DNS: " in said
    assert "\n         The first start of `postclock serve` makes it.\n" in said


@pytest.mark.parametrize(
    ("now_ms", "drift", "last_beat_at", "kept", "status"),
    [
        (NOW, 0.0, None, True, Status.ok),
        (NOW, 0.001, NOW - 5_000, None, Status.ok),
        (NOW, 0.0, None, False, Status.note),
        (BUILT_MS - 1, 0.0, None, True, Status.problem),
        (NOW, -0.8, None, True, Status.problem),
        (NOW, 0.8, None, True, Status.problem),
        (NOW, 0.0, NOW + 3_600_000, True, Status.problem),
    ],
)
def test_a_clock_is_judged(
    now_ms: int, drift: float, last_beat_at: int | None, kept: bool | None, status: Status
) -> None:
    """Past, jumping, behind what the store has seen; a clock nobody keeps is worth a note."""
    assert check_clock(now_ms, drift, last_beat_at, kept).status is status


@pytest.mark.parametrize(
    ("free", "told"),
    [
        (disk.ACCEPT_BELOW, "ok"),
        (disk.ACCEPT_BELOW - 1, "nothing is accepted"),
        (disk.DEPART_BELOW - 1, "nothing departs"),
    ],
)
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, told: str) -> None:
    """By what the service does about it; a folder that is not there yet is judged by the one it will be made in."""
    monkeypatch.setattr("postclock.runtime.disk.shutil.disk_usage", lambda _: _Usage(free))
    finding = check_disk(Settings(data=tmp_path / "not" / "yet"), SystemClock())
    assert told in (finding.status, finding.what.partition(": ")[2])


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


@pytest.mark.parametrize(
    ("found", "mend"),
    [
        (Inspection(there=True, newest=1, version=1, oldest_app=1), ""),
        (Inspection(there=True, newest=2, version=1, oldest_app=1), "Run `postclock migrate`."),
        (Inspection(there=True, newest=1, version=3, oldest_app=2), "Use a newer Postclock."),
        (Inspection(there=True, newest=1, version=3, oldest_app=1), ""),
    ],
)
def test_a_schema_that_does_not_fit_is_told_which_way(found: Inspection, mend: str) -> None:
    """Too old to be used, or too new; a newer one that still allows this application is in order."""
    assert check_store(found).mend == mend


def test_uncertain_mail_is_worth_a_note() -> None:
    """It resolves itself by the tenant's policy, or waits for a person."""
    overview = Overview(
        waiting=0, parked=0, uncertain=2, in_flight=0, oldest_due=None, by_host={}, by_domain={}, by_tenant={}, by_reason={}
    )  # fmt: skip
    finding: Finding = check_queue(overview, NOW)
    assert finding.status is Status.note
