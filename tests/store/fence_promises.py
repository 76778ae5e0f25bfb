"""What the store has promised by its answers, and the tables as they have to be after every step."""

from collections import Counter
from typing import Final, NamedTuple

import msgspec

from postclock.core.lifecycle import CANCELLABLE, HELD, WAITING, WHILE_ALONE, RecipientState, State, fold
from postclock.store.records import LIVE, Claimed, Departed
from postclock.store.steps.counting import COLUMNS, tenant_scope
from tests.store.fence_houses import Flight, House

R = RecipientState
TAKEN: Final = frozenset({R.accepted, R.delivered})
_SUMMED: Final = (*COLUMNS, "exposed")
_STATES: Final = tuple(State)
_LOOK: Final = (
    "SELECT m.id, m.batch, m.n_rcpt, m.status, m.exposed, q.status, q.exposed, q.owner, q.attempt, q.due_at, b.cancelled_at "
    "FROM messages m LEFT JOIN queue q ON q.message = m.id LEFT JOIN batches b ON b.id = m.batch"
)
_COUNTS: Final = f"SELECT scope, {', '.join(f'sum({c})' for c in _SUMMED)} FROM counts GROUP BY scope"
_GAPS: Final = "SELECT message FROM events GROUP BY message HAVING min(n) <> 1 OR max(n) <> count(*) OR count(DISTINCT n) <> count(*)"
_NOT_NOTED: Final = (
    "SELECT q.id FROM queue q WHERE q.owner IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM claims c WHERE c.owner = q.owner AND q.id = ANY(c.ids))"
)


class Seen(NamedTuple):
    """A message as the tables have it."""

    id: int
    batch: int | None
    n_rcpt: int
    status: int | None
    was_exposed: int
    held: int | None
    held_exposed: int | None
    owner: int | None
    attempt: int | None
    due_at: int | None
    flagged_at: int | None

    @property
    def state(self) -> State:
        """What is shown: a waiting row of a cancelled batch is cancelled."""
        if self.status is not None:
            return State(self.status)
        assert self.held is not None
        state = State(self.held)
        gone = self.flagged_at is not None and state in CANCELLABLE and not self.held_exposed
        return State.cancelled if gone else state

    @property
    def exposed(self) -> bool:
        return bool(self.was_exposed if self.held is None else self.held_exposed)


Look = dict[int, Seen]


class Promises:
    """The model: it learns from answers alone, and says what may never be answered after them."""

    def __init__(self, tenant: int) -> None:
        self.tenant = tenant
        self.messages: list[int] = []
        self.batches: dict[int, list[int]] = {}
        self.cancelled: set[int] = set()
        """Told "cancelled", alone or with the batch."""
        self.flagged: set[int] = set()
        """Batches told "cancelled"."""
        self.has_it: set[tuple[int, int]] = set()
        """(message, recipient) that a server has taken, or that was said to be sent."""
        self.dead: set[int] = set()
        """Owners whose end was answered."""
        self.last: dict[int, int] = {}
        """Message to its latest attempt that departed."""
        self.no_result: dict[int, set[int]] = {}
        """Message to the attempts that may have sent DATA and have no recorded result."""
        self.handed = 0
        """Recipients at the first hand-off of each message: what usage is charged."""
        self._handed: set[int] = set()

    # Answers

    def accepted(self, batch: int | None, idents: list[int]) -> None:
        assert batch not in self.flagged, "accepted into a cancelled batch"
        self.messages += idents
        if batch is not None:
            self.batches[batch] += idents

    def claimed(self, owner: int, taken: list[Claimed]) -> None:
        assert not taken or owner not in self.dead, "a dead owner has claimed"
        for c in taken:
            assert c.message not in self.cancelled, "claimed after cancelled"
            assert c.recipients
            assert not {(c.message, r.n) for r in c.recipients} & self.has_it, "claimed for somebody who has it"
            assert c.attempt > self.last.get(c.message, 0)

    def departed(self, owner: int, claimed: Claimed, answer: Departed, told_uncertain: set[tuple[int, int]]) -> Flight:
        flight = Flight(claimed, answer)
        message = claimed.message
        assert owner not in self.dead, "a dead owner has departed"
        assert message not in self.cancelled, "departed after cancelled"
        assert claimed.batch not in self.flagged, "departed after its batch was cancelled"
        assert flight.envelope
        assert not {(message, r.n) for r in flight.envelope} & self.has_it, "departed to somebody who has it"
        silent = {(message, attempt) for attempt in self.no_result.get(message, ())} - told_uncertain
        assert not silent, "a second DATA, and no uncertain event between"
        assert claimed.attempt > self.last.get(message, 0), "two runs under one number"
        self.last[message] = claimed.attempt
        self.no_result.setdefault(message, set()).add(claimed.attempt)
        if message not in self._handed:
            self._handed.add(message)
            self.handed += len(flight.envelope)
        return flight

    def recorded(self, flight: Flight, word: str, states: dict[int, RecipientState], *, assumed: bool) -> None:
        message = flight.claimed.message
        if word == "gone":
            return
        self.no_result[message].discard(flight.claimed.attempt)
        if word != "event":
            taken = TAKEN | ({R.uncertain} if assumed and word == "recorded" else set())
            self.has_it |= {(message, n) for n, state in states.items() if state in taken}


def look(house: House) -> Look:
    """Every message as it is now."""
    found = [Seen._make(row) for row in house.rows(_LOOK)]
    seen = {s.id: s for s in found}
    assert len(seen) == len(found), "two queue rows of one message"
    return seen


def told_uncertain(house: House) -> set[tuple[int, int]]:
    """(message, attempt) of every uncertain event."""
    found = house.rows("SELECT message, metadata FROM events WHERE type = 'uncertain'")
    return {(message, msgspec.json.decode(metadata)["attempt"]) for message, metadata in found}


def check(house: House, promises: Promises) -> Look:
    """Look at everything, and compare it with what was promised. Raises AssertionError."""
    seen = look(house)
    _every_message_has_one_truth(promises, seen)
    _counts_equal_the_rows(house, promises, seen)
    _recipients_make_the_state(house, promises, seen)
    _holders_know_what_they_hold(house, promises, seen)
    assert not house.rows(_GAPS), "a timeline with a gap"
    assert (house.rows("SELECT sum(n) FROM usage")[0][0] or 0) == promises.handed, "usage is not what was handed off"
    return seen


def _every_message_has_one_truth(promises: Promises, seen: Look) -> None:
    assert seen.keys() == set(promises.messages), "a message is lost"
    for s in seen.values():
        assert (s.status is None) is (s.held is not None), "a settled message with a queue row, or an open one without"
        assert s.held is None or State(s.held) in HELD
    back = [i for i in promises.cancelled if seen[i].state is not State.cancelled]
    assert not back, "told cancelled, and it is not"


def _counts_equal_the_rows(house: House, promises: Promises, seen: Look) -> None:
    """For the tenant and each batch, state by state, the exposed too; and none is negative."""
    shown = Counter[tuple[int, str]]()
    tenant = tenant_scope(promises.tenant, LIVE)
    for s in seen.values():
        for scope in {tenant, tenant if s.batch is None else s.batch}:
            shown[scope, s.state.name] += 1
            if s.held is not None and State(s.held) in CANCELLABLE and s.held_exposed:
                shown[scope, "exposed"] += 1
    counted = {
        (row[0], name): int(n) for row in house.rows(_COUNTS) for name, n in zip(_SUMMED, row[1:], strict=True) if n
    }
    assert min(counted.values(), default=0) >= 0, "a negative sum"
    assert counted == dict(shown), "the counts are not the rows"


def _recipients_make_the_state(house: House, promises: Promises, seen: Look) -> None:
    """A message is the fold of its recipients, but for the claim on it; and who has it keeps it."""
    people: dict[int, dict[int, RecipientState]] = {}
    for message, n, state in house.rows("SELECT message, n, state FROM recipients"):
        people.setdefault(message, {})[n] = RecipientState(state)
    for s in seen.values():
        states = people.get(s.id)
        if states is None:
            states = {0: WHILE_ALONE[s.state]}
        else:
            folded = fold(states.values())
            match s.state:
                case State.queued | State.deferred | State.processing | State.sending:
                    assert folded in WAITING, (s.state, states)
                case State.cancelled if s.held is None:
                    assert not set(states.values()) & {R.pending, R.deferred, *TAKEN}, states
                case State.cancelled:
                    assert folded in WAITING, states
                case state:
                    assert folded is state, (state, states)
        promises.has_it |= {(s.id, n) for n, state in states.items() if state in TAKEN}
        lost = [n for n, state in states.items() if (s.id, n) in promises.has_it and state not in TAKEN]
        assert not lost, "somebody who has it is to get it again"


def _holders_know_what_they_hold(house: House, promises: Promises, seen: Look) -> None:
    """No row is held by a run that no living owner was given; and what is held is noted where a rescuer looks."""
    known = {
        (party.owner, c.id, c.attempt)
        for party in house.parties
        for c in (*party.claims, *(f.claimed for f in party.flights))
    }
    held = {(s.owner, s.id, s.attempt) for s in seen.values() if s.owner is not None and s.owner not in promises.dead}
    assert held <= known, "held, and nobody knows"
    if house.is_many:
        assert not house.rows(_NOT_NOTED), "held, and no claim says so"


def numbers(promises: Promises, seen: Look, batch: int) -> dict[str, int]:
    """What cancelling the batch has to answer now."""
    found: Counter[str] = Counter()
    for s in (seen[i] for i in promises.batches[batch]):
        match s.state:
            case State.queued | State.deferred | State.processing if s.exposed:
                found["stopped"] += 1
            case State.queued | State.deferred | State.processing | State.cancelled:
                found["cancelled"] += 1
            case State.sending:
                found["in_flight"] += 1
            case State.uncertain:
                found["uncertain"] += 1
            case State.sent:
                found["sent"] += 1
            case _:
                found["settled"] += 1
    return dict(found)


def states_of(seen: Look, batch: int) -> dict[State, int]:
    """The batch's states by a look at its messages."""
    found = Counter(s.state for s in seen.values() if s.batch == batch)
    return {state: found[state] for state in _STATES if found[state]}
