"""Reading messages: the list with its filters and page marks, and one message's whole story."""

from collections.abc import Collection, Iterable
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

from postclock.core import ids
from postclock.core.errors import NotFound
from postclock.core.lifecycle import (
    CANCELLABLE,
    HELD,
    RECIPIENT_PENDING,
    SETTLED,
    WHILE_ALONE,
    RecipientState,
    Shown,
    State,
)
from postclock.store.queries import load
from postclock.store.steps.counting import COLUMNS, tenant_scope
from postclock.store.tables.desk import Run, Words
from postclock.store.views import EventRow, MessageDetail, MessageFilter, MessageRow, RecipientRow, StatusFilter

_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
SQL: Final = load("postclock.store.tables.sql", "messages")

COUNTED_TO: Final = 10_000
"""A total beyond what counts know is counted row by row, so far and no further."""

_CANCELLABLE: Final = ", ".join(str(int(s)) for s in sorted(CANCELLABLE))
# What is shown: the message's own state once it has one, else its queue row's, unless the batch's flag says cancelled.
_SHOWN: Final = (
    f"CASE WHEN m.status IS NOT NULL THEN m.status WHEN b.cancelled_at IS NOT NULL AND q.exposed = 0 AND q.status IN ({_CANCELLABLE}) "
    f"THEN {int(State.cancelled)} ELSE q.status END"
)
_OWN: Final = SETTLED - {State.cancelled}
"""States that no row of the queue shows; a batch's flag shows its rows as cancelled."""
# "+ 0" keeps a planner off the tenant's index, along which it would walk through all that the tenant ever sent.
_NOT_BY_TENANT: Final = "m.tenant + 0 = ? AND m.mode + 0 = ?"
_COLUMNS: Final = (
    f"m.id, m.week, {_SHOWN}, m.batch, m.created_at, m.due_at, coalesce(q.handed_at, m.departed_at), m.sent_at, m.delivered_at, m.settled_at, "
    "coalesce(q.reason, m.reason), coalesce(q.exposed, m.exposed), s.content, m.personal, m.mode, m.shown, m.n_rcpt, m.rcpt"
)
_WIDTH: Final = 18
_JOINS: Final = "LEFT JOIN batches b ON b.id = m.batch {submission}"
_FROM_MESSAGES: Final = "FROM messages m {queue} " + _JOINS
_DETAIL: Final = (
    f"SELECT {_COLUMNS}, m.data_at, coalesce(q.attempt, m.attempt), q.ready_at, coalesce(q.stamp, m.stamp) {_FROM_MESSAGES} "
    "WHERE m.id = ? AND m.tenant = ? AND m.mode = ?"
)
# Whose address, or what subject: a part of it. Three values.
_SEARCH: Final = (
    "({find}(lower(coalesce(m.subject, s.subject) COLLATE {bytewise}), ?) > 0 OR {find}(m.rcpt, ?) > 0 "
    "OR (m.rcpt IS NULL AND EXISTS (SELECT 1 FROM recipients r WHERE r.message = m.id AND r.week = m.week AND {find}(r.address, ?) > 0)))"
)
_FROM_QUEUE: Final = "FROM queue q {message} " + _JOINS


def _conditions(f: MessageFilter) -> tuple[str, list[Any], bool]:
    """(WHERE, its values, whether the queue leads): what waits is found in the queue, not among millions of settled ones."""
    # A recipient's mail is found by the recipient, whatever its state.
    wanted = f.states if f.status is None else f.status.states.keys()
    held = bool(wanted) and wanted <= HELD and f.to_email is None  # type: ignore[operator]
    where: list[str] = []
    values: list[Any] = []

    def add(sql: str, *args: Any) -> None:
        where.append(sql)
        values.extend(args)

    if f.batch is not None:
        add("q.batch = ?" if held else "m.batch = ?", f.batch)
        add(_NOT_BY_TENANT, f.tenant, f.mode)
    elif f.to_email is not None:
        add(_NOT_BY_TENANT, f.tenant, f.mode)
    elif held:
        add("q.tenant = ? AND q.mode = ?", f.tenant, f.mode)
    else:
        add("m.tenant = ? AND m.mode = ?", f.tenant, f.mode)
    if f.to_email is not None:
        add("{recipient}", f.to_email, f.to_email)
    if f.states is not None:
        add(_is_shown(f.states))
    if f.from_email is not None:
        add("coalesce(m.from_email, s.from_email) = ?", f.from_email)
    if f.subject is not None:
        add("{find}(lower(coalesce(m.subject, s.subject) COLLATE {bytewise}), ?) > 0", f.subject.translate(_LOWER))
    if f.status is not None:
        sql, args = _of_status(f.status)
        add(sql, *args)
    if f.search is not None:
        add(_SEARCH, f.search.translate(_LOWER), f.search.lower(), f.search.lower())
    if f.template is not None:
        add("s.template = ?", f.template)
    if f.category is not None:
        add("{find}(s.categories, ?) > 0", f"\x1f{f.category}\x1f")
    if f.start_at is not None:
        # Ids rise with time; a burst may run ahead of the clock by a little, never behind it.
        add(
            f"{'q' if held else 'm'}.id >= ? AND m.created_at >= ?",
            _first_id(f.start_at),
            f.start_at,
        )
    if f.end_at is not None:
        add("m.created_at < ?", f.end_at)
    return " AND ".join(where), values, held


def _of_status(status: StatusFilter) -> tuple[str, list[Any]]:
    """(condition, its values): states whose every ``shown`` counts are compared by themselves."""
    groups: dict[frozenset[Shown], list[State]] = {}
    for state, shown in status.states.items():
        groups.setdefault(shown, []).append(state)
    parts = [
        _is_shown(states) + ("" if shown == frozenset(Shown) else f" AND m.shown IN ({_numbers(shown)})")
        for shown, states in groups.items()
    ]
    sql = f"({' OR '.join(parts) or '1 = 0'})"
    if status.waits is None:
        return sql, []
    waits = (
        f"{'' if status.waits else 'NOT '}({_SHOWN} = {int(State.queued)} AND m.due_at > m.created_at AND m.due_at > ?)"
    )
    return f"{sql} AND {waits}", [status.now]


def _is_shown(states: Collection[State]) -> str:
    """The condition that one of the states is shown.

    What only the message's own row can say is asked of it alone: a planner knows how many have it, and looks at no queue row.
    """
    own = [s for s in states if s in _OWN]
    others = [s for s in states if s not in _OWN]
    parts = [f"m.status IN ({_numbers(own)})"] if own else []
    if others:
        parts.append(f"({_SHOWN}) IN ({_numbers(others)})")
    return f"({' OR '.join(parts) or '1 = 0'})"


def _numbers(values: Iterable[int]) -> str:
    return ", ".join(str(int(v)) for v in sorted(values))


def _first_id(at_ms: int) -> int:
    """The lowest id of a moment; beyond what ids can say (the year 2089) the lowest of the last one they can."""
    return min(max(0, at_ms - ids.EPOCH_MS), ids.MAX_MS) << (ids.NODE_BITS + ids.SEQUENCE_BITS)


def page(
    run: Run, words: Words, wanted: MessageFilter, page_size: int, after: int | None, skip: int
) -> tuple[tuple[MessageRow, ...], int]:
    """Rows after the id ``after`` (or from the newest, skipping ``skip``), newest first; and the total."""
    where, values, held = _conditions(wanted)
    where = words.fill(where)
    source = words.fill(_FROM_QUEUE if held else _FROM_MESSAGES)
    lead = "q.id" if held else "m.id"
    marked = where + (f" AND {lead} < ?" if after is not None else "")
    sql = f"SELECT {_COLUMNS} {source} WHERE {marked} ORDER BY {lead} DESC LIMIT ? OFFSET ?"
    found = run(sql, [*values, *([after] if after is not None else []), page_size, 0 if after is not None else skip])
    return tuple(_row(r) for r in found), _total(run, wanted, where, values, source)


def browse(run: Run, words: Words, wanted: MessageFilter, before: int | None, limit: int) -> tuple[MessageRow, ...]:
    """Up to ``limit`` rows, newest first; with ``before`` only those below that id."""
    where, values, held = _conditions(wanted)
    lead = "q.id" if held else "m.id"
    if before is not None:
        where += f" AND {lead} < ?"
        values.append(before)
    sql = words.fill(
        f"SELECT {_COLUMNS} {_FROM_QUEUE if held else _FROM_MESSAGES} WHERE {where} ORDER BY {lead} DESC LIMIT ?"
    )
    return tuple(_row(r) for r in run(sql, [*values, limit]))


def _total(run: Run, f: MessageFilter, where: str, values: list[Any], source: str) -> int:
    others = (f.to_email, f.from_email, f.subject, f.template, f.category, f.start_at, f.end_at, f.status, f.search)
    if all(o is None for o in others):
        scope = tenant_scope(f.tenant, f.mode) if f.batch is None else f.batch
        if f.batch is not None and not run(
            "SELECT 1 FROM batches WHERE id = ? AND tenant = ? AND mode = ?", (f.batch, f.tenant, f.mode)
        ):
            return 0
        states = [s.name for s in sorted(f.states if f.states is not None else State)]
        if not states:
            return 0
        assert set(states) <= set(COLUMNS)
        return int(run(f"SELECT coalesce(sum({' + '.join(states)}), 0) FROM counts WHERE scope = ?", (scope,))[0][0])  # noqa: S608
    counted = f"SELECT count(*) FROM (SELECT 1 {source} WHERE {where} LIMIT ?) AS found"  # noqa: S608
    return int(run(counted, [*values, COUNTED_TO])[0][0])


def _row(r: tuple[Any, ...]) -> MessageRow:
    return MessageRow(
        id=r[0], week=r[1], state=State(r[2]), batch=r[3], created_at=r[4], due_at=r[5], departed_at=r[6], sent_at=r[7], delivered_at=r[8], settled_at=r[9],
        reason=r[10], exposed=bool(r[11]), submission=r[12], personal=r[13],
        mode=r[14], shown=Shown(r[15]), n_rcpt=r[16], rcpt=r[17],
    )  # fmt: skip


def detail(run: Run, words: Words, tenant: int, mode: int, message: int) -> MessageDetail:
    """One message's whole story; raises NotFound for an unknown or foreign one."""
    found = run(words.fill(_DETAIL), (message, tenant, mode))
    if not found:
        raise NotFound("Message not found")
    r = found[0]
    row = _row(r[:_WIDTH])
    data_at, attempt, ready_at, stamp = r[_WIDTH:]
    recipients = tuple(
        RecipientRow(n, address, _recipient_shown(RecipientState(state), row.state), reply, at)
        for n, address, state, reply, at in run(SQL["recipients"], (message, row.week))
    )
    if row.rcpt is not None:
        recipients = (RecipientRow(0, row.rcpt, WHILE_ALONE[row.state], row.reason, row.settled_at),)
    events = tuple(
        EventRow(n, kind, at, recipient, metadata)
        for n, kind, at, recipient, metadata in run(SQL["events"], (message, row.week))
    )
    return MessageDetail(
        row=row,
        mode=mode,
        data_at=data_at,
        attempt=attempt,
        next_attempt_at=None if row.state in SETTLED else ready_at,
        stamp=stamp,
        recipients=recipients,
        events=events,
    )


def _recipient_shown(stored: RecipientState, message: State) -> RecipientState:
    """A pending one is shown departed while its message is in flight, and stopped as soon as its batch was cancelled."""
    if stored not in RECIPIENT_PENDING:
        return stored
    match message:
        case State.sending:
            return RecipientState.departed
        case State.cancelled:
            return RecipientState.stopped
        case _:
            return stored
