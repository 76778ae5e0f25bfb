"""The receiving end: an SMTP server that notes every RCPT, DATA and final dot with its time, and dies in any phase it is told to.

A mail counts as received when its final dot was read, whether an answer followed or not: that is what a recipient would see.
"""

import asyncio
import re
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from postclock.core.clock import Clock
from postclock.torture.history import Attempt, Contact

Stage = Literal["connect", "ehlo", "mail", "rcpt", "data", "body", "dot"]
Act = Literal["drop", "silence", "4xx", "5xx", "421", "drop unread"]

STAGES: Final[dict[Stage, tuple[Act, ...]]] = {
    "connect": ("drop", "421", "silence"),
    "ehlo": ("drop", "421", "silence"),
    "mail": ("drop", "4xx", "5xx", "421"),
    "rcpt": ("drop", "4xx", "5xx", "421", "silence"),
    "data": ("drop", "4xx", "5xx", "421", "silence"),
    "body": ("drop",),
    "dot": ("drop", "drop unread", "silence", "4xx", "5xx", "421"),
}
"""What may happen in each phase. ``drop`` at the dot: read, kept, and never answered; ``drop unread``: the line breaks first."""

_LINES: Final[dict[Act, str]] = {
    "4xx": "451 4.3.0 try again later",
    "5xx": "550 5.7.1 not wanted",
    "421": "421 4.3.2 going away",
}
_USUAL: Final[dict[Stage, str]] = {
    "connect": "220 sink ESMTP",
    "ehlo": "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 31457280",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go on",
    "dot": "250 2.0.0 taken",
}
BODY_END: Final = b"\r\n.\r\n"
RCPT: Final = re.compile(rb"RCPT TO:<([^@>]{1,64})@", re.IGNORECASE)
LINE_OCTETS: Final = 4_096
"""A longer line without an end is no SMTP: the conversation is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """For a while, ``act`` happens at ``stage`` in a share of the conversations."""

    stage: Stage
    act: Act
    chance: float


class Sink:
    """The server. ``contacts`` is what it saw, by token; ``mood`` may be set at any time (None: well behaved)."""

    def __init__(self, clock: Clock, dice: Random) -> None:
        self.clock = clock
        self.contacts: dict[str, Contact] = {}
        self.received = 0
        self.port = 0
        self.open: set[_Conversation] = set()
        self.silent: set[_Conversation] = set()
        self._dice = dice
        self._mood: Mood | None = None
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The value of POSTCLOCK_COURIER."""
        return f"relay://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Listen; on the same port as before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Conversation(self), "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    def vanish(self) -> None:
        """Close the port and cut every conversation."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for conversation in tuple(self.open):
            conversation.transport.abort()

    @property
    def mood(self) -> Mood | None:
        """What happens now."""
        return self._mood

    @mood.setter
    def mood(self, mood: Mood | None) -> None:
        self._mood = mood
        for conversation in tuple(self.silent):
            conversation.transport.abort()

    def act_at(self, stage: Stage) -> Act | None:
        """What happens at this stage of a conversation, now; None: the usual."""
        mood = self._mood
        return mood.act if mood is not None and mood.stage == stage and self._dice.random() < mood.chance else None

    def seen(self, token: str) -> Contact:
        """The contact of a token, made when it is new."""
        found = self.contacts.get(token)
        if found is None:
            found = self.contacts[token] = Contact(seen_at=self.clock.now_ms())
        return found


class _Conversation(asyncio.Protocol):
    """One connection: pipelined commands out of one buffer, answered in order."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._attempts: list[Attempt] | None = None
        """The attempts of this DATA while its body is read."""
        self._searched = 0
        self._is_untried = True
        """Whether chance may still break this body."""
        self._silent = False
        self._refused_mail = ""
        self._tokens: list[str] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is none by inheritance
        self._sink.open.add(self)
        self._say("connect")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._sink.open.discard(self)
        self._sink.silent.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._silent and not self.transport.is_closing():
            if not (self._body() if self._attempts is not None else self._line()):
                return

    def _line(self) -> bool:
        """Answer one command; False when there is no whole one."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > LINE_OCTETS:
                self.transport.abort()
            return False
        line = self._buffer[:end].decode("utf-8", "replace")
        del self._buffer[: end + 2]
        match line[:4].upper():
            case "EHLO" | "HELO":
                self._say("ehlo")
            case "MAIL":
                self._tokens = []
                reply = self._say("mail")
                self._refused_mail = reply if reply[:1] in ("4", "5") else ""
            case "RCPT":
                self._rcpt(line)
            case "DATA":
                self._data()
            case "QUIT":
                self.transport.write(b"221 2.0.0 bye\r\n")
                self.transport.close()
            case "RSET" | "NOOP":
                self.transport.write(b"250 2.0.0 ok\r\n")
            case _:
                self.transport.write(b"500 5.5.2 what?\r\n")
        return True

    def _rcpt(self, line: str) -> None:
        token = line.partition("<")[2].partition("@")[0]
        contact = self._sink.seen(token)
        if self._refused_mail:
            contact.refused = contact.refused or self._refused_mail.startswith("5")
            self.transport.write(b"503 5.5.1 MAIL first\r\n")
            return
        reply = self._say("rcpt")
        if reply.startswith("250"):
            self._tokens.append(token)
        elif reply.startswith("5"):
            contact.refused = True

    def _data(self) -> None:
        if not self._tokens:
            self.transport.write(b"554 5.5.1 no valid recipients\r\n")
            return
        reply = self._say("data")
        if reply.startswith("354"):
            now = self._sink.clock.now_ms()
            self._attempts = [Attempt(data_at=now) for _ in self._tokens]
            for token, attempt in zip(self._tokens, self._attempts, strict=True):
                self._sink.seen(token).attempts.append(attempt)
            self._searched, self._is_untried = 0, True
            self._buffer[:0] = b"\r\n"  # so that a dot on the first line ends the body as well
        elif reply.startswith("5"):
            self._refuse()

    def _body(self) -> bool:
        """Read on in a body; False while its end is not there."""
        assert self._attempts is not None
        if self._is_untried and len(self._buffer) > len(BODY_END):
            self._is_untried = False
            if self._sink.act_at("body") is not None:
                self.transport.abort()
                return False
        end = self._buffer.find(BODY_END, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(BODY_END) + 1)
            return False
        del self._buffer[: end + len(BODY_END)]
        attempts, self._attempts = self._attempts, None
        self._dot(attempts)
        return True

    def _dot(self, attempts: list[Attempt]) -> None:
        act = self._sink.act_at("dot")
        if act == "drop unread":
            self.transport.abort()
            return
        reply = self._do("dot", act)
        for attempt in attempts:
            attempt.complete = True
            attempt.reply = reply
            self._sink.received += attempt.is_copy
        if reply.startswith("5"):
            self._refuse()

    def _refuse(self) -> None:
        for token in self._tokens:
            self._sink.seen(token).refused = True

    def _say(self, stage: Stage) -> str:
        return self._do(stage, self._sink.act_at(stage))

    def _do(self, stage: Stage, act: Act | None) -> str:
        """Do it; what was answered, empty when nothing was."""
        match act:
            case "drop" | "drop unread":
                self._look_ahead()
                self.transport.abort()
                return ""
            case "silence":
                self._silent = True
                self._sink.silent.add(self)
                return ""
            case None:
                reply = _USUAL[stage]
            case _:
                reply = _LINES[act]
        self.transport.write(reply.encode() + b"\r\n")
        if reply.startswith("421"):
            self._look_ahead()
            self.transport.close()
        return reply

    def _look_ahead(self) -> None:
        """Recipients named behind the command at which the line ends: they came on time, it is not they who are late."""
        for token in RCPT.findall(self._buffer):
            self._sink.seen(token.decode("ascii", "replace"))
