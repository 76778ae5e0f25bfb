"""What the inbox page is shown: caught mails, and when each was due and departed. The assembly hands both in as values.

The console knows neither the courier that catches nor the store that remembers; it states here what it needs of them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class CaughtMail(Protocol):
    """One mail as it came over SMTP. ``sequence`` rises from 1; ``arrived_at_ms`` is UTC milliseconds."""

    @property
    def sequence(self) -> int: ...
    @property
    def mail_from(self) -> str: ...
    @property
    def rcpt_tos(self) -> tuple[str, ...]: ...
    @property
    def content(self) -> bytes: ...
    @property
    def arrived_at_ms(self) -> int: ...


class CaughtMails(Protocol):
    """The box they lie in; it is filled by another thread, so each call must be whole in itself."""

    def __len__(self) -> int: ...

    def list(self, *, limit: int = ..., before: int | None = ...) -> Sequence[CaughtMail]:
        """The newest first; with ``before``, those with a smaller sequence."""
        ...

    def get(self, sequence: int) -> CaughtMail | None:
        """One mail; None when it is not there, or no longer."""
        ...

    def clear(self) -> None:
        """Forget all; sequences go on rising."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a message was due and when it was first handed off (UTC milliseconds; None: not yet)."""

    due_at_ms: int
    departed_at_ms: int | None

    @property
    def lateness_ms(self) -> int | None:
        """Departed minus due."""
        return None if self.departed_at_ms is None else self.departed_at_ms - self.due_at_ms


Lookup = Callable[[int], Awaitable[Timing | None]]
"""The timing of a message by its id (the integer inside); None for an unknown one. May raise Busy."""
