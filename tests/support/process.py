"""The real ``postclock`` in a process of its own: started in a data folder, spoken to, stopped, killed, frozen, started again.

A data folder is made ready before the start (tenant ``default``, a trusted domain, keys), by the same store that the command
line uses, so that a service costs a test little more than its imports.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar

from postclock.assembly import DKIM, check_key, secret_key
from postclock.core.account import ALL_SCOPES, Dialect
from postclock.core.errors import NotFound
from postclock.core.ids import IdSource
from postclock.core.message import Mode
from postclock.core.sending_domain import SealedKey
from postclock.mail.dkim.key import generate_rsa, load_key
from postclock.mail.dkim.record import txt_record
from postclock.runtime.clock import SystemClock
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.seal import Seal
from postclock.service.accounts import ApiKeys, public_key_id
from postclock.settings import Settings, read_settings
from postclock.store.sqlite.store import FILE
from postclock.stores import Opened, open_data

T = TypeVar("T")

POSTCLOCK = Path(sys.executable).parent / "postclock"
DOMAIN = "mail.example.com"
START_SECONDS = 60.0
"""Patience with a start on a busy machine."""


def environment(data: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without its POSTCLOCK_* variables, with a data folder, a free port and ``env``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POSTCLOCK_")}
    return clean | {"POSTCLOCK_DATA": str(data), "POSTCLOCK_LISTEN": "127.0.0.1:0"} | dict(env or {})


def run_postclock(
    *args: str, data: Path, env: Mapping[str, str] | None = None, seconds: float = START_SECONDS
) -> subprocess.CompletedProcess[str]:
    """One command, run to its end, in the folder above ``data``."""
    return subprocess.run(
        [str(POSTCLOCK), *args],
        env=environment(data, env),
        cwd=data.parent,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


class Service:
    """``postclock serve`` over ``folder``/var. Use as a context manager, or ``start`` and ``stop`` it.

    ``env`` holds further POSTCLOCK_* variables, ``args`` further arguments of ``serve``. ``domain`` is trusted for the tenant
    ``default``; None makes nothing before the start. Several may share a PostgreSQL store (POSTCLOCK_STORE, with
    POSTCLOCK_SECRET_KEY): one of them prepares it, and a key that one makes is good for all.
    """

    def __init__(
        self,
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        domain: str | None = DOMAIN,
        prepare: bool = True,
    ) -> None:
        self.data = folder / "var"
        self.env = dict(env or {})
        self.args = tuple(args)
        self._domain = domain
        self._folder = folder
        self._lines: list[str] = []
        self._said = threading.Condition()
        self._ended = True
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._url = ""
        self._key_ids: dict[str, str] = {}
        self._prepared = not prepare

    @property
    def settings(self) -> Settings:
        """What the process reads."""
        given = environment(self.data, self.env)
        return read_settings(Path(os.devnull), {k: v for k, v in given.items() if k.startswith("POSTCLOCK_")})

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return self._url

    @property
    def pid(self) -> int:
        """The process."""
        return self._running.pid

    @property
    def log(self) -> str:
        """Everything on stderr, of all its lives."""
        path = self._folder / "serve.log"
        return path.read_text("utf-8") if path.exists() else ""

    @property
    def stdout(self) -> str:
        """Everything on stdout, of the present life."""
        with self._said:
            return "".join(self._lines)

    @property
    def _running(self) -> "subprocess.Popen[str]":
        assert self._process is not None, "the service was not started"
        return self._process

    def start(self) -> Self:
        """Start it and wait until it listens. Raises AssertionError with its log when it does not."""
        return self.spawn().listening()

    def listening(self) -> Self:
        """Wait until it listens, after ``spawn``. Raises AssertionError with its log when it does not."""
        line = self.wait_for_line("listens on")
        self._url = line.split("listens on", 1)[1].strip()
        return self

    def spawn(self) -> Self:
        """Start it without waiting."""
        if self._domain is not None and not (self._prepared or (self.data / FILE).exists()):
            self.prepare()
        if self._reader is not None:
            self._reader.join()  # or the end of the former life would be taken for this one's
        self._lines, self._ended = [], False
        with (self._folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(POSTCLOCK), "serve", *self.args],
                env=environment(self.data, self.env),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._said:
                    self._lines.append(line)
                    self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()

    def wait_for_line(self, text: str, seconds: float = START_SECONDS) -> str:
        """The first line on stdout with ``text`` in it."""
        with self._said:

            def found() -> str | None:
                return next((line for line in self._lines if text in line), None)

            self._said.wait_for(lambda: found() is not None or self._ended, seconds)
            line = found()
        assert line is not None, f"no line with {text!r} on stdout; the log:\n{self.log}"
        return line

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Make sure that it is gone: SIGTERM, and SIGKILL if that takes long."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def terminate(self) -> None:
        """SIGTERM; ``wait`` tells how it ended."""
        self._running.terminate()

    def kill(self) -> int:
        """SIGKILL, and wait for the end."""
        self._running.kill()
        return self._running.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._running.send_signal(signal.SIGCONT)

    def wait(self, seconds: float = 30.0) -> int:
        """The exit status, once it ended."""
        return self._running.wait(seconds)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def cli(self, *args: str) -> "subprocess.CompletedProcess[str]":
        """Another command over the same data folder and settings, in a process of its own."""
        return run_postclock(*args, data=self.data, env=self.env)

    def cli_json(self, *args: str) -> Any:
        """What a command that must succeed printed with --json."""
        done = self.cli(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def key(
        self,
        scopes: Sequence[str] | None = None,
        environment: Mode = "live",
        dialect: Dialect = "scaisend",
        *,
        tenant: str = "default",
        read_messages: bool = True,
    ) -> str:
        """A new key's secret; all scopes when none are named (for sendara: admin). Works beside the process and without it."""
        if scopes is None:
            scopes = ["admin"] if dialect == "sendara" else [str(s) for s in ALL_SCOPES]

        async def make(store: Opened, keys: ApiKeys) -> str:
            owner = await store.accounts.tenant_named(tenant)
            made = await keys.make(
                owner,
                name="test",
                dialect=dialect,
                environment=environment,
                scopes=scopes,
                read_messages=read_messages,
            )
            self._key_ids[made.secret] = public_key_id(made.key)
            return made.secret

        return self.beside(
            lambda store: make(store, ApiKeys(store.accounts, SystemClock(), _ids(store), SystemEntropy()))
        )

    @property
    def key_ids(self) -> dict[str, str]:
        """Public ids of the keys made by ``key``, by their secrets."""
        return self._key_ids

    def beside(self, work: Callable[[Opened], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` with the store of the data folder, as a command beside the service would."""

        async def go() -> T:
            store = open_data(self.settings, serve=False)
            try:
                return await work(store)
            finally:
                store.close()

        return _in_thread(go)

    def prepare(self) -> None:
        """The tenant ``default`` and a trusted domain, before the first start. A shared store has its schema already."""
        domain = self._domain
        assert domain is not None
        seal = Seal(secret_key(self.settings))
        private = _private_key()
        key = load_key(domain, "pc1", private)

        async def make(store: Opened) -> None:
            await check_key(store, seal)
            now = SystemClock().now_ms()
            try:
                tenant = await store.accounts.tenant_named("default")
            except NotFound:
                tenant = await store.accounts.create_tenant("default", now)
            sealed = SealedKey(
                id=_ids(store).next(),
                domain=domain,
                selector=key.selector,
                algorithm=key.algorithm,
                sealed=seal.seal(DKIM, private),
                record=txt_record(key),
            )
            await store.domains.add_domain(tenant.id, domain, [sealed], now, trusted=True)

        self.beside(make)
        self._prepared = True


def _ids(store: Opened) -> IdSource:
    return IdSource(SystemClock(), store.ledger.owner.node, random.randrange(4000))


@lru_cache
def _private_key() -> bytes:
    # One key for all services of a run: making it is the slow part.
    return generate_rsa()


def _in_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end although the caller may have a loop of its own."""
    result: list[T] = []
    failure: list[BaseException] = []

    def go() -> None:
        try:
            result.append(asyncio.run(work()))
        except BaseException as error:  # handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]
