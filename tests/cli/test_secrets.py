"""postclock secrets rotate: everything sealed is wrapped under a new key, and no moment of it loses the key."""

from pathlib import Path

import pytest

from postclock.assembly import DKIM
from postclock.runtime.seal import Seal, WrongKey
from postclock.service.secret_key import KEY_CHECK, NEXT_KEY_FILE, mail_key
from postclock.store.sqlite.lock import join_folder
from postclock.store.sqlite.store import SqliteStore
from tests.cli.parts import Commands
from tests.end_to_end.parts import Caller, mail
from tests.support.process import Service
from tests.support.sink import Sink


def sealed(commands: Commands) -> list[bytes]:
    domains = commands.store(lambda store: store.domains.domains())
    return [key.sealed for domain in domains for key in domain.keys]


def check_value(commands: Commands) -> str | None:
    return commands.store(lambda store: store.meta(KEY_CHECK))


def test_the_data_folders_key_is_replaced(commands: Commands) -> None:
    """The old key opens nothing any more, the new one everything; the file keeps its mode."""
    commands.json("domains", "add", "mail.example.com", "--trust")
    file = commands.data / "secret.key"
    old = bytes.fromhex(file.read_text().strip())
    plain = [Seal(old).open(DKIM, s) for s in sealed(commands)]
    assert commands.json("secrets", "rotate") == {"rewrapped": 2, "key_file": str(file)}
    new = bytes.fromhex(file.read_text().strip())
    assert new != old
    assert file.stat().st_mode & 0o777 == 0o600
    assert [Seal(new).open(DKIM, s) for s in sealed(commands)] == plain
    with pytest.raises(WrongKey):
        Seal(old).open(DKIM, sealed(commands)[0])
    assert sorted(p.name for p in commands.data.iterdir() if "key" in p.name) == ["secret.key"]
    commands.json("domains", "add", "news.example.com")


def test_links_in_mail_that_was_sent_outlive_rotations(commands: Commands) -> None:
    """What signs them and the return paths is the same after one, and after another."""

    def in_mails() -> bytes:
        key = bytes.fromhex((commands.data / "secret.key").read_text().strip())

        async def read(store: SqliteStore) -> bytes:
            return mail_key(Seal(key), store)

        return commands.store(read)

    commands.json("domains", "list")
    first = in_mails()
    for _ in range(2):
        commands.json("secrets", "rotate")
        assert in_mails() == first


def test_a_key_that_the_operator_keeps_is_printed_once(commands: Commands) -> None:
    """The old one is refused from then on; nothing of the new one stays on the disk."""
    commands.env["POSTCLOCK_SECRET_KEY"] = "ab" * 32
    commands.json("domains", "add", "mail.example.com", "--trust")
    said = commands.json("secrets", "rotate")
    assert said["rewrapped"] == 2
    assert "the secret key is not the one" in commands.fails("domains", "list")
    assert "the secret key is not the one" in commands.fails("secrets", "rotate")
    commands.env["POSTCLOCK_SECRET_KEY"] = said["secret_key"]
    assert len(commands.json("domains", "list")["domains"]) == 1
    assert not [p for p in commands.data.iterdir() if p.name.startswith("secret")]


def test_a_rotation_that_was_cut_short_after_its_commit_is_finished(commands: Commands) -> None:
    """The new key lies beside the old one; whoever opens the store next puts it in its place."""
    commands.json("domains", "add", "mail.example.com", "--trust")
    file = commands.data / "secret.key"
    old = file.read_text()
    commands.json("secrets", "rotate")
    new = file.read_text()
    (commands.data / NEXT_KEY_FILE).write_text(new)
    file.write_text(old)
    commands.json("tenants", "list")
    assert file.read_text() == new
    assert not (commands.data / NEXT_KEY_FILE).exists()


def test_a_rotation_that_was_cut_short_before_its_commit_never_was(commands: Commands) -> None:
    """The key that was prepared is of no use to anybody, and does no harm."""
    commands.json("domains", "add", "mail.example.com", "--trust")
    before = check_value(commands)
    (commands.data / NEXT_KEY_FILE).write_text("cd" * 32 + "\n")
    commands.json("tenants", "list")
    assert check_value(commands) == before
    assert commands.json("secrets", "rotate")["rewrapped"] == 2


def test_nobody_works_beside_a_rotation(commands: Commands) -> None:
    """Another command might seal something under the old key."""
    commands.json("tenants", "list")
    other = join_folder(commands.data)
    try:
        assert commands.fails("secrets", "rotate") == f"another command works in {commands.data}"
    finally:
        other.release()
    commands.json("secrets", "rotate")


def test_a_rotation_waits_for_no_service(tmp_path: Path, commands: Commands) -> None:
    """It is refused while one runs; afterwards the service sends with the same DKIM key as before."""
    with Sink() as sink:
        service = Service(tmp_path, env={"POSTCLOCK_COURIER": sink.url})
        with service:
            told = commands.fails("secrets", "rotate")
            assert told == f"another serve uses {service.data}: stop it first"
        commands.json("secrets", "rotate")
        with service.start():
            caller = Caller(service.url, service.key())
            caller.send(mail())
            caller.close()
            [arrived] = sink.wait_for(1)
            assert arrived.content.startswith(b"DKIM-Signature: ")
