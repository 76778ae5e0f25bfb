"""Messages, after they were accepted: listed, looked at, cancelled, retried, failed."""

from dataclasses import dataclass
from typing import Final

import msgspec

from postclock.core import ids
from postclock.core.account import Dialect, Principal
from postclock.core.clock import Clock
from postclock.core.errors import Busy, NotFound
from postclock.core.lifecycle import State
from postclock.core.message import Personalization, Submission
from postclock.store.interface import Messages as MessageStore
from postclock.store.records import CancelAnswer, mode_number
from postclock.store.views import MessageDetail, MessageFilter, MessageRow

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


@dataclass(frozen=True, slots=True)
class ShownSlice:
    """A part of the list from a position on; ``more``: something follows."""

    messages: tuple[Shown, ...]
    more: bool


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
            raise _took_too_long(wanted, busy) from busy
        return ShownPage(tuple(_shown(row) for row in found.messages), found.total)

    async def slice(self, who: Principal, wanted: MessageFilter, before: str | None, limit: int) -> ShownSlice:
        """Up to ``limit`` messages below the one with the public id ``before`` (None: from the newest), newest first.

        A position is a message's id, so the slices hang together whatever comes, goes or changes its state between them; the
        message itself need not be there any more. Raises NotFound for what is no id, Busy as ``page`` does.
        """
        position = None if before is None else _number(before)[1]
        try:
            found = await self._store.browse(wanted, position, limit + 1)
        except Busy as busy:
            raise _took_too_long(wanted, busy) from busy
        return ShownSlice(tuple(_shown(row) for row in found[:limit]), len(found) > limit)

    async def by_key(self, who: Principal, dialect: Dialect, key: str) -> ShownDetail:
        """The message that was made under an idempotency key (the first of several). Raises NotFound."""
        found = await self._store.by_key(who.tenant.id, mode_number(who.mode), dialect, key)
        if not found:
            raise NotFound(_NO_MESSAGE)
        return await self.detail(who, ids.public_message_id(*found[0]))

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

    async def unschedule(self, who: Principal, public: str) -> None:
        """Cancel what waits for a time that was asked for, in one atomic step against the engine's depart.

        Raises NotFound, and nothing changes, for everything else: already sent, in flight, perhaps delivered, never scheduled,
        already cancelled, unknown.
        """
        week, ident = _number(public)
        tenant, mode = who.tenant.id, mode_number(who.mode)
        await self._store.cancel(tenant, mode, ident, self._clock.now_ms(), week, only_scheduled=True)

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
    submission = _submission(row.submission)
    if submission.free:  # the link in it is for the owner of the inbox alone: whoever reads it could agree for them
        submission = msgspec.structs.replace(submission, contents=())
    return Shown(
        row=row,
        submission=submission,
        personalization=None if row.personal is None else _personalization(row.personal),
    )


def _took_too_long(wanted: MessageFilter, busy: Busy) -> Busy:
    names = ", ".join(_named(wanted)) or "no filter"
    sharper = "dates" if wanted.search is not None or wanted.status is not None else "batch_id, to_email or dates"
    return Busy(f"The list by {names} took longer than it may: narrow it with {sharper}.", retry_after=busy.retry_after)


def _named(f: MessageFilter) -> list[str]:
    given = {
        "status": f.states if f.status is None else f.status, "search": f.search,
        "to_email": f.to_email, "from_email": f.from_email, "subject": f.subject, "batch_id": f.batch,
        "template_id": f.template, "category": f.category, "start_date": f.start_at, "end_date": f.end_at,
    }  # fmt: skip
    return [name for name, value in given.items() if value is not None]
