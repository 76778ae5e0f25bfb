"""What ``make run`` starts: the line it prints works when pasted."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.cli.parts import Commands
from tests.end_to_end.parts import Caller, until
from tests.support.process import Service


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to paste to")
def test_the_first_mail_is_sent_by_pasting(tmp_path: Path) -> None:
    """The curl as it is printed schedules a mail, which arrives in the inbox; only the ten seconds are shortened here."""
    with Service(tmp_path, args=["--demo"], domain=None) as service:
        service.wait_for_line("/inbox")
        shown = service.stdout
        command = re.search(r"^  curl .*?'\}'$", shown, re.MULTILINE | re.DOTALL)
        assert command is not None, shown
        assert "$(date +%s) + 10" in command[0]
        pasted = command[0].replace("+ 10", "+ 1")
        done = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, timeout=30, check=True)
        ident = json.loads(done.stdout)["message_id"]
        key = (service.data / "demo.key").read_text().strip()
        caller = Caller(service.url, key)
        until(lambda: caller.status(ident) == "delivered")
        caller.close()
        page = re.search(r"http://\S+/inbox", shown)
        assert page is not None
        assert "On the second" in httpx.get(page[0]).text


def test_the_demo_key_is_kept(tmp_path: Path, commands: Commands) -> None:
    """0600 in the data folder, offered as long as it holds; revoked, another takes its place."""
    service = Service(tmp_path, args=["--demo"], domain=None)
    with service.start():
        service.wait_for_line("/inbox")
        file = service.data / "demo.key"
        assert file.stat().st_mode & 0o777 == 0o600
        first = file.read_text().strip()
        assert first in service.stdout
        domains = commands.json("domains", "list")["domains"]
        assert [(d["domain"], d["tenant"], d["verified"]) for d in domains] == [("mail.example.com", "default", True)]
    [key] = commands.json("keys", "list")["keys"]
    commands.json("keys", "revoke", key["id"])
    with service.start():
        service.wait_for_line("/inbox")
        second = file.read_text().strip()
        assert second != first
        caller = Caller(service.url, second)
        caller.get("/v3/messages")
        caller.close()
