"""A lean SMTP server in a thread of its own: it takes every mail, keeps it, and answers as a test tells it to.

    with Sink() as sink, Service(tmp_path, env={"POSTCLOCK_COURIER": sink.url}) as service:
        ...
        [mail] = sink.wait_for(1)

``sink.answer("rcpt", "450 4.2.0 later")`` sets what a stage says; ``sink.hold("dot")`` keeps the answer back until it is let go, and
``sink.slow("dot", 0.2)`` gives each answer late: a mail is kept before that.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

Stage = Literal["connect", "ehlo", "mail", "rcpt", "data", "dot", "rset", "quit"]
EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 31457280", "ENHANCEDSTATUSCODES")
DROP = "DROP"
"""An answer: close the connection without a word."""

Answer = str | Callable[[str], str | None]
"""A reply line (or DROP), or a function of the command's argument; None from it means the usual reply."""

_USUAL: dict[Stage, str] = {
    "connect": "220 sink.test ESMTP",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go ahead",
    "dot": "250 2.0.0 kept",
    "rset": "250 2.0.0 ok",
    "quit": "221 2.0.0 bye",
}


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it came. ``received_at``: the final dot was read; ``data_at``: the DATA command (Unix seconds)."""

    mail_from: str
    rcpts: tuple[str, ...]
    content: bytes
    received_at: float
    data_at: float
    parameters: str = ""
    """What followed the address in MAIL."""
    accepted: bool = True
    """Whether the final dot was answered with 250."""


@dataclass(slots=True)
class Hold:
    """Answers kept back at a stage; ``held`` is set when one is."""

    _sink: "Sink"
    stage: Stage
    held: threading.Event = field(default_factory=threading.Event)
    conversations: "list[tuple[_Conversation, str]]" = field(default_factory=list)

    def wait(self, seconds: float = 30.0) -> None:
        """Until an answer is kept back."""
        assert self.held.wait(seconds), f"nothing came to {self.stage}"

    def release(self, answer: str | None = None) -> None:
        """Say what was kept back (or ``answer``), and keep nothing back any more."""
        self._sink.call(self._sink.release, self, answer)


class Sink:
    """The server. All methods may be called from any thread."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, extensions: tuple[str, ...] = EXTENSIONS) -> None:
        self._host = host
        self.port = port
        self.extensions = extensions
        self.mails: list[Mail] = []
        """Taken with 250, in order."""
        self.refused: list[Mail] = []
        """Whose final dot was not answered with 250."""
        self.commands: list[str] = []
        self.connections = 0
        self._answers: dict[Stage, deque[Answer]] = {}
        self._always: dict[Stage, Answer] = {}
        self._holds: dict[Stage, Hold] = {}
        self.late: dict[Stage, float] = {}
        self._came = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self.open: set[_Conversation] = set()

    @property
    def url(self) -> str:
        """The value for POSTCLOCK_COURIER."""
        return f"relay://{self._host}:{self.port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen; on the same port as before when it was stopped."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._main, args=(ready,), name="sink", daemon=True)
        self._thread.start()
        assert ready.wait(10), "the sink does not listen"
        return self

    def stop(self) -> None:
        """Close the port and cut every conversation."""
        if self._loop is not None and self._thread is not None:
            self.call(self._end)
            self._thread.join()
            self._loop = None

    def call(self, work: Callable[..., None], *args: object) -> None:
        """Run something in the server's thread."""
        assert self._loop is not None, "the sink does not run"
        self._loop.call_soon_threadsafe(work, *args)

    def answer(self, stage: Stage, *answers: Answer, always: bool = False) -> None:
        """What the next commands of a stage are answered with, one after the other; ``always``: the last one stays."""
        if always:
            self._always[stage] = answers[-1]
            answers = answers[:-1]
        self._answers.setdefault(stage, deque()).extend(answers)

    def usual(self) -> None:
        """Forget every answer that was set."""
        self._answers.clear()
        self._always.clear()

    def hold(self, stage: Stage) -> Hold:
        """Keep the answers of a stage back from now on."""
        self._holds[stage] = hold = Hold(self, stage)
        return hold

    def slow(self, stage: Stage, seconds: float) -> None:
        """Answer a stage so much later from now on; 0: at once again. What is answered has been done before."""
        self.late[stage] = seconds

    def wait_for(self, n: int, seconds: float = 30.0) -> list[Mail]:
        """All mails, once there are ``n``. Blocks; in a coroutine use ``arrived``."""
        with self._came:
            self._came.wait_for(lambda: len(self.mails) >= n, seconds)
            mails = list(self.mails)
        assert len(mails) >= n, f"{len(mails)} of {n} mails came in {seconds} s; heard last: {self.commands[-5:]}"
        return mails

    async def arrived(self, n: int, seconds: float = 30.0) -> list[Mail]:
        """``wait_for`` for coroutines."""
        return await asyncio.to_thread(self.wait_for, n, seconds)

    def wait_for_refused(self, n: int, seconds: float = 30.0) -> list[Mail]:
        """All mails whose final dot was refused, once there are ``n``."""
        with self._came:
            self._came.wait_for(lambda: len(self.refused) >= n, seconds)
            mails = list(self.refused)
        assert len(mails) >= n, f"{len(mails)} of {n} mails were refused"
        return mails

    def cut(self) -> None:
        """Cut every conversation; go on listening."""
        self.call(self._cut)

    # In the server's thread.

    def _main(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self._loop = loop = asyncio.get_running_loop()
            self._over = asyncio.Event()
            server = await loop.create_server(lambda: _Conversation(self), self._host, self.port, backlog=512)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await self._over.wait()
            server.close()
            self._cut()

        asyncio.run(serve())

    def _end(self) -> None:
        self._over.set()

    def _cut(self) -> None:
        for conversation in list(self.open):
            conversation.transport.abort()

    def release(self, hold: Hold, answer: str | None) -> None:
        """Let go what is kept back (in the server's thread: call ``Hold.release``)."""
        if self._holds.get(hold.stage) is hold:
            del self._holds[hold.stage]
        for conversation, usual in hold.conversations:
            conversation.resume(hold.stage, answer or usual)

    def say(self, conversation: "_Conversation", stage: Stage, argument: str, usual: str) -> str | None:
        """What to answer; None when it is kept back."""
        queue = self._answers.get(stage)
        chosen: Answer | None = queue.popleft() if queue else self._always.get(stage)
        text = chosen(argument) if callable(chosen) else chosen
        if stage in self._holds:
            hold = self._holds[stage]
            hold.conversations.append((conversation, text or usual))
            hold.held.set()
            return None
        return text or usual

    def keep(self, mail: Mail) -> None:
        """Keep a mail and wake who waits."""
        with self._came:
            (self.mails if mail.accepted else self.refused).append(mail)
            self._came.notify_all()


class _Conversation(asyncio.Protocol):
    """One connection: pipelined commands are read from one buffer, answered in order."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_data = False
        self._searched = 0
        self._waiting = False
        self._mail_from, self._parameters = "", ""
        self._rcpts: list[str] = []
        self._argument = ""
        self._data_at = 0.0
        self._content = b""
        self._received_at = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._sink.open.add(self)
        self._sink.connections += 1
        self._ask("connect", "")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._sink.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._work()

    def _work(self) -> None:
        while not self._waiting and not self.transport.is_closing():
            if self._in_data:
                # The CR LF before the first line was put in front when DATA began.
                end = self._buffer.find(b"\r\n.\r\n", self._searched)
                if end < 0:
                    self._searched = max(0, len(self._buffer) - 4)
                    return
                self._content = bytes(self._buffer[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
                del self._buffer[: end + 5]
                self._in_data = False
                self._received_at = time.time()
                self._ask("dot", "")
            else:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    return
                line = self._buffer[:end].decode("utf-8", "replace")
                del self._buffer[: end + 2]
                self._command(line)

    def _command(self, line: str) -> None:
        self._sink.commands.append(line)
        verb, _, argument = line.partition(" ")
        match verb.upper():
            case "EHLO" | "HELO":
                self._ask("ehlo", argument)
            case "MAIL":
                self._mail_from, self._parameters = _path(argument)
                self._rcpts = []
                self._ask("mail", argument)
            case "RCPT":
                self._ask("rcpt", _path(argument)[0])
            case "DATA":
                self._data_at = time.time()
                self._ask("data", "") if self._rcpts else self._write("554 5.5.1 no valid recipients")
            case "RSET":
                self._rcpts = []
                self._ask("rset", "")
            case "QUIT":
                self._ask("quit", "")
            case "NOOP":
                self._write("250 2.0.0 ok")
            case _:
                self._write("500 5.5.2 what?")

    def _ask(self, stage: Stage, argument: str) -> None:
        self._argument = argument
        usual = "250-sink.test\n" + "\n".join(f"250-{e}" for e in self._sink.extensions)
        usual = usual[: usual.rindex("250-")] + "250 " + usual[usual.rindex("250-") + 4 :]
        text = self._sink.say(self, stage, argument, usual if stage == "ehlo" else _USUAL[stage])
        if text is None:
            self._waiting = True
        else:
            self._answered(stage, text)

    def resume(self, stage: Stage, text: str) -> None:
        """An answer that was kept back is given."""
        self._waiting = False
        if not self.transport.is_closing():
            self._answered(stage, text)
            self._work()

    def _answered(self, stage: Stage, text: str) -> None:
        positive = text[:1] in "23"
        match stage:
            case "rcpt" if positive:
                self._rcpts.append(self._argument)
            case "data" if text.startswith("354"):
                self._in_data = True
                self._searched = 0
                self._buffer[:0] = b"\r\n"
            case "dot":
                mail = Mail(
                    self._mail_from,
                    tuple(self._rcpts),
                    self._content,
                    self._received_at,
                    self._data_at,
                    self._parameters,
                    positive,
                )
                self._rcpts, self._content = [], b""
                self._sink.keep(mail)
            case _:
                pass
        if seconds := self._sink.late.get(stage):
            self._waiting = True
            asyncio.get_running_loop().call_later(seconds, self._say_late, stage, text)
        else:
            self._say(stage, text)

    def _say(self, stage: Stage, text: str) -> None:
        self._write(text)
        if stage == "quit" or text.startswith("421"):
            self.transport.close()

    def _say_late(self, stage: Stage, text: str) -> None:
        self._waiting = False
        if not self.transport.is_closing():
            self._say(stage, text)
            self._work()

    def _write(self, text: str) -> None:
        if text == DROP:
            self.transport.abort()
        else:
            self.transport.write(text.replace("\n", "\r\n").encode() + b"\r\n")


def _path(argument: str) -> tuple[str, str]:
    """The address between the angle brackets, and what follows."""
    address, _, rest = argument.partition("<")[2].partition(">")
    return address, rest.strip()
