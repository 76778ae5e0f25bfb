"""What the engine is told by the operator. Durations in milliseconds unless the name says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """``settle_after_ms`` 0: a relay's 250 counts as delivered at once. ``return_domain`` empty: the From's domain."""

    settle_after_ms: int = 0
    uncertain_wait_ms: int = 660_000
    give_up_after_ms: int = 72 * 3_600_000
    max_lateness_ms: int = 24 * 3_600_000
    keep_messages_ms: int = 90 * 86_400_000
    keep_bodies_ms: int = 30 * 86_400_000
    keep_events_ms: int = 90 * 86_400_000
    """The three from when the message settled."""
    stop_grace_seconds: float = 8.0
    return_domain: str = ""
    ahead_ms: int = 2_000
    """How long before its second a mail is reserved and prepared."""
    threads: int = 2
    """Threads that render and sign."""
    chunks: int = 4
    """Chunks under way at once: more than threads, so that a thread finds its next one without waiting for the loop."""
    workers: int = 64
    """Runs at once: while some talk, others record."""
    room: int = 1_000
    """Mails claimed and not yet recorded, at the most: memory is bounded whatever is due."""
    room_bytes: int = 128 * 1024 * 1024
    """Octets of prepared mail, at the most (one mail always fits)."""
