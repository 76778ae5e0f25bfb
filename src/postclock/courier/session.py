"""One SMTP conversation after its opening: MAIL, RCPT and DATA in one write, the body, the dot, its reply.

The key property: ``dot_sent`` is exact. It turns true with the write that holds the final dot and not before; as long as it
is false the server cannot have taken the message, and ``abort`` keeps it so.
"""

from typing import Final

from postclock.core.clock import Clock
from postclock.core.outcome import Outcome, Phase, Trouble, broken, refused_here, settled
from postclock.core.reply import Reply
from postclock.courier.body import END, PIECE, lines_are_whole, pieces, stuffed
from postclock.courier.capabilities import Capabilities
from postclock.courier.interface import Delivery, Envelope, OnPoint
from postclock.courier.timeouts import Timeouts
from postclock.courier.wire import Wire


class StaleConnection(Exception):
    """A kept connection had gone before MAIL was answered: the message may be sent on a fresh one and nobody is to blame."""


class Session:
    """An open conversation. Made by ``opening.open_session``; one ``deliver`` at a time."""

    def __init__(
        self, wire: Wire, *, host: str, capabilities: Capabilities, timeouts: Timeouts, clock: Clock, kept: bool = False
    ) -> None:
        self.wire = wire
        self.host = host
        self.capabilities = capabilities
        self.dot_sent = False
        self.served = 0
        """Messages handed to this session so far, refused ones included."""
        self.kept = kept
        """Whether it lay idle before; the pool sets it."""
        self.idle_since = 0.0
        self._timeouts = timeouts
        self._clock = clock
        self._unreset = False
        self._data_at_ms: int | None = None
        self._reply: Reply | None = None
        self._patience_for_one: tuple[float, ...] = (timeouts.mail, timeouts.rcpt, timeouts.data)

    @property
    def usable(self) -> bool:
        """Whether another message may be tried here."""
        return self.wire.trouble is None and not self.wire.transport.is_closing()

    def abort(self) -> None:
        """Cut the line; what was not handed to the transport never leaves."""
        self.wire.fail(Trouble.ABORTED)

    def quit(self) -> None:
        """Say QUIT and close (the reply is not waited for; nothing depends on it)."""
        self.wire.hang_up()

    async def deliver(
        self, envelope: Envelope, content: bytes | memoryview, on_point: OnPoint | None = None
    ) -> Delivery:
        """See ``interface.Connection``. Raises StaleConnection on a kept connection that turns out to be gone."""
        self.dot_sent = False
        self._data_at_ms = self._reply = None
        self.served += 1
        data = content if isinstance(content, bytes) else bytes(content)
        refusal = self._unfit(envelope, data)
        if refusal is None and not await _whole(data, self._clock):
            refusal = refused_here(554, "5.6.0", "The message has a bare CR or LF in it and cannot be sent")
        if refusal is not None:
            return self._delivery([refusal] * len(envelope.recipients))
        self.wire.busy = True
        try:
            return self._delivery(await self._transaction(envelope, data, on_point))
        except BaseException:
            # Cancelled, or the caller's hook failed: the conversation is in the middle of something and cannot go on.
            self.abort()
            raise
        finally:
            self.wire.busy = False
            if self.wire.stray is not None:
                self.wire.fail(Trouble.GARBAGE, f"spoke out of turn: {self.wire.stray}")

    # What the server offers decides what can be sent here at all.

    def _unfit(self, envelope: Envelope, content: bytes) -> Outcome | None:
        offers = self.capabilities
        if not offers.smtputf8 and _needs_utf8(envelope):
            # RFC 6531 3.2 (8): such a message must not be sent there; 5.6.7 is its code (section 3.5).
            return refused_here(553, "5.6.7", f"{self.host} does not take addresses beyond ASCII (SMTPUTF8)")
        if envelope.eight_bit and not offers.eight_bit_mime:
            return refused_here(554, "5.6.3", f"{self.host} does not take 8-bit content (8BITMIME)")
        size = envelope.size or len(content)
        if offers.size is not None and size > offers.size:
            return refused_here(552, "5.3.4", f"{size} octets are more than the {offers.size} that {self.host} takes")
        return None

    def _mail(self, envelope: Envelope, content: bytes) -> str:
        offers = self.capabilities
        line = f"MAIL FROM:<{envelope.mail_from}>"
        if offers.declares_size:
            line += f" SIZE={envelope.size or len(content)}"
        if envelope.eight_bit:
            line += " BODY=8BITMIME"
        if _needs_utf8(envelope):
            line += " SMTPUTF8"
        return line + "\r\n"

    # The transaction.

    async def _transaction(self, envelope: Envelope, content: bytes, on_point: OnPoint | None) -> list[Outcome]:
        if self._unreset:
            reset = await self.wire.ask(b"RSET\r\n", self._timeouts.command)
            if reset is None or reset.code != 250:
                return self._gone(reset, len(envelope.recipients))
            self._unreset = False
        if self.capabilities.pipelining:
            outcomes = await self._pipelined(envelope, content, on_point)
        else:
            outcomes = await self._in_lock_step(envelope, content, on_point)
        if None not in outcomes:
            return [o for o in outcomes if o is not None]
        failure = await self._body(content, on_point)
        if failure is None:
            replies = await self.wire.answers()
            if on_point is not None:
                on_point("reply_read")
            failure = self._judge(Phase.DOT, replies[0] if replies else None)
            assert failure is not None, "every reply to the dot settles"
        return _filled(outcomes, failure)

    async def _pipelined(self, envelope: Envelope, content: bytes, on_point: OnPoint | None) -> list[Outcome | None]:
        """MAIL, every RCPT and DATA in one write (RFC 2920); None in the result: the recipient awaits the body."""
        n = len(envelope.recipients)
        if n == 1:
            commands = f"{self._mail(envelope, content)}RCPT TO:<{envelope.recipients[0]}>\r\nDATA\r\n"
            patience = self._patience_for_one
        else:
            rcpts = "".join([f"RCPT TO:<{r}>\r\n" for r in envelope.recipients])
            commands = f"{self._mail(envelope, content)}{rcpts}DATA\r\n"
            patience = (self._timeouts.mail, *[self._timeouts.rcpt] * n, self._timeouts.data)
        self.wire.send(commands.encode(), patience)
        self._data_at_ms = self._clock.now_ms()
        if on_point is not None:
            on_point("mail_sent")
        replies = await self.wire.answers()
        if self._went_stale(replies[0] if replies else None):
            return [*self._gone(replies[0] if replies else None, n)]
        padded: list[Reply | None] = [*replies, *[None] * (n + 2 - len(replies))]
        go_on = (last := padded[-1]) is not None and settled(Phase.DATA, last) is None
        refused = self._judge(Phase.MAIL, padded[0])
        if refused is not None:
            if go_on:
                self.abort()  # it refused the sender and yet waits for a message: whatever we send now may be delivered
            return [refused] * n
        outcomes: list[Outcome | None] = []
        for reply in padded[1 : n + 1]:
            outcome = self._judge(Phase.RCPT, reply)
            outcomes.append(outcome)
            if outcome is not None and _ends_the_line(reply):
                return [*_filled(outcomes + [None] * (n - len(outcomes)), outcome)]
        if None in outcomes:
            failure = self._judge(Phase.DATA, last)
            if failure is not None:
                self._unreset = True
                return [*_filled(outcomes, failure)]
        elif go_on:
            # RFC 2920 3.1: DATA was taken although every recipient was refused; only a lone dot ends it.
            await self._lone_dot()
        else:
            self._unreset = True
        return outcomes

    async def _in_lock_step(self, envelope: Envelope, content: bytes, on_point: OnPoint | None) -> list[Outcome | None]:
        """One command, one reply, for servers that do not offer PIPELINING."""
        n = len(envelope.recipients)
        self.wire.send(self._mail(envelope, content).encode(), (self._timeouts.mail,))
        if on_point is not None:
            on_point("mail_sent")
        replies = await self.wire.answers()
        reply = replies[0] if replies else None
        if self._went_stale(reply):
            return [*self._gone(reply, n)]
        refused = self._judge(Phase.MAIL, reply)
        if refused is not None:
            return [refused] * n
        self._unreset = True
        outcomes: list[Outcome | None] = []
        for recipient in envelope.recipients:
            reply = await self.wire.ask(f"RCPT TO:<{recipient}>\r\n".encode(), self._timeouts.rcpt)
            outcome = self._judge(Phase.RCPT, reply)
            outcomes.append(outcome)
            if outcome is not None and _ends_the_line(reply):
                return [*_filled(outcomes + [None] * (n - len(outcomes)), outcome)]
        if None not in outcomes:
            return outcomes
        self._data_at_ms = self._clock.now_ms()
        failure = self._judge(Phase.DATA, await self.wire.ask(b"DATA\r\n", self._timeouts.data))
        if failure is not None:
            return [*_filled(outcomes, failure)]
        self._unreset = False
        return outcomes

    async def _body(self, content: bytes, on_point: OnPoint | None) -> Outcome | None:
        """Write the message; None once the final dot was handed over, else what stopped us before it."""
        wire = self.wire
        if len(content) <= PIECE:
            data = stuffed(content) + END
            if on_point is not None:
                half = (len(data) - len(END)) // 2
                if not await wire.drained(self._timeouts.block):
                    return self._cut_short()
                wire.transport.write(data[:half])
                on_point("data_half")
                data = data[half:]
        else:
            written, half_told = 0, on_point is None
            for piece in pieces(content):
                if not await wire.drained(self._timeouts.block):
                    return self._cut_short()
                wire.transport.write(piece)
                written += len(piece)
                if not half_told and on_point is not None and written * 2 >= len(content):
                    half_told = True
                    on_point("data_half")
            data = END
        # The dot goes last and alone when the body is large: only when all before it has left our buffers.
        if not wire.clear() and not await wire.drained(self._timeouts.block):
            return self._cut_short()
        self.dot_sent = True
        wire.send(data, (self._timeouts.dot,))
        if on_point is not None:
            on_point("dot_sent")
        return None

    def _cut_short(self) -> Outcome:
        """The line failed, or the server answered, before the dot."""
        if self.wire.trouble is None and self.wire.stray is not None:
            outcome = settled(Phase.BODY, self.wire.stray)
            self._reply = self.wire.stray
            self.abort()
            assert outcome is not None, "no reply lets a body go on"
            return outcome
        outcome = broken(Phase.BODY, self.wire.trouble or Trouble.LOST, self.wire.detail)
        self.abort()
        return outcome

    async def _lone_dot(self) -> None:
        reply = await self.wire.ask(END, self._timeouts.dot)
        if reply is None or reply.code == 421:
            self.abort()

    # Reading replies.

    def _judge(self, phase: Phase, reply: Reply | None) -> Outcome | None:
        """The outcome of a reply or of its absence. Cuts the line when the two sides no longer agree on where they are."""
        if reply is None:
            return broken(phase, self.wire.trouble or Trouble.LOST, self.wire.detail)
        self._reply = reply
        outcome = settled(phase, reply)
        if outcome is not None and outcome.state != "accepted" and _ends_the_line(reply):
            self.abort()
        return outcome

    def _went_stale(self, mail: Reply | None) -> bool:
        """Whether a kept connection had gone: no answer to MAIL at all, 421 (RFC 5321 3.8) or 503 (it lost our EHLO)."""
        if not self.kept:
            return False
        if mail is None:
            return self.wire.trouble in {Trouble.LOST, Trouble.TIMEOUT}
        return mail.code in {421, 503}

    def _gone(self, reply: Reply | None, n: int) -> list[Outcome]:
        trouble = self.wire.trouble
        self.abort()
        if self.kept and trouble is not Trouble.ABORTED:
            raise StaleConnection
        if reply is None:
            return [broken(Phase.MAIL, trouble or Trouble.LOST, self.wire.detail)] * n
        return [broken(Phase.MAIL, Trouble.GARBAGE, f"RSET was answered by {reply}")] * n

    def _delivery(self, outcomes: list[Outcome]) -> Delivery:
        return Delivery(
            outcomes=tuple(outcomes),
            reply=self._reply,
            data_at_ms=self._data_at_ms,
            replied_at_ms=self._clock.now_ms(),
            host=self.host,
            dot_sent=self.dot_sent,
        )


def _needs_utf8(envelope: Envelope) -> bool:
    return (
        envelope.smtputf8
        or not envelope.mail_from.isascii()
        or not all(recipient.isascii() for recipient in envelope.recipients)
    )


def _ends_the_line(reply: Reply | None) -> bool:
    """Whether a reply that stops a step also stops the conversation: none at all, 421, or one out of place."""
    return reply is None or reply.code == 421 or reply.code < 400


def _filled(outcomes: list[Outcome | None], rest: Outcome) -> list[Outcome]:
    return [rest if o is None else o for o in outcomes]


_LOOK: Final = 1 << 20


async def _whole(content: bytes, clock: Clock) -> bool:
    """``lines_are_whole`` for any size: a large one a mebibyte a turn of the loop (a millisecond each)."""
    if len(content) <= _LOOK:
        return lines_are_whole(content, 0, len(content))
    for at in range(0, len(content), _LOOK):
        if not lines_are_whole(content, at, min(at + _LOOK, len(content))):
            return False
        await clock.sleep(0)
    return True
