"""What a body is made from: deliveries with their events, and the few words that their calls say.

Read for the engine just before it tells. Contents are large, so they are read in portions and only looked into.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from postclock.core.address import Mailbox
from postclock.store.outbox import OCTETS, Origin, Told
from postclock.store.queries import load
from postclock.store.tables.desk import Run, Words

TOLD_AT_ONCE: Final = 100
"""Deliveries that are looked up in one statement."""
CONTENTS_AT_ONCE: Final = 16
"""Submissions that are looked into at once."""
CONTENT_OCTETS: Final = 2 * 1024 * 1024
"""What they may have together, but for the last one: each may be twenty megabytes, and only a few words of it are kept."""


class _Own(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a body may say of a personalization."""

    custom_args: dict[str, str] = {}
    subject: str | None = None
    from_: Mailbox | None = None


_origin: Final = msgspec.msgpack.Decoder(Origin).decode
_own: Final = msgspec.msgpack.Decoder(_Own).decode
_SQL: Final = load("postclock.store.tables.sql", "outbox")
_TOLD: Final = _SQL["told"].replace("{ids}", ", ".join("?" * TOLD_AT_ONCE))
_SIZES: Final = _SQL["sizes"].replace("{ids}", ", ".join("?" * TOLD_AT_ONCE))
_CONTENTS: Final = _SQL["contents"].replace("{ids}", ", ".join("?" * CONTENTS_AT_ONCE))


@dataclass(frozen=True, slots=True)
class Look:
    """What was found of some deliveries."""

    told: list[Told]
    lost: frozenset[int]
    """Deliveries whose message retention has dropped."""


def look(run: Run, words: Words, deliveries: Sequence[int]) -> Look:
    """The events of these deliveries, in this order, up to OCTETS."""
    told: list[Told] = []
    lost: set[int] = set()
    origins: dict[int, Origin] = {}
    size = 0
    for ids in _portions(deliveries, TOLD_AT_ONCE):
        rows = {row[0]: row for row in run(words.fill(_TOLD), ids)}
        lost.update(set(ids) - rows.keys())
        unknown = sorted({row[15] for row in rows.values()} - origins.keys())
        for some in _light(run(_SIZES, _filled(unknown, TOLD_AT_ONCE)) if unknown else ()):
            origins.update((ident, _read(content)) for ident, content in run(_CONTENTS, some))
        for ident in dict.fromkeys(ids):
            if ident in rows:
                told.append(_told_from(rows[ident], origins))
                size += told[-1].size
                if size >= OCTETS:
                    return Look(told, frozenset(lost))
    return Look(told, frozenset(lost))


def _read(content: bytes) -> Origin:
    try:
        return _origin(content)
    except msgspec.DecodeError:  # what one message cannot say must not silence its endpoint
        return Origin()


def _portions(ids: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """Always as many as the statement has places."""
    for at in range(0, len(ids), size):
        yield _filled(ids[at : at + size], size)


def _filled(ids: Sequence[int], size: int) -> tuple[int, ...]:
    """The last one fills what is left."""
    return (*ids, *[ids[-1]] * (size - len(ids)))


def _light(sizes: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, ...]]:
    """Submissions (id, octets) in portions that are read at once."""
    some: list[int] = []
    octets = 0
    for ident, size in sizes:
        if some and (len(some) == CONTENTS_AT_ONCE or octets + size > CONTENT_OCTETS):
            yield _filled(some, CONTENTS_AT_ONCE)
            some, octets = [], 0
        some.append(ident)
        octets += size
    if some:
        yield _filled(some, CONTENTS_AT_ONCE)


def _told_from(row: tuple[Any, ...], origins: Mapping[int, Origin]) -> Told:
    *_, submission, personal = row
    origin = origins.get(submission, Origin())
    if personal is not None:
        own = _own_of(personal)
        origin = msgspec.structs.replace(
            origin,
            custom_args=origin.custom_args | own.custom_args,
            subject=own.subject or origin.subject,
            from_=own.from_ or origin.from_,
        )
    return Told(
        delivery=row[0],
        message=row[1],
        week=row[2],
        n=row[3],
        tenant=row[4],
        mode=row[5],
        type=row[6],
        at=row[7],
        recipient=row[8],
        metadata=row[9],
        attempt=row[10] + 1,
        due_at=row[11],
        created_at=row[12],
        batch=row[13],
        status=row[14],
        origin=origin,
    )


def _own_of(personal: bytes) -> _Own:
    try:
        return _own(personal)
    except msgspec.DecodeError:
        return _Own()
