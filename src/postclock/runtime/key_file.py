"""The secret key as a file of the data folder: 64 hex characters, 0600, written whole or not at all."""

import os
from pathlib import Path

from postclock.core.errors import PostclockError


class BadKeyFile(PostclockError):
    """The file does not hold a secret key."""


def read_key(path: Path) -> bytes:
    """The 32 octets in the file. Raises BadKeyFile, OSError."""
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise BadKeyFile(f"{path} does not hold 64 hex characters")
    return key


def make_key(path: Path, key: bytes) -> bytes:
    """Write the key unless there is one already; the key that is there now. Two processes that start at once agree on one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    _write(draft, key)
    try:
        os.link(draft, path)
    except FileExistsError:
        return read_key(path)
    finally:
        draft.unlink()
    _sync(path.parent)
    return key


def write_key(path: Path, key: bytes) -> None:
    """Write the key in the place of whatever is there, in one step that survives a power cut."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    _write(draft, key)
    move_key(draft, path)


def move_key(source: Path, target: Path) -> None:
    """Put one key file in the place of another, in one step that survives a power cut."""
    source.replace(target)
    _sync(target.parent)


def _write(path: Path, key: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
