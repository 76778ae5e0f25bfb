"""What a group of accepts looks up ahead: by the indexes, a few statements for all, and everything that was asked has an answer."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from postclock.store.sqlite.ahead import KEYS, LISTS, Ahead, Known, repeated
from postclock.store.sqlite.store import FILE, open_store
from tests.support.clock import MovedClock


@pytest.fixture
def cursor(tmp_path: Path) -> Iterator[apsw.Cursor]:
    """A connection to a store's file, with 300 keys and 300 suppressions in it."""
    open_store(tmp_path, MovedClock()).close()
    connection = apsw.Connection(str(tmp_path / FILE))
    found = connection.cursor()
    found.execute("PRAGMA foreign_keys = OFF")
    for n in range(300):
        found.execute(
            "INSERT INTO idempotency (tenant, mode, dialect, key, fingerprint, ids, created_at) VALUES (1, 0, 'sendara', ?, ?, ?, 5)",
            (f"k{n}", b"print", b"ids%d" % n),
        )
        found.execute(
            "INSERT INTO suppressions (tenant, mode, address, list, created_at, reason, bounce_type, status) VALUES (1, 0, ?, 'bounces', 5, '', '', '')",
            (f"user{n}@example.net",),
        )
    yield found
    connection.close()


@pytest.mark.parametrize(("sql", "table"), [(KEYS, "i"), (LISTS, "s")])
def test_it_searches_and_scans_nothing_but_what_was_asked(cursor: apsw.Cursor, sql: str, table: str) -> None:
    """Row by row of the question, one look into the table's own order."""
    text = repeated(sql, 10)
    plan = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {text}", ["x"] * text.count("?"))]
    assert any(line.startswith(f"SEARCH {table} USING PRIMARY KEY") for line in plan), plan
    assert not any(line.startswith(f"SCAN {table}") for line in plan), plan


def test_everything_asked_has_an_answer(cursor: apsw.Cursor) -> None:
    """What is there, what is not, and what another tenant, mode or dialect has; asked twice it is answered once."""
    wanted = [Ahead((1, 0, "sendara", f"k{n}"), ((1, 0, f"user{n}@example.net"),)) for n in (*range(290, 310), 295)]
    wanted += [
        Ahead((2, 0, "sendara", "k1"), ()),
        Ahead((1, 1, "sendara", "k1"), ((1, 1, "user1@example.net"),)),
        Ahead((1, 0, "scaisend", "k1"), ()),
        Ahead(None, ((1, 0, "user2@example.net"), (1, 0, "USER2@example.net"))),
    ]
    known = Known(cursor, wanted)
    there = {f"k{n}" for n in range(290, 300)}
    assert known.keys == {
        w.key: (b"print", f"ids{w.key[3][1:]}".encode()) if w.key[:3] == (1, 0, "sendara") and w.key[3] in there else None
        for w in wanted if w.key is not None
    }  # fmt: skip
    held = {place for place, lists in known.lists.items() if lists == ["bounces"]}
    assert held == {(1, 0, f"user{n}@example.net") for n in (2, *range(290, 300))}
    assert all(known.lists[place] == [] for w in wanted for place in w.places if place not in held)


def test_nothing_asked_is_nothing_read(cursor: apsw.Cursor) -> None:
    """No statement at all."""
    known = Known(cursor, [])
    assert (known.keys, known.lists) == ({}, {})
