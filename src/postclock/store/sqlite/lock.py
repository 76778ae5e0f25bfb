"""Who works in a data folder: one service at the most, any number of commands beside it, or one command all alone.

Locks of the kernel (flock), so a process that dies holds nothing. The service's lock is also the proof that every former owner
is dead.
"""

import fcntl
from pathlib import Path
from typing import IO, Final

from postclock.core.errors import PostclockError

SERVE: Final = "serve.lock"
COMMANDS: Final = "commands.lock"


class FolderTaken(PostclockError):
    """Another process has this data folder."""


class FolderLock:
    """What was taken; released with the process at the latest."""

    def __init__(self, *files: IO[bytes]) -> None:
        self._files = files

    def release(self) -> None:
        """Let others in."""
        for file in self._files:
            file.close()


def take_folder(folder: Path, *, alone: bool = False) -> FolderLock:
    """The folder for one ``serve``; ``alone``: for one command that bears neither a service nor other commands. Raises FolderTaken."""
    what = "stop it first" if alone else "one process per data folder (more processes need PostgreSQL)"
    serve = _lock(folder, SERVE, fcntl.LOCK_EX | fcntl.LOCK_NB, f"another serve uses {folder}: {what}")
    if not alone:
        return FolderLock(serve)
    try:
        commands = _lock(folder, COMMANDS, fcntl.LOCK_EX | fcntl.LOCK_NB, f"another command works in {folder}")
    except FolderTaken:
        serve.close()
        raise
    return FolderLock(serve, commands)


def join_folder(folder: Path) -> FolderLock:
    """A place beside a service and other commands. Raises FolderTaken while a command works alone."""
    return FolderLock(_lock(folder, COMMANDS, fcntl.LOCK_SH | fcntl.LOCK_NB, f"a command works in {folder} alone"))


def _lock(folder: Path, name: str, how: int, taken: str) -> IO[bytes]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = (folder / name).open("ab")
    try:
        fcntl.flock(file, how)
    except OSError as error:
        file.close()
        raise FolderTaken(taken) from error
    return file
