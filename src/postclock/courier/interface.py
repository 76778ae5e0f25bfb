"""What the engine knows of couriers: envelopes go in, an outcome per recipient comes out.

A message reaches this floor after its departure was made durable. Nothing of it, not even its MAIL command, is written before
``deliver`` is called.
"""

import re
from collections.abc import Callable
from typing import Final, Literal, Protocol

import msgspec

from postclock.core.errors import PostclockError
from postclock.core.outcome import Outcome, Phase
from postclock.core.reply import Reply

Point = Literal["mail_sent", "data_half", "dot_sent", "reply_read"]
OnPoint = Callable[[Point], None]
"""Called as a conversation passes a point; for tests that kill or cut there."""

# A line end in an address would end the command and begin another one.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One SMTP transaction. Addresses as they go over the wire; raises ValueError for one with a control character in it.

    ``mail_from`` may be empty (the null return path). ``size`` in octets; 0: as many as the content has. ``eight_bit``: the
    content has octets above 127. ``smtputf8``: an address or a header is not ASCII (RFC 6531).
    """

    mail_from: str
    recipients: tuple[str, ...]
    size: int = 0
    smtputf8: bool = False
    eight_bit: bool = False

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("an envelope needs a recipient")
        if _CONTROLS.search(self.mail_from) or any(_CONTROLS.search(r) for r in self.recipients):
            raise ValueError("an address has a control character in it")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction brought.

    ``outcomes`` in the order of the envelope's recipients. ``data_at_ms``: the write with the DATA command, None when it
    was never written; ``replied_at_ms``: when the last reply was read or given up (both UTC milliseconds). ``dot_sent``: the
    final dot was handed to the transport.
    """

    outcomes: tuple[Outcome, ...]
    reply: Reply | None
    data_at_ms: int | None
    replied_at_ms: int
    host: str
    dot_sent: bool = False

    @property
    def host_trouble(self) -> bool:
        """Whether the host, not the message, was at fault."""
        return any(o.host_trouble for o in self.outcomes)


class HostUnavailable(PostclockError):
    """No connection to be had; no message is to blame and nothing of one was written.

    ``retry_at_ms`` (UTC milliseconds): before then every try is refused at once; None when nothing is known.
    """

    def __init__(
        self, reason: str, reply: Reply | None = None, *, phase: Phase = Phase.CONNECT, retry_at_ms: int | None = None
    ) -> None:
        self.reason = reason
        self.reply = reply
        self.phase = phase
        self.retry_at_ms = retry_at_ms
        super().__init__(reason)


class Connection(Protocol):
    """A conversation with a server, open and logged in, lent to one caller at a time."""

    @property
    def dot_sent(self) -> bool:
        """Whether the final dot of the present or last message was handed to the transport."""
        ...

    async def deliver(
        self, envelope: Envelope, content: bytes | memoryview, on_point: OnPoint | None = None
    ) -> Delivery:
        """Hand one message over and wait for the final reply. Every failure is an outcome; only cancellation is raised
        (it aborts the connection; ``dot_sent`` then tells whether the outcome is uncertain)."""
        ...

    def abort(self) -> None:
        """Cut the line at once; what was not yet handed to the transport never leaves. A waiting ``deliver`` returns."""
        ...


class Courier(Protocol):
    """Gets mail out of the house."""

    def route(self, domain: str) -> str:
        """The key under which mail to ``domain`` shares connections."""
        ...

    async def acquire(self, route: str) -> Connection:
        """A connection that is usable at once; waits for a free one. Raises HostUnavailable. Give it back by ``release``."""
        ...

    def release(self, connection: Connection) -> None:
        """Back into the pool; a broken or aborted one is dropped."""
        ...

    async def warm(self, route: str, n: int) -> None:
        """Open connections ahead of need until ``n`` exist; failures are silent (``acquire`` will tell)."""
        ...

    async def start(self) -> None:
        """Make ready; no connection is opened yet."""
        ...

    async def close(self) -> None:
        """Close every connection; lent ones are aborted."""
        ...
