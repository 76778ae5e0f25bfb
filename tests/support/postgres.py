"""Real PostgreSQL servers on 127.0.0.1: started, killed, restarted, and followed by standbys that take over.

with Cluster() as primary, primary.standby() as standby:
    primary.require_standby()
    ...
    primary.kill()
    standby.promote()
"""

import asyncio
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Self

import asyncpg

from tests.support.postgres_programs import programs

HOST: Final = "127.0.0.1"
PORTS: Final = range(15_000, 30_000)
"""Below the ports that the kernel gives to outgoing connections: nobody takes ours while the server is down."""
PATIENCE: Final = 60.0
"""Seconds for a server to start, stop, promote or follow."""
LOOK_EVERY: Final = 0.005
"""Seconds between two looks at a fact that sends no signal."""
TRIES: Final = 20
"""Ports tried for a new server."""

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "wal_keep_size": "64MB",
    "autovacuum": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    # Files in the data folder: a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
}
QUICK: Final[Mapping[str, str]] = {"fsync": "off", "full_page_writes": "off"}
"""A server that need not outlive its machine. It does outlive ``kill``: what it wrote is the kernel's."""
SYNCHRONOUS: Final = "synchronous_standby_names"


class Cluster:
    """One server with a data folder and a port of its own, both kept until ``close``. Methods block; any thread may call them.

    ``durable`` False turns off fsync and full pages. ``settings`` are PostgreSQL's, as in postgresql.conf, and win over ours.
    """

    def __init__(self, *, durable: bool = True, settings: Mapping[str, str] | None = None) -> None:
        self.port = 0
        self._durable = durable
        self._given = dict(settings or {})
        self._settings = {**SETTINGS, **({} if durable else QUICK), **self._given}
        self._data: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._standbys: dict[str, Cluster] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the postmaster runs."""
        return self._server is not None and self._server.poll() is None

    @property
    def log(self) -> str:
        """What the server has said, over all its lives."""
        path = self._log_path
        return path.read_text(errors="replace") if path is not None and path.exists() else ""

    def dsn(self, database: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://postgres@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Start it, with recovery if it was killed, and return once it accepts connections. Nothing happens if it runs.

        RuntimeError with the end of its log if it does not start.
        """
        if self.alive:
            return
        if self._data is None:
            self._data = programs().new_data()
        tries = 1 if self.port else TRIES
        for left in reversed(range(tries)):
            self.port = self.port if tries == 1 else _free_port()
            try:
                self._start()
                break
            except RuntimeError:
                if not left or "Address already in use" not in self.log:
                    raise

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Shut it down: "fast" ends sessions and writes a checkpoint, "immediate" leaves recovery to the next start."""
        if self._server is not None and self.alive:
            self._server.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            try:
                self._server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError(f"PostgreSQL did not stop in {PATIENCE} s:\n{self.log[-4000:]}") from None

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it and start it again on the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL to the postmaster and each of its processes, as if the machine had lost its power; returns once all are gone."""
        server = self._server
        if server is None or not self.alive:
            return
        server.send_signal(signal.SIGSTOP)  # It must not start another process, nor recover from the loss of one.

        def childless() -> bool:
            children = _children(server.pid)
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            return not children

        _until(childless, "end of its processes", self)
        server.kill()
        server.wait(PATIENCE)

    def close(self) -> None:
        """End it and its standbys and remove their data."""
        for standby in self._standbys.values():
            standby.close()
        self._standbys.clear()
        self.stop("immediate")
        if self._data is not None:
            _free_shared_memory(self._data)
            shutil.rmtree(self._data, ignore_errors=True)
            assert self._log_path is not None
            self._log_path.unlink(missing_ok=True)
            self._data = None

    def sql(self, statement: str, *arguments: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of one statement on a connection of its own. asyncpg's errors."""

        async def ask() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.dsn(database), timeout=PATIENCE)
            try:
                return [tuple(row) for row in await connection.fetch(statement, *arguments)]
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:  # The caller's thread may have a loop already.
            return thread.submit(asyncio.run, ask()).result()

    def create_database(self, name: str, template: str | None = None) -> str:
        """Its DSN. A ``template`` is copied with all rows; nobody may be connected to it meanwhile."""
        copied = f" TEMPLATE {_quoted(template)}" if template is not None else ""
        self.sql(f"CREATE DATABASE {_quoted(name)}{copied}")
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Remove it and end the sessions in it, if it is there."""
        self.sql(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def configure(self, settings: Mapping[str, str]) -> None:
        """Change settings of a running server. New sessions have them when this returns, running ones a moment later.

        RuntimeError, and nothing is changed, if one is wrong or needs a restart.
        """
        assert self._server is not None
        before = self._settings
        self._settings = {**before, **settings}
        self._write_settings()
        if wrong := self.sql("SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL"):
            self._settings = before
            self._write_settings()
            raise RuntimeError(f"PostgreSQL does not take these settings: {wrong}")
        loaded = self.sql("SELECT pg_conf_load_time()")
        self._server.send_signal(signal.SIGHUP)
        _until(lambda: self.sql("SELECT pg_conf_load_time()") != loaded, "new settings", self)

    def standby(self) -> "Cluster":
        """A running hot standby that streams from this server, through a slot of its own name."""
        name = f"standby_{len(self._standbys) + 1}"
        self.sql("SELECT pg_create_physical_replication_slot($1, true)", name)
        data = programs().new_folder()
        source = f"host={HOST} port={self.port} user=postgres application_name={name}"
        words = ("--wal-method=stream", "--checkpoint=fast", "--no-sync", f"--slot={name}", f"--dbname={source}")
        programs().run("pg_basebackup", "-D", str(data), *words)
        (data / "standby.signal").touch()
        follow = {"primary_conninfo": source, "primary_slot_name": name}
        given = {setting: value for setting, value in self._given.items() if setting != SYNCHRONOUS}
        made = Cluster(durable=self._durable, settings={**given, **follow})
        made._data = data
        self._standbys[name] = made
        made.start()
        return made

    def require_standby(self) -> None:
        """From now on a commit is answered only when one of the standbys has it on disk. Returns once one is streaming."""
        self.configure({SYNCHRONOUS: f"FIRST 1 ({', '.join(self._standbys)})", "synchronous_commit": "on"})
        following = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"
        _until(lambda: self.sql(following), "synchronous standby", self)
        # Commits wait once the checkpointer has read the setting, and it reads before it begins a checkpoint. The signal may have come
        # between its reading and its first beginning, but not before the second.
        self.sql("CHECKPOINT")
        self.sql("CHECKPOINT")

    def promote(self) -> None:
        """Make a standby a primary on the next timeline; returns once it accepts writes."""
        assert self.sql("SELECT pg_promote(true, $1)", int(PATIENCE)) == [(True,)], self.log[-4000:]
        _until(lambda: self.sql("SELECT pg_is_in_recovery()") == [(False,)], "end of recovery", self)

    @property
    def _log_path(self) -> Path | None:
        return self._data.with_suffix(".log") if self._data is not None else None

    def _write_settings(self) -> None:
        assert self._data is not None
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in self._settings.items()]
        (self._data / "postgresql.conf").write_text("".join(lines) + f"port = {self.port}\n")

    def _start(self) -> None:
        assert self._data is not None
        assert self._log_path is not None
        self._write_settings()
        with self._log_path.open("ab") as log:
            self._server = programs().start("postgres", "-D", str(self._data), log=log)
        try:
            _until(self._ready, "connections", self)
        except BaseException:
            self._server.kill()
            self._server.wait(PATIENCE)
            raise

    def _ready(self) -> bool:
        """Whether the file that pg_ctl looks at as well says so."""
        assert self._data is not None
        assert self._server is not None
        if not self.alive:
            raise RuntimeError(f"PostgreSQL ended with {self._server.returncode}:\n{self.log[-4000:]}")
        lines = _lines(self._data / "postmaster.pid")
        return len(lines) > 7 and lines[0] == str(self._server.pid) and lines[7].strip() == "ready"


def _until(fact: Callable[[], object], name: str, server: Cluster) -> None:
    """Wait for a fact; RuntimeError with the end of the log if it does not come true in time."""
    ends = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not fact():
        if time.monotonic() > ends:
            raise RuntimeError(f"PostgreSQL: no {name} in {PATIENCE} s:\n{server.log[-4000:]}")
        pause.wait(LOOK_EVERY)


def _free_port() -> int:
    for _ in range(1000):
        port = secrets.choice(PORTS)
        with socket.socket() as tried, suppress(OSError):
            tried.bind((HOST, port))
            return port
    raise RuntimeError("no free port")


def _children(parent: int) -> list[int]:
    """The running children of a process; those that wait to be reaped hold nothing any more."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(ppid) == parent and state != "Z":
                    found.append(int(entry.name))
    return found


def _free_shared_memory(data: Path) -> None:
    """Remove the segment that a killed server left behind; its number is the last of the seventh line of the file."""
    lines = _lines(data / "postmaster.pid")
    if len(lines) > 6 and lines[6].split():
        ctypes.CDLL(None).shmctl(int(lines[6].split()[-1]), 0, None)  # 0 is IPC_RMID.


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
