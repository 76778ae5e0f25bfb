"""postclock tenants and keys: shapes that scripts rely on, and mistakes told in one line."""

import pytest

from postclock.core.account import Scope
from postclock.service.principal import hash_of
from tests.cli.parts import Commands

SETTINGS = {
    "uncertain": "resend",
    "rate_sends": 10_000,
    "rate_requests": 1_000,
    "open_tracking": False,
    "click_tracking": False,
    "click_text": False,
    "default_from": "",
}


def test_a_new_folder_has_the_tenant_default(commands: Commands) -> None:
    """So that a first key needs no other command before."""
    assert commands.json("tenants", "list") == {
        "tenants": [{"name": "default", "status": "active", "settings": SETTINGS}]
    }
    assert commands.data.stat().st_mode & 0o777 == 0o700
    assert (commands.data / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_tenant_is_made_set_suspended_and_resumed(commands: Commands) -> None:
    """Each command answers with the tenant as it is now."""
    assert commands.json("tenants", "create", "acme") == {"name": "acme", "status": "active", "settings": SETTINGS}
    changed = commands.json("tenants", "set", "acme", "uncertain=hold", "rate_sends=5", "open_tracking=on")
    assert changed["settings"] == SETTINGS | {"uncertain": "hold", "rate_sends": 5, "open_tracking": True}
    assert commands.json("tenants", "suspend", "acme")["status"] == "suspended"
    assert [t["status"] for t in commands.json("tenants", "list")["tenants"]] == ["active", "suspended"]
    assert commands.json("tenants", "resume", "acme")["status"] == "active"
    assert "acme" in commands.says("tenants", "list")


@pytest.mark.parametrize("args", [("suspend", "nobody"), ("resume", "nobody"), ("set", "nobody", "uncertain=hold")])
def test_an_unknown_tenant_is_named(commands: Commands, args: tuple[str, ...]) -> None:
    """With where to look."""
    assert commands.fails("tenants", *args) == "there is no tenant 'nobody'; see `postclock tenants list`"


def test_a_tenants_mistakes_are_told_together(commands: Commands) -> None:
    """And nothing of the call is done."""
    told = commands.fails("tenants", "set", "default", "rate_sends=5", "uncertain=maybe", "colour=red")
    assert "uncertain" in told
    assert "'colour'" in told
    assert commands.json("tenants", "list")["tenants"][0]["settings"] == SETTINGS
    assert "exists already" in commands.fails("tenants", "create", "default")


def test_a_key_is_shown_once_as_api_key(commands: Commands) -> None:
    """The store keeps its hash; the list never shows it."""
    made = commands.json("keys", "create", "--tenant", "default", "--dialect", "scaisend", "--env", "live", "--scopes", "mail.send,mail.schedule")  # fmt: skip
    assert set(made) == {"id", "api_key", "tenant", "dialect", "environment", "scopes"}
    assert made["api_key"].startswith("sg_live_")
    assert (made["tenant"], made["dialect"], made["environment"]) == ("default", "scaisend", "live")
    assert made["scopes"] == ["mail.send", "mail.schedule", "messages.read"]
    found = commands.store(lambda store: store.accounts.find_key(hash_of(made["api_key"])))
    assert found is not None
    assert found[0].scopes == {Scope.mail_send, Scope.mail_schedule, Scope.messages_read}
    listed = commands.run("keys", "list", "--json")
    assert made["id"] in listed.stdout
    assert made["api_key"] not in listed.stdout


def test_commands_of_the_same_moment_make_different_ids(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share a node of the id space, and scripts run them side by side."""
    monkeypatch.setattr("postclock.runtime.clock.SystemClock.now_ms", lambda _: 1_900_000_000_000)
    chance = iter((0.1, 0.2))
    monkeypatch.setattr("postclock.runtime.entropy.SystemEntropy.jitter", lambda _: next(chance))
    one, two = (commands.json("keys", "create", "--scopes", "mail.send") for _ in range(2))
    assert one["id"] != two["id"]


def test_a_key_can_be_made_that_reads_nothing(commands: Commands) -> None:
    """--no-read leaves messages.read out; spaces between scopes are forgiven."""
    made = commands.json("keys", "create", "--scopes", "mail.send, stats.read", "--no-read")
    assert made["scopes"] == ["mail.send", "stats.read"]


@pytest.mark.parametrize(("scope", "environment", "prefix"), [("send", "live", "sk_live_"), ("admin", "test", "sk_test_")])  # fmt: skip
def test_a_sendara_key_has_one_scope(commands: Commands, scope: str, environment: str, prefix: str) -> None:
    """It is shown as it was asked for."""
    made = commands.json("keys", "create", "--dialect", "sendara", "--env", environment, "--scopes", scope)
    assert made["api_key"].startswith(prefix)
    assert made["scopes"] == [scope]


def test_keys_are_listed_and_revoked(commands: Commands) -> None:
    """A revoked key stays listed with the time of its end; revoking again changes nothing."""
    commands.json("tenants", "create", "acme")
    one = commands.json("keys", "create", "--scopes", "mail.send")
    two = commands.json("keys", "create", "--scopes", "mail.send", "--tenant", "acme")
    keys = commands.json("keys", "list")["keys"]
    assert [(k["id"], k["tenant"], k["revoked_at"]) for k in keys] == [
        (one["id"], "default", None),
        (two["id"], "acme", None),
    ]
    assert [k["id"] for k in commands.json("keys", "list", "--tenant", "acme")["keys"]] == [two["id"]]
    revoked = commands.json("keys", "revoke", one["id"])
    assert (revoked["id"], revoked["revoked_at"] is None) == (one["id"], False)
    assert commands.json("keys", "revoke", one["id"]) == revoked
    assert commands.json("keys", "list")["keys"][0]["revoked_at"] == revoked["revoked_at"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("create", "--scopes", "mail.send", "--tenant", "nobody"), "there is no tenant 'nobody'"),
        (("create", "--scopes", "mail.fly"), "Unknown scope: mail.fly"),
        (("create", "--dialect", "sendara", "--scopes", "send,read"), "Must be one of: send, read, admin."),
        (("create", "--scopes", "mail.send", "--expires", "soon"), "Must be a time in ISO 8601"),
        (("revoke", "key_0"), "there is no key 'key_0'"),
        (("revoke", "key_0000000000001"), "there is no key 'key_0000000000001'"),
        (("list", "--tenant", "nobody"), "there is no tenant 'nobody'"),
    ],
)
def test_a_mistake_about_keys_is_one_line(commands: Commands, args: tuple[str, ...], told: str) -> None:
    """On stderr, with exit status 1."""
    assert commands.fails("keys", *args).startswith(told)


@pytest.mark.parametrize(
    "args",
    [
        ("keys", "create"),
        ("keys", "create", "--scopes", "mail.send", "--env", "production"),
        ("keys", "create", "--scopes", "mail.send", "--dialect", "morse"),
        ("keys", "revoke"),
        ("tenants", "create"),
        ("tenants", "set", "default"),
        ("tenants", "forget", "default"),
        ("domains", "add"),
        ("queue", "release"),
        ("queue", "drop", "--all", "--tenant", "default"),
        ("backup",),
        ("serve", "--only", "kitchen"),
        ("serve", "--die-at", "noon"),
        ("nonsense",),
    ],
)
def test_bad_usage_has_exit_status_two(commands: Commands, args: tuple[str, ...]) -> None:
    """The line says what; nothing is on stdout and no folder is made."""
    done = commands.run(*args)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Error: " in done.stderr
    assert not commands.data.exists()


def test_a_bad_setting_stops_every_command(commands: Commands) -> None:
    """With the line that names it."""
    commands.env["POSTCLOCK_LOG"] = "loud"
    for args in (("tenants", "list"), ("queue",), ("migrate",), ("doctor",), ("secrets", "rotate")):
        assert commands.fails(*args).startswith("POSTCLOCK_LOG: ")


def test_a_config_file_can_be_named(commands: Commands) -> None:
    """Its keys are the settings' names."""
    file = commands.data.parent / "mine.toml"
    file.write_text('log = "loud"')
    assert commands.fails("tenants", "list", "--config", str(file)).startswith(f"{file}: log: ")


def test_another_secret_key_is_refused(commands: Commands) -> None:
    """Before anything is sealed under it."""
    commands.json("tenants", "list")
    commands.env["POSTCLOCK_SECRET_KEY"] = "ab" * 32
    assert "the secret key is not the one" in commands.fails("domains", "add", "mail.example.com")


def test_a_file_that_is_no_store_is_told(commands: Commands) -> None:
    """In SQLite's words, and it is left as it is."""
    commands.data.mkdir()
    (commands.data / "postclock.db").write_bytes(b"not a database" * 100)
    assert "cannot be opened: file is not a database" in commands.fails("tenants", "list")
    assert "cannot be opened" in commands.fails("migrate")
    assert (commands.data / "postclock.db").read_bytes() == b"not a database" * 100
