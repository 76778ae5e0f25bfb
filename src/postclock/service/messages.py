"""Messages, after they were accepted: listed, looked at, cancelled, retried, failed."""

from dataclasses import dataclass
from typing import Final

import msgspec

from postclock.core import ids
from postclock.core.account import Principal
from postclock.core.clock import Clock
from postclock.core.errors import Busy, NotFound
from postclock.core.lifecycle import State
from postclock.core.message import Personalization, Submission
from postclock.store.interface import Messages as MessageStore
from postclock.store.records import CancelAnswer, MessageDetail, MessageFilter, MessageRow, mode_number

_NO_MESSAGE: Final = "Message not found"
_submission = msgspec.msgpack.Decoder(Submission).decode
_personalization = msgspec.msgpack.Decoder(Personalization).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A message with what was said of it; ``personalization`` is None once retention has dropped it."""

    row: MessageRow
    submission: Submission
    personalization: Personalization | None

    @property
    def public_id(self) -> str:
        """``msg_…``."""
        return ids.public_message_id(self.row.week, self.row.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDetail:
    """A message with its whole story."""

    shown: Shown
    detail: MessageDetail


@dataclass(frozen=True, slots=True)
class ShownPage:
    """One page of a list."""

    messages: tuple[Shown, ...]
    total: int


class Messages:
    """What a key may do with its tenant's messages, in its own mode."""

    def __init__(self, store: MessageStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def page(self, who: Principal, wanted: MessageFilter, page: int, page_size: int) -> ShownPage:
        """One page, newest first. Raises Busy, naming the filters, when the query takes longer than it may."""
        try:
            found = await self._store.page(wanted, who.key.id, page, page_size, self._clock.now_ms())
        except Busy as busy:
            names = ", ".join(_named(wanted)) or "no filter"
            told = f"The list by {names} took longer than it may: narrow it with batch_id, to_email or dates."
            raise Busy(told, retry_after=busy.retry_after) from busy
        return ShownPage(tuple(_shown(row) for row in found.messages), found.total)

    async def detail(self, who: Principal, public: str) -> ShownDetail:
        """Raises NotFound."""
        week, ident = _number(public)
        found = await self._store.detail(who.tenant.id, mode_number(who.mode), ident)
        if found.row.week != week:
            raise NotFound(_NO_MESSAGE)
        return ShownDetail(shown=_shown(found.row), detail=found)

    async def cancel(self, who: Principal, public: str) -> CancelAnswer:
        """One atomic step against the engine's depart. Raises NotFound."""
        week, ident = _number(public)
        return await self._store.cancel(who.tenant.id, mode_number(who.mode), ident, self._clock.now_ms(), week)

    async def retry(self, who: Principal, public: str) -> State:
        """Queue it again for its recipients without acceptance. Raises NotFound, Invalid."""
        week, ident = _number(public)
        return await self._store.retry(who.tenant.id, mode_number(who.mode), ident, self._clock.now_ms(), week)

    async def fail(self, who: Principal, public: str, reason: str) -> State:
        """Mark it failed by hand. Raises NotFound, Invalid."""
        week, ident = _number(public)
        return await self._store.fail(who.tenant.id, mode_number(who.mode), ident, self._clock.now_ms(), reason, week)


def _number(public: str) -> tuple[int, int]:
    """(week, id): an id with another week in it is another message's, and that one does not exist."""
    try:
        return ids.parse_message_id(public)
    except NotFound:
        raise NotFound(_NO_MESSAGE) from None


def _shown(row: MessageRow) -> Shown:
    return Shown(
        row=row,
        submission=_submission(row.submission),
        personalization=None if row.personal is None else _personalization(row.personal),
    )


def _named(f: MessageFilter) -> list[str]:
    given = {
        "status": f.states, "to_email": f.to_email, "from_email": f.from_email, "subject": f.subject, "batch_id": f.batch,
        "template_id": f.template, "category": f.category, "start_date": f.start_at, "end_date": f.end_at,
    }  # fmt: skip
    return [name for name, value in given.items() if value is not None]
