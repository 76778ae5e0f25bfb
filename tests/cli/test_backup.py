"""postclock backup: a copy of a running store is a store, with its queue."""

import os
import shutil
import time
from pathlib import Path

import apsw

from postclock.store.sqlite.backup import PAGES, back_up
from tests.cli.parts import Commands, park
from tests.end_to_end.parts import Caller, mail, until
from tests.support.process import Service
from tests.support.sink import Sink


def test_the_copy_of_a_running_store_delivers_what_waited(tmp_path: Path, commands: Commands) -> None:
    """Taken while the service accepts; started elsewhere with the secret key, it sends the mail on its second."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "var").mkdir(parents=True, mode=0o700)
    with Sink() as sink:
        env = {"POSTCLOCK_COURIER": sink.url}
        with Service(tmp_path, env=env) as service:
            caller = Caller(service.url, service.key())
            due = int(time.time()) + 4
            [waits] = caller.send(mail("ada@example.com", send_at=due))
            copy = elsewhere / "var" / "postclock.db"
            said = commands.json("backup", str(copy))
            assert said["octets"] == copy.stat().st_size
            assert "secret.key" in said["reminder"]
            caller.cancel(waits)  # here it goes no more: what arrives comes from the copy
            caller.close()
        shutil.copy(service.data / "secret.key", elsewhere / "var")
        with Service(elsewhere, env=env) as restored:
            [arrived] = sink.wait_for(1)
            assert arrived.rcpts == ("ada@example.com",)
            assert waits.encode() in arrived.content
            assert arrived.received_at >= due
            commands.data = restored.data
            until(lambda: commands.json("queue")["waiting"] == 0)


def test_a_backup_overwrites_nothing(commands: Commands) -> None:
    """Neither a file nor a dangling link; and it needs something to copy."""
    target = commands.data.parent / "copy.db"
    assert commands.fails("backup", str(target)).startswith("there is no store yet")
    commands.json("tenants", "list")
    target.write_text("precious")
    assert "overwrites nothing" in commands.fails("backup", str(target))
    assert target.read_text() == "precious"
    link = commands.data.parent / "link.db"
    link.symlink_to("nowhere")
    assert "overwrites nothing" in commands.fails("backup", str(link))
    assert "failed" in commands.fails("backup", str(commands.data / "missing" / "copy.db"))
    assert sorted(p.name for p in commands.data.parent.iterdir()) == ["copy.db", "link.db", "var"]


def test_a_backup_is_private_and_tells_of_the_secret_key(commands: Commands) -> None:
    """0600, and where the key is that it is worth nothing without."""
    commands.json("tenants", "list")
    target = commands.data.parent / "copy.db"
    said = commands.says("backup", str(target))
    assert str(commands.data / "secret.key") in said
    assert target.stat().st_mode & 0o777 == 0o600
    commands.env["POSTCLOCK_SECRET_KEY"] = (commands.data / "secret.key").read_text().strip()
    said = commands.says("backup", str(commands.data.parent / "second.db"))
    assert "POSTCLOCK_SECRET_KEY" in said
    assert commands.env["POSTCLOCK_SECRET_KEY"] not in said


def test_a_backup_is_of_one_moment(commands: Commands) -> None:
    """What is written between its steps is not in it, and does not make it begin again."""
    park(commands, "default", "held", "ada@example.net")
    store = commands.data / "postclock.db"
    writing = apsw.Connection(str(store))
    writing.execute("CREATE TABLE filler (content BLOB)")
    for _ in range(3 * PAGES // 256):
        writing.execute("INSERT INTO filler VALUES (randomblob(1048576))")
    steps: list[tuple[int, int]] = []

    def meanwhile(done: int, total: int) -> None:
        steps.append((done, total))
        writing.execute("INSERT INTO filler VALUES (randomblob(4096))")

    before = writing.execute("SELECT count(*) FROM filler").fetchall()
    target = commands.data.parent / "copy.db"
    assert back_up(store, target, meanwhile) == target.stat().st_size
    writing.close()
    assert len(steps) > 2
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    copied = apsw.Connection(str(target))
    assert copied.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert copied.execute("SELECT count(*) FROM filler").fetchall() == before
    assert copied.execute("SELECT count(*) FROM queue").fetchall() == [(1,)]
    copied.close()
    assert not [name for name in os.listdir(commands.data.parent) if name.startswith(".")]
