"""Posting to strangers, as the engine sees it: a URL, headers and a body go out, a status comes back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back. ``status`` None: no answer, and ``reason`` says why, in one short line."""

    status: int | None
    reason: str = ""

    @property
    def is_taken(self) -> bool:
        """Whether the receiver took it (2xx)."""
        return self.status is not None and 200 <= self.status < 300


class Poster(Protocol):
    """Somebody who posts. All methods run in one event loop."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Post once; never raises for what the other side does."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
