"""Turns what went wrong while a conversation was being opened into HostUnavailable, in the words of the outcome table."""

from postclock.core.outcome import Phase, Trouble, broken, settled
from postclock.core.reply import MAX_KEPT, Reply
from postclock.courier.interface import HostUnavailable
from postclock.courier.wire import Wire


def must(wire: Wire, phase: Phase, reply: Reply | None, code: int) -> None:
    """Go on when ``reply`` has ``code``; else raise HostUnavailable (None: the line failed)."""
    if reply is None:
        raise trouble_at(phase, wire.trouble or Trouble.LOST, wire.detail)
    if reply.code == code:
        return
    outcome = settled(phase, reply)
    unexpected = outcome is None or bool(outcome.reason)
    text = f"{phase.value}: unexpected reply: {reply}" if unexpected else f"{phase.value}: {reply}"
    raise HostUnavailable(text[:MAX_KEPT], reply, phase=phase)


def trouble_at(phase: Phase, trouble: Trouble, detail: str = "") -> HostUnavailable:
    """The exception for a line that broke, was silent or talked nonsense in ``phase``."""
    return HostUnavailable(broken(phase, trouble, detail).text, phase=phase)
