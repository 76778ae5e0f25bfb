"""What became of a recipient at the server: one table from (phase, what happened) to the verdict.

The one rule behind it: until the final dot was handed over, the server cannot have taken the mail, so a broken line is a
deferral. From the dot to its reply nobody can know, so a broken line is ``uncertain``. A reply is an answer in any phase.
"""

from enum import Enum
from typing import Final, Literal

import msgspec

from postclock.core.reply import MAX_KEPT, Reply

State = Literal["accepted", "deferred", "bounced", "uncertain"]


class Phase(Enum):
    """Where in the conversation something happened; the value is how it is named in reasons."""

    # Enum's own hash is a Python function, and the table is asked four times a message.
    __hash__ = object.__hash__

    CONNECT = "connecting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "sending the message"
    """From the 354 until the final dot was handed to the transport."""
    DOT = "the final dot"
    """After that, until its reply."""


class Trouble(Enum):
    """Why no reply came."""

    LOST = "the connection broke"
    TIMEOUT = "no reply in time"
    GARBAGE = "the server does not speak SMTP"
    TLS = "TLS failed"
    ABORTED = "given up by us"


class Verdict(Enum):
    """What the table says."""

    GO_ON = "the next step follows"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    UNCERTAIN = "uncertain"
    HOST = "a deferral that counts for the host and not for the message"


_GO, _ACC, _DEF, _BOU, _UNC, _HOST = (
    Verdict.GO_ON,
    Verdict.ACCEPTED,
    Verdict.DEFERRED,
    Verdict.BOUNCED,
    Verdict.UNCERTAIN,
    Verdict.HOST,
)

# 552 to RCPT means "too many recipients" and is to be taken as 452 (RFC 5321 4.5.3.1.10). 421 closes the channel whatever it
# answers (3.8). A 2xx or 3xx where the phase does not know it means that the two sides disagree on where they are.
_COLUMNS: Final = ("2xx", "3xx", "4xx", "421", "5xx", "552", "broken")
_TABLE: Final[dict[Phase, tuple[Verdict, ...]]] = {
    #                2xx    3xx    4xx    421    5xx    552    broken, silent, garbage, aborted
    Phase.CONNECT:  (_GO,   _HOST, _HOST, _HOST, _HOST, _HOST, _HOST),
    Phase.EHLO:     (_GO,   _HOST, _HOST, _HOST, _HOST, _HOST, _HOST),
    Phase.STARTTLS: (_GO,   _HOST, _HOST, _HOST, _HOST, _HOST, _HOST),
    Phase.AUTH:     (_GO,   _GO,   _HOST, _HOST, _HOST, _HOST, _HOST),
    Phase.MAIL:     (_GO,   _DEF,  _DEF,  _HOST, _BOU,  _BOU,  _DEF),
    Phase.RCPT:     (_GO,   _DEF,  _DEF,  _HOST, _BOU,  _DEF,  _DEF),
    Phase.DATA:     (_DEF,  _GO,   _DEF,  _HOST, _BOU,  _BOU,  _DEF),
    Phase.BODY:     (_DEF,  _DEF,  _DEF,  _HOST, _BOU,  _BOU,  _DEF),
    Phase.DOT:      (_ACC,  _UNC,  _DEF,  _HOST, _BOU,  _BOU,  _UNC),
}  # fmt: skip
_STATES: Final[dict[Verdict, State]] = {
    _ACC: "accepted",
    _DEF: "deferred",
    _BOU: "bounced",
    _UNC: "uncertain",
    _HOST: "deferred",
}
_BROKEN: Final = _COLUMNS.index("broken")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one recipient in one attempt.

    ``reply`` is the answer that decided it, or None when none came; then ``reason`` says why in words. ``host_trouble``: the
    host is at fault (a 421), do not count it against the message. ``local``: the reply is our own, the server was not asked.
    """

    state: State
    phase: Phase
    reply: Reply | None = None
    reason: str = ""
    host_trouble: bool = False
    local: bool = False

    @property
    def text(self) -> str:
        """One line for people: the reply, or why there was none."""
        return self.reason or str(self.reply)


def column(code: int) -> int:
    """The column of ``_TABLE`` a reply code belongs to."""
    match code:
        case 421:
            return 3
        case 552:
            return 5
        case _:
            return (0, 1, 2, 4)[code // 100 - 2]


def judge(phase: Phase, reply: Reply | Trouble) -> Verdict:
    """What the table says."""
    return _TABLE[phase][_BROKEN if isinstance(reply, Trouble) else column(reply.code)]


def settled(phase: Phase, reply: Reply) -> Outcome | None:
    """The outcome a reply brings, or None when the conversation goes on."""
    verdict = _TABLE[phase][column(reply.code)]
    if verdict is _GO:
        return None
    reason = ""
    if reply.code < 400 and verdict is not _ACC:
        reason = f"{phase.value}: unexpected reply: {reply}"[:MAX_KEPT]
    return Outcome(state=_STATES[verdict], phase=phase, reply=reply, reason=reason, host_trouble=verdict is _HOST)


def broken(phase: Phase, trouble: Trouble, detail: str = "") -> Outcome:
    """The outcome when the line breaks, is silent or talks nonsense in ``phase``."""
    verdict = _TABLE[phase][_BROKEN]
    reason = f"{phase.value}: {trouble.value}" + (f" ({detail})" if detail else "")
    return Outcome(state=_STATES[verdict], phase=phase, reason=reason[:MAX_KEPT], host_trouble=verdict is _HOST)


def refused_here(code: int, enhanced: str, text: str) -> Outcome:
    """A bounce of our own, before anything was sent (what the server offers cannot carry this mail)."""
    return Outcome(state="bounced", phase=Phase.MAIL, reply=Reply(code, enhanced, text), local=True)
