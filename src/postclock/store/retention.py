"""Retention: when what a message was made from, its events and the message itself are no longer kept. The rules of both backends.

A walk goes through messages from the oldest on. A mark says up to which id a walk has left nothing, so that the next one begins
there. The order of things: first a body goes, and with it the way back to the queue; only what has no body may go itself.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, NamedTuple

import msgspec

from postclock.core.ids import WEEK_MS
from postclock.core.message import Submission

DAY_MS: Final = 86_400_000
LEAST_MS: Final = 2 * 3_600_000
"""Nothing goes sooner: ids and times may part by the difference of two processes' clocks, and an accept may be under way."""
DISORDER_MS: Final = DAY_MS
"""Ids rise with the time of acceptance, but for clocks that went back: a walk goes on for so long after what it looks for."""
KEY_MS: Final = 7 * DAY_MS
"""How long an idempotency key lives at least."""
KEY_SETTLED_MS: Final = DAY_MS
"""How long it lives after the last of its messages settled."""
PAGE: Final = 2_000
"""Messages that a walk looks at in one reading."""
SLICE: Final = 500
"""Rows that are changed in one transaction."""

_decode = msgspec.msgpack.Decoder(Submission).decode
_encode = msgspec.msgpack.Encoder().encode
decode_ids = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode
"""(week, id) of each message that an idempotency key's answer names."""


@dataclass(slots=True, kw_only=True)
class Retired:
    """What a round dropped: whole weeks, and rows."""

    weeks: int = 0
    messages: int = 0
    bodies: int = 0
    submissions: int = 0
    """Submissions emptied of their bodies, or gone."""
    events: int = 0
    keys: int = 0
    blobs: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(int(getattr(self, each.name)) for each in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoffs:
    """What settled at or before these moments (UTC milliseconds) is no longer kept."""

    messages: int
    bodies: int
    events: int
    keys: int
    """Created before this."""
    keys_settled: int

    @classmethod
    def at(cls, now: int, keep_messages: int, keep_bodies: int, keep_events: int) -> "Cutoffs":
        """From the settings (milliseconds); a body and events are kept no longer than their message."""
        keep = max(keep_messages, LEAST_MS)
        return cls(
            messages=now - keep,
            bodies=now - min(keep, max(keep_bodies, LEAST_MS)),
            events=now - min(keep, max(keep_events, LEAST_MS)),
            keys=now - KEY_MS,
            keys_settled=now - KEY_SETTLED_MS,
        )


def is_over(week: int, cutoff: int) -> bool:
    """Whether the whole week lies before the cutoff."""
    return (week + 1) * WEEK_MS <= cutoff


def emptied(content: bytes) -> bytes | None:
    """A submission (MessagePack) without its bodies; None when it has none. Who sent what to which template stays."""
    submission = _decode(content)
    if not submission.contents and submission.footer is None:
        return None
    return _encode(msgspec.structs.replace(submission, contents=(), footer=None))


class Seen(NamedTuple):
    """A message that a walk came by and that still had what the walk takes."""

    id: int
    submission: int
    tenant: int
    created_at: int
    done: bool
    """Whether it may be taken."""


class Read(NamedTuple):
    """What a reading found: the last id, when the oldest was created, and those that still had it."""

    last: int
    oldest_at: int
    seen: Sequence[Seen]


@dataclass(slots=True, kw_only=True)
class Walked:
    """What a walk left. ``needed``: submissions of what is kept; ``oldest``: by tenant, when the first of it was created."""

    taken: int = 0
    needed: set[int] = field(default_factory=set)
    oldest: dict[int, int] = field(default_factory=dict)
    sure: bool = True
    """False: a message changed under the walk, so ``needed`` and ``oldest`` are not complete."""


async def walk(
    read: Callable[[int], Awaitable[Read | None]],
    take: Callable[[Sequence[int]], Awaitable[int]],
    cutoff: int,
    mark: int,
    walked: Walked,
    slice_rows: int = SLICE,
) -> int:
    """Walk on from ``mark`` and take what is done; the new mark. ``take`` says how many it took, looking at each once more."""
    after, moves = mark, True
    while (page := await read(after)) is not None:
        ready = [s.id for s in page.seen if s.done]
        for at in range(0, len(ready), slice_rows):
            part = ready[at : at + slice_rows]
            taken = await take(part)
            walked.taken += taken
            if taken != len(part):
                walked.sure = moves = False
        for seen in page.seen:
            if not seen.done:
                walked.needed.add(seen.submission)
                walked.oldest[seen.tenant] = min(seen.created_at, walked.oldest.get(seen.tenant, seen.created_at))
        kept = [s.id for s in page.seen if not s.done]
        if moves:
            mark = min(kept) - 1 if kept else page.last
            moves = not kept
        after = page.last
        if page.oldest_at > cutoff + DISORDER_MS:
            break
    return mark


class StoredSubmission(NamedTuple):
    """A submission as a walk reads it."""

    id: int
    week: int
    created_at: int
    content: bytes


async def walk_submissions(
    read: Callable[[int], Awaitable[Sequence[StoredSubmission]]],
    take: Callable[[Sequence[StoredSubmission]], Awaitable[int]],
    cutoff: int,
    mark: int,
    needed: Collection[int],
) -> tuple[int, int]:
    """The same for submissions that no kept message needs: (taken, the new mark)."""
    after, moves, taken = mark, True, 0
    while page := await read(after):
        free = [s for s in page if s.created_at <= cutoff and s.id not in needed]
        if free:
            taken += await take(free)
        after = page[-1].id
        if moves:
            bound = {s.id for s in page} - {s.id for s in free}
            mark = min(bound) - 1 if bound else after
            moves = not bound
        if min(s.created_at for s in page) > cutoff + DISORDER_MS:
            break
    return taken, mark


def blobs_before(tenant: int, cutoff: int, oldest: dict[int, int]) -> int:
    """Attachments of the tenant used last before this moment belong to no message that has its body.

    An attachment is stored, and its use noted, shortly before the call that has it is accepted.
    """
    return min(cutoff, oldest.get(tenant, cutoff)) - DISORDER_MS
