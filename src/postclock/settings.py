"""Settings: one typed record, read once from a TOML file and POSTCLOCK_* variables. Nobody else reads the environment.

An unknown key or variable, or a bad value, stops the start with one line that names it.
"""

import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

PREFIX: Final = "POSTCLOCK_"
DEFAULT_FILE: Final = "postclock.toml"


class BadSetting(Exception):
    """A setting that cannot stand; the message names it and says what would do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an operator may say. Durations in milliseconds."""

    data: Path = Path("var")
    listen: tuple[str, int] = ("127.0.0.1", 8600)
    store: str = "sqlite"
    courier: str = "inbox"
    dns: str = ""
    mx_port: int = 25
    hostname: str = ""
    public_url: str = ""
    secret_key: bytes = b""
    settle_after: int = 0
    final_reply_timeout: int = 600_000
    uncertain_wait: int = 660_000
    give_up_after: int = 72 * 3_600_000
    return_domain: str = ""
    stop_grace: int = 8_000
    max_lateness: int = 24 * 3_600_000
    keep_messages: int = 90 * 86_400_000
    keep_bodies: int = 30 * 86_400_000
    keep_events: int = 90 * 86_400_000
    webhook_allow: tuple[str, ...] = ()
    log: str = "info"


_DURATION: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LEVELS: Final = ("debug", "info", "warning", "error")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def _folder(text: str) -> Path:
    if not text:
        raise ValueError("a folder has a name")
    return Path(text)


def _duration(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("a duration is a number and a unit: 500ms, 30s, 10m, 24h or 90d")
    return int(match[1]) * _UNITS[match[2]]


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or _PORT.fullmatch(port) is None or int(port) > 65535 or not host.isprintable():
        raise ValueError("an address is host:port, such as 127.0.0.1:8600 or [::1]:8600")
    return host, int(port)


def _port(text: str) -> int:
    if _PORT.fullmatch(text) is None or not 0 < int(text) < 65536:
        raise ValueError("a port is a number from 1 to 65535")
    return int(text)


def _hostname(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise ValueError("a host name has letters, digits, dots and hyphens")
    return text.lower()


def _domain(text: str) -> str:
    return _hostname(text) if text else ""


def _secret(text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise ValueError("the secret key is 64 hex characters (32 octets)")
    return bytes.fromhex(text)


def _courier(text: str) -> str:
    if text not in ("inbox", "direct") and not text.startswith(("relay://", "relays://")):
        raise ValueError("a courier is inbox, relay://[user:pass@]host:port, relays://… or direct")
    return text


def _store(text: str) -> str:
    if text != "sqlite" and not text.startswith("postgresql://"):
        raise ValueError("a store is sqlite or postgresql://…")
    return text


def _level(text: str) -> str:
    if text.lower() not in _LEVELS:
        raise ValueError(f"a level is one of {', '.join(_LEVELS)}")
    return text.lower()


def _resolver(text: str) -> str:
    if text and _address(text)[1] == 0:
        raise ValueError("a resolver is host:port, such as 127.0.0.1:53")
    return text


def _url(text: str) -> str:
    if text and re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", text) is None:
        raise ValueError("a public URL begins with http:// or https://")
    return text.rstrip("/")


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "data": _folder,
    "listen": _address,
    "store": _store,
    "courier": _courier,
    "dns": _resolver,
    "mx_port": _port,
    "hostname": _hostname,
    "public_url": _url,
    "secret_key": _secret,
    "settle_after": _duration,
    "final_reply_timeout": _duration,
    "uncertain_wait": _duration,
    "give_up_after": _duration,
    "return_domain": _domain,
    "stop_grace": _duration,
    "max_lateness": _duration,
    "keep_messages": _duration,
    "keep_bodies": _duration,
    "keep_events": _duration,
    "webhook_allow": _networks,
    "log": _level,
}


def read_settings(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings: the file's (``postclock.toml`` when present), the variables over them. Raises BadSetting."""
    given = _from_file(file)
    for name, value in (os.environ if environment is None else environment).items():
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX).lower()
        if key not in _READERS or name != name.upper():
            raise BadSetting(f"{name}: there is no such setting")
        given[key] = (name, value)
    values: dict[str, Any] = {}
    for key, (name, text) in given.items():
        try:
            values[key] = _READERS[key](text)
        except ValueError as error:
            raise BadSetting(f"{name}: {error}") from error
    return _completed(values)


def url_of(host: str, port: int) -> str:
    """Where a listener is found; an IPv6 address gets its brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _from_file(file: Path | None) -> dict[str, tuple[str, str]]:
    path = file if file is not None else Path(DEFAULT_FILE)
    if file is None and not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path}: {error}") from error
    given: dict[str, tuple[str, str]] = {}
    for key, value in content.items():
        if key not in _READERS:
            raise BadSetting(f"{path}: {key}: there is no such setting")
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            value = ",".join(value)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise BadSetting(f"{path}: {key}: must be a text or a number")
        given[key] = (f"{path}: {key}", str(value))
    return given


def _completed(values: dict[str, Any]) -> Settings:
    courier = values.get("courier", "inbox")
    if "settle_after" not in values:
        values["settle_after"] = 0 if courier == "inbox" else _duration("24h")
    if not values.get("hostname"):
        name = socket.getfqdn().lower()
        values["hostname"] = name if _HOST.fullmatch(name) else "localhost"
    settings = Settings(**values)
    if settings.uncertain_wait < settings.final_reply_timeout:
        raise BadSetting(
            "POSTCLOCK_UNCERTAIN_WAIT: must be at least POSTCLOCK_FINAL_REPLY_TIMEOUT, or a mail would be sent again while its reply may still come"
        )
    if not settings.public_url:
        settings = msgspec.structs.replace(settings, public_url=url_of(*settings.listen))
    return settings
