"""What the accepts of a group look up, read for all of them in a statement or two.

A statement for each would cost more than its work: every one hands the interpreter's lock over and back.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

import apsw

from postclock.store.records import Acceptance

CHUNKS: Final = (100, 10, 1)
"""How many rows one statement takes: few texts, so that they stay prepared."""

KeyIdent = tuple[int, int, str, str]
"""(tenant, mode, dialect, key)."""
Place = tuple[int, int, str]
"""(tenant, mode, address)."""

KEYS: Final = """
WITH wanted (tenant, mode, dialect, key) AS (VALUES (?, ?, ?, ?))
SELECT i.tenant, i.mode, i.dialect, i.key, i.fingerprint, i.ids FROM wanted w
CROSS JOIN idempotency i ON i.tenant = w.tenant AND i.mode = w.mode AND i.dialect = w.dialect AND i.key = w.key
"""
LISTS: Final = """
WITH wanted (tenant, mode, address) AS (VALUES (?, ?, ?))
SELECT s.tenant, s.mode, s.address, s.list FROM wanted w
CROSS JOIN suppressions s ON s.tenant = w.tenant AND s.mode = w.mode AND s.address = w.address
"""


class Ahead(NamedTuple):
    """What one accept will ask for."""

    key: KeyIdent | None
    places: tuple[Place, ...]


def ahead_of(a: Acceptance) -> Ahead | None:
    """What this one will ask for; None for nothing. A key that was made for the call is not asked for."""
    key = a.idempotency
    ident = None if key is None or key.fresh else (a.tenant, a.mode, key.dialect, key.key)
    places: tuple[Place, ...] = ()
    if a.refuse_suppressed:
        places = tuple([(a.tenant, a.mode, address) for m in a.messages for address in m.addresses])
    return Ahead(ident, places) if ident is not None or places else None


class Known:
    """What a group was told ahead: an entry for everything that was asked, also for what is not there."""

    def __init__(self, cursor: apsw.Cursor, wanted: Sequence[Ahead]) -> None:
        self.keys: dict[KeyIdent, tuple[bytes, bytes] | None] = {w.key: None for w in wanted if w.key is not None}
        self.lists: dict[Place, list[str]] = {place: [] for w in wanted for place in w.places}
        for *ident, fingerprint, ids in _read(cursor, KEYS, self.keys):
            self.keys[ident[0], ident[1], ident[2], ident[3]] = (fingerprint, ids)
        for tenant, mode, address, name in _read(cursor, LISTS, self.lists):
            self.lists[tenant, mode, address].append(name)


def _read(cursor: apsw.Cursor, sql: str, wanted: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    rows = list(wanted)
    at = 0
    for chunk in CHUNKS:
        while len(rows) - at >= chunk:
            values = tuple(chain.from_iterable(rows[at : at + chunk]))
            yield from cursor.execute(repeated(sql, chunk), values).fetchall()
            at += chunk


@lru_cache(maxsize=32)
def repeated(sql: str, times: int) -> str:
    """The statement with its row of VALUES so many times."""
    head, _, rest = sql.partition("VALUES (")
    row, _, tail = rest.partition(")")
    return f"{head}VALUES {', '.join([f'({row})'] * times)}{tail}"
