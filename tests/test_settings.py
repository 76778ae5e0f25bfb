"""Settings: every variable is read, the file stands behind the variables, and a bad value is named in one line."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from postclock.settings import BadSetting, Settings, read_settings
from tests.support.process import run_postclock

HOUR = 3_600_000
DAY = 24 * HOUR

READ: dict[str, tuple[str, Any]] = {
    "DATA": ("/srv/mail", Path("/srv/mail")),
    "LISTEN": ("[::1]:8601", ("::1", 8601)),
    "STORE": ("postgresql://db/mail", "postgresql://db/mail"),
    "COURIER": ("relay://user:secret@relay.example:587", "relay://user:secret@relay.example:587"),
    "DNS": ("127.0.0.1:5353", "127.0.0.1:5353"),
    "MX_PORT": ("2525", 2525),
    "HOSTNAME": ("MX.example.org", "mx.example.org"),
    "PUBLIC_URL": ("https://mail.example.org/", "https://mail.example.org"),
    "SECRET_KEY": ("ab" * 32, b"\xab" * 32),
    "SETTLE_AFTER": ("90m", 90 * 60_000),
    "FINAL_REPLY_TIMEOUT": ("5m", 300_000),
    "UNCERTAIN_WAIT": ("20m", 20 * 60_000),
    "GIVE_UP_AFTER": ("48h", 48 * HOUR),
    "RETURN_DOMAIN": ("Bounce.example.org", "bounce.example.org"),
    "STOP_GRACE": ("1500ms", 1500),
    "MAX_LATENESS": ("12h", 12 * HOUR),
    "KEEP_MESSAGES": ("7d", 7 * DAY),
    "KEEP_BODIES": ("3d", 3 * DAY),
    "KEEP_EVENTS": ("60d", 60 * DAY),
    "WEBHOOK_ALLOW": ("127.0.0.0/8, ::1/128", ("127.0.0.0/8", "::1/128")),
    "LOG": ("DEBUG", "debug"),
}

BAD: list[tuple[str, str]] = [
    ("DATA", ""),
    ("LISTEN", "8600"),
    ("LISTEN", "127.0.0.1:70000"),
    ("LISTEN", "127.0.0.1:²"),
    ("STORE", "mysql://db"),
    ("COURIER", "pigeon"),
    ("DNS", "127.0.0.1"),
    ("DNS", "127.0.0.1:0"),
    ("MX_PORT", "0"),
    ("MX_PORT", "smtp"),
    ("HOSTNAME", "my host"),
    ("PUBLIC_URL", "mail.example.org"),
    ("SECRET_KEY", "abcd"),
    ("SECRET_KEY", "zz" * 32),
    ("SETTLE_AFTER", "24"),
    ("FINAL_REPLY_TIMEOUT", "-1m"),
    ("UNCERTAIN_WAIT", "soon"),
    ("GIVE_UP_AFTER", "3 days"),
    ("RETURN_DOMAIN", "bounce@example.org"),
    ("STOP_GRACE", "1w"),
    ("MAX_LATENESS", ""),
    ("KEEP_MESSAGES", "90"),
    ("KEEP_BODIES", "1.5d"),
    ("KEEP_EVENTS", "d"),
    ("WEBHOOK_ALLOW", "10.0.0.1/8"),
    ("LOG", "loud"),
]


def read(file: Path | None = None, /, **variables: str) -> Settings:
    return read_settings(file or Path(os.devnull), {f"POSTCLOCK_{name}": value for name, value in variables.items()})


def test_the_table_names_every_setting() -> None:
    """A setting that is added is tested here, or this fails."""
    assert {name.lower() for name in READ} == set(Settings.__struct_fields__)
    assert {name for name, _ in BAD} == set(READ)


@pytest.mark.parametrize("name", READ)
def test_a_variable_is_read(name: str) -> None:
    """As what it means, in milliseconds where it is a duration."""
    text, value = READ[name]
    assert getattr(read(**{name: text}), name.lower()) == value


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_value_is_named_in_one_line(name: str, text: str) -> None:
    """With what would do."""
    with pytest.raises(BadSetting) as caught:
        read(**{name: text})
    told = str(caught.value)
    assert told.startswith(f"POSTCLOCK_{name}: ")
    assert "\n" not in told
    assert len(told) > len(f"POSTCLOCK_{name}: ") + 10


def test_the_defaults_are_those_of_a_machine_of_ones_own() -> None:
    """Nothing has to be set to try it out."""
    settings = read()
    assert (settings.data, settings.listen, settings.store, settings.courier) == (
        Path("var"),
        ("127.0.0.1", 8600),
        "sqlite",
        "inbox",
    )
    assert settings.public_url == "http://127.0.0.1:8600"
    assert re.fullmatch(r"[a-z0-9.-]+", settings.hostname)
    assert (settings.final_reply_timeout, settings.uncertain_wait) == (600_000, 660_000)


def test_mail_to_the_inbox_is_delivered_at_once_and_through_a_relay_after_a_day() -> None:
    """Unless it is said otherwise."""
    assert read().settle_after == 0
    assert read(COURIER="relay://127.0.0.1:25").settle_after == DAY
    assert read(SETTLE_AFTER="1h").settle_after == HOUR


def test_an_uncertain_mail_waits_at_least_for_its_reply() -> None:
    """Or it would be sent again while the reply may still come."""
    with pytest.raises(BadSetting, match="POSTCLOCK_UNCERTAIN_WAIT: must be at least POSTCLOCK_FINAL_REPLY_TIMEOUT"):
        read(UNCERTAIN_WAIT="9m")
    with pytest.raises(BadSetting, match="POSTCLOCK_UNCERTAIN_WAIT"):
        read(FINAL_REPLY_TIMEOUT="12m")
    assert read(UNCERTAIN_WAIT="10m").uncertain_wait == 600_000


def test_an_ipv6_listener_gets_its_brackets_in_links() -> None:
    """RFC 3986 3.2.2."""
    assert read(LISTEN="[::1]:8600").public_url == "http://[::1]:8600"


def test_the_file_speaks_and_the_variable_wins(tmp_path: Path) -> None:
    """Keys are the variables' names in lower case; numbers and lists may be written as such."""
    file = tmp_path / "postclock.toml"
    file.write_text('mx_port = 2525\nlog = "warning"\nwebhook_allow = ["127.0.0.0/8", "10.0.0.0/8"]\n')
    settings = read(file, LOG="debug")
    assert settings.mx_port == 2525
    assert settings.log == "debug"
    assert settings.webhook_allow == ("127.0.0.0/8", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('colour = "red"', "colour: there is no such setting"),
        ("mx_port = 0", "mx_port: a port is a number"),
        ("mx_port = true", "mx_port: must be a text or a number"),
        ("settle_after = 1.5", "settle_after: must be a text or a number"),
        ("[mail]\nport = 1", "mail: there is no such setting"),
        ("what?", "Expected '='"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_the_file(tmp_path: Path, content: str, told: str) -> None:
    """In one line."""
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(BadSetting) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}: {told}")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """The default one need not."""
    with pytest.raises(BadSetting, match=r"missing\.toml"):
        read(tmp_path / "missing.toml")


def test_the_default_file_is_read_when_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the folder it is started in."""
    monkeypatch.chdir(tmp_path)
    assert read_settings(None, {}).log == "info"
    (tmp_path / "postclock.toml").write_text('log = "error"')
    assert read_settings(None, {}).log == "error"


@pytest.mark.parametrize("name", ["POSTCLOCK_COLOUR", "POSTCLOCK_log", "POSTCLOCK_"])
def test_an_unknown_variable_is_named(name: str) -> None:
    """A typing error must not pass for a setting; other programs' variables are theirs."""
    with pytest.raises(BadSetting, match=f"^{name}: there is no such setting$"):
        read_settings(Path(os.devnull), {name: "x"})
    assert read_settings(Path(os.devnull), {"PATH": "/bin"}).log == "info"


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"POSTCLOCK_COLOUR": "red"}, "postclock: POSTCLOCK_COLOUR: there is no such setting\n"),
        ({"POSTCLOCK_COURIER": "relay://user:s3cret@relay.example:x"}, "postclock: POSTCLOCK_COURIER: "),
    ],
)
def test_the_start_stops_with_one_line(tmp_path: Path, env: dict[str, str], told: str) -> None:
    """Exit status 1, no traceback, no password, and no data folder made."""
    done = run_postclock("serve", data=tmp_path / "var", env=env)
    assert done.returncode == 1
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stderr
    assert not (tmp_path / "var").exists()
