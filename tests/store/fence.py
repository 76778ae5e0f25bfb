"""Random steps of several owners and people at one ledger, one after the other or at once; every owner may freeze anywhere.

An owner is frozen as long as no step is its own: meanwhile others declare it dead and take its rows back, and it goes on with
what it still holds.
"""

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from postclock.core.lifecycle import RecipientState, State
from postclock.core.message import UncertainPolicy
from postclock.store.records import LIVE
from postclock.store.views import MessageFilter
from tests.store.fence_houses import OWNERS, Build, Party
from tests.store.fence_moves import Move, Moves
from tests.store.fence_promises import Look, check, states_of
from tests.store.parts import AHEAD_MS, RETRY_MS, SETTLE_MS, UNCERTAIN_MS
from tests.support.clock import MovedClock

R = RecipientState
OUTCOMES: Final = (R.accepted, R.delivered, R.deferred, R.bounced, R.uncertain, R.given_up)
TOLD_BEFORE: Final = (R.deferred, R.bounced, R.given_up)
"""What may be told of a run before DATA."""
PICK: Final = st.integers(0, 1_000)
WHO: Final = st.integers(0, OWNERS - 1)
PAIR: Final = st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES))
POLICY: Final[st.SearchStrategy[UncertainPolicy | None]] = st.sampled_from([None, "resend", "hold", "assume_sent"])
AT_ONCE: Final = (
    "depart", "depart", "claim", "record", "abort", "release", "cancel", "cancel_batch", "retry", "fail", "rescue", "end", "sweep", "confirm", "send",
    "beat", "let_go",
)  # fmt: skip
ASKED: Final = st.sampled_from(["nothing", "nothing", "nothing", "cancel", "cancel_batch", "retry", "fail"])
THEN: Final = st.sampled_from(["nothing", "cancel", "cancel", "cancel_batch", "retry", "fail"])
POLICIES_IN_TURN: Final[tuple[UncertainPolicy | None, ...]] = (None, "assume_sent", "resend", "hold", None)
ALONE: Final = (*sorted(set(AT_ONCE) - {"end", "send"}), "cancel", "retry", "drop_parked", "before_data", "sweep")
SOME: Final = st.lists(st.tuples(st.sampled_from(AT_ONCE), WHO), min_size=2, max_size=4)


class Fence(RuleBasedStateMachine):
    """One store, several owners; ``build`` opens it with the clock that the machine moves."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.clock = MovedClock()
        self.house = build(self.clock)
        self.moves = Moves(self.house, self.clock)
        self.promises = self.moves.promises
        self.steps = 0

    def teardown(self) -> None:
        self.house.close()

    @initialize()
    def begin(self) -> None:
        for which in range(2):
            self.moves.new_batch()
            self.send(0, 1 + which, 2 - which, 2, 0, None)

    def _alive(self, who: int, but: Party | None = None) -> Party:
        """An owner that lives, ``who`` if it does; ``but`` only when no other does."""
        found = [p for i in range(OWNERS) if (p := self.moves.party(who + i)).owner not in self.promises.dead]
        return next((p for p in found if p is not but), found[0])

    def _two(self, first: int, second: int) -> tuple[Party, Party]:
        """Two owners that live; where only one does, another process begins."""
        one = self._alive(first)
        if self._alive(second, one) is one:
            self.moves.reborn(next(p for p in self.moves.parties if p is not one))
        return one, self._alive(second, one)

    def _batch_of(self, message: int | None, pick: int) -> int | None:
        of = {i: batch for batch, members in self.promises.batches.items() for i in members}
        return of.get(message or 0, [*self.promises.batches][pick % len(self.promises.batches)])

    # Callers and people, at any process

    @rule(
        by=WHO,
        pick=PICK,
        people=st.integers(1, 2),
        n=st.integers(1, 3),
        due_in=st.sampled_from([0, 0, AHEAD_MS, RETRY_MS]),
        policy=POLICY,
    )
    def send(self, by: int, pick: int, people: int, n: int, due_in: int, policy: UncertainPolicy | None) -> None:
        m = self.moves
        m.alone(m.send(m.party(by), pick, people=people, n=n, due_in=due_in, policy=policy))

    @rule(kind=st.sampled_from(ALONE), by=WHO, pick=PICK, outcomes=PAIR)
    def step(self, kind: str, by: int, pick: int, outcomes: Sequence[RecipientState]) -> None:
        """Any one of them."""
        m = self.moves
        m.alone(self._move(kind, m.party(by), m.target(pick), pick, outcomes))

    # Owners

    @rule(by=st.sampled_from([1, 1_000, AHEAD_MS, RETRY_MS, UNCERTAIN_MS, SETTLE_MS]))
    def later(self, by: int) -> None:
        self.clock.move(by / 1000)

    @rule(by=WHO, limit=st.integers(1, 4), ahead=st.sampled_from([0, AHEAD_MS]))
    def claim(self, by: int, limit: int, ahead: int) -> None:
        m = self.moves
        m.alone(m.claim(m.party(by), limit, ahead))

    @rule(by=WHO, several=st.integers(1, 3))
    def depart(self, by: int, several: int) -> None:
        m = self.moves
        m.alone(m.depart(m.party(by), several))

    @rule(by=WHO)
    def fly(self, by: int) -> None:
        """Claim and depart at once: it freezes, or goes on, with mail under way."""
        m = self.moves
        m.alone(m.claim(m.party(by)))
        m.alone(m.depart(m.party(by)))

    @rule(by=WHO, pick=PICK, outcomes=PAIR)
    def record(self, by: int, pick: int, outcomes: Sequence[RecipientState]) -> None:
        m = self.moves
        m.alone(m.record(m.party(by), pick, outcomes))

    @precondition(lambda self: any(p.doubts for p in self.moves.parties))
    @rule(by=WHO, pick=PICK, outcomes=PAIR)
    def answer_after_all(self, by: int, pick: int, outcomes: Sequence[RecipientState]) -> None:
        """What was recorded as uncertain gets its answer."""
        m = self.moves
        m.alone(m.record(m.party(by), pick, outcomes, late=True))

    @rule(by=WHO, victim=WHO, beats=st.sampled_from([False, False, True]), rescues=st.booleans())
    def declare_dead(self, by: int, victim: int, beats: bool, rescues: bool) -> None:
        """Its beat stands still (or not quite); what it held is taken back, now or some time."""
        m = self.moves
        m.alone(m.end(self._alive(by, m.party(victim)), m.party(victim), beats=beats))
        if rescues:
            self.rescue(by)

    @rule(by=WHO)
    def rescue(self, by: int) -> None:
        m = self.moves
        m.alone(m.rescue(self._alive(by)))

    # Whole stories, so that deep states are reached in few steps

    @rule(by=WHO, outcomes=PAIR, wait=st.booleans())
    def run_what_is_due(self, by: int, outcomes: Sequence[RecipientState], wait: bool) -> None:
        if wait:
            self.later(RETRY_MS)
        self.fly(by)
        for _ in range(4):
            self.record(by, 0, outcomes)

    @rule(
        victim=WHO,
        by=WHO,
        far=st.sampled_from([0, 1, 2, 3, 4, 4]),
        rescues=st.sampled_from([True, True, True, False]),
        reborn=st.booleans(),
        asked=ASKED,
        then=THEN,
        outcomes=PAIR,
        late=PAIR,
        pick=PICK,
    )
    def freeze(
        self,
        victim: int,
        by: int,
        far: int,
        rescues: bool,
        reborn: bool,
        asked: str,
        then: str,
        outcomes: Sequence[RecipientState],
        late: Sequence[RecipientState],
        pick: int,
    ) -> None:
        """It freezes with mail under way and with claims; others go on with it so ``far``; it wakes."""
        m = self.moves
        frozen, other = self._two(victim, by)
        m.alone(m.send(other, pick, people=1 + pick % 2, n=2, policy=POLICIES_IN_TURN[pick % 5]))
        m.alone(m.claim(frozen))
        m.alone(m.depart(frozen))
        m.alone(m.send(other, pick, people=1 + pick % 2, n=1))
        m.alone(m.claim(frozen, 2))
        message = frozen.flights[pick % len(frozen.flights)].claimed.message if frozen.flights else m.target(pick)
        m.alone(m.end(other, frozen))
        m.alone(self._move(asked, other, message, pick, outcomes))
        if rescues:
            m.alone(m.rescue(other))
        if far > 0:
            self.later(UNCERTAIN_MS)
            m.alone(m.claim(other))
        if far > 1:
            m.alone(self._move(then, other, message, pick, outcomes))
        if far > 2:
            m.alone(m.depart(other))
        if far > 3:
            for _ in range(len(other.flights)):
                m.alone(m.record(other, 0, outcomes))
        for _ in range(1 + pick % 4):
            m.alone(m.record(frozen, pick, late))
        m.alone(m.claim(frozen))
        m.alone(m.depart(frozen))
        if reborn:
            m.reborn(frozen)

    @rule(by=WHO, other=WHO, pick=PICK, asked=ASKED)
    def lose_the_claim(self, by: int, other: int, pick: int, asked: str) -> None:
        """Nobody died: a person took the message out of its hands, and somebody else may have it by now."""
        m = self.moves
        self.send(by, pick, 1, 1, 0, None)
        self.claim(by, 4, 0)
        m.alone(self._move(asked, m.party(other), m.target(1 + pick % 3), pick, (R.deferred,)))
        self.claim(other, 4, 0)
        self.depart(by, 3)
        self.depart(other, 3)

    # At once

    @rule(some=SOME, pick=PICK, outcomes=PAIR)
    def at_once(self, some: Sequence[tuple[str, int]], pick: int, outcomes: Sequence[RecipientState]) -> None:
        """Two to four of them at the same moment, at one message or batch where there is a choice."""
        m = self.moves
        message = m.target(pick)
        m.at_once([self._move(kind, m.party(who), message, pick, outcomes) for kind, who in some])

    @rule(
        by=WHO,
        person=WHO,
        n=st.integers(1, 4),
        slow=st.booleans(),
        others=st.lists(st.tuples(st.sampled_from(AT_ONCE), WHO), max_size=2),
        pick=PICK,
        outcomes=PAIR,
    )
    def cancel_a_batch_that_departs(
        self,
        by: int,
        person: int,
        n: int,
        slow: bool,
        others: Sequence[tuple[str, int]],
        pick: int,
        outcomes: Sequence[RecipientState],
    ) -> None:
        """A new batch departs in one process and is cancelled by a person at another; ``slow``: it is too late."""
        m = self.moves
        owner, party = self._two(by, person)
        for _ in range(2):
            batch = m.new_batch()
            which = 1 + list(self.promises.batches).index(batch)
            m.alone(m.send(party, which, people=1 + pick % 2, n=n))
            m.alone(m.claim(owner))
            if slow:
                m.alone(m.cancel_batch(party, batch))
            first = [m.depart(owner), m.cancel_batch(party, batch)]
            m.at_once(
                [*first, *(self._move(kind, m.party(who), m.target(pick), pick, outcomes) for kind, who in others)]
            )
            if owner.owner in self.promises.dead or party.owner in self.promises.dead:
                break

    @rule(
        victim=WHO,
        by=WHO,
        pick=PICK,
        verb=st.sampled_from(["cancel", "retry", "fail", "record", "claim", "depart"]),
        outcomes=PAIR,
    )
    def take_over_while_it_wakes(
        self, victim: int, by: int, pick: int, verb: str, outcomes: Sequence[RecipientState]
    ) -> None:
        """It is dead; it wakes while its rows are taken back, and somebody asks for one of them."""
        m = self.moves
        frozen, rescuer = self._two(victim, by)
        m.alone(m.claim(frozen))
        m.alone(m.depart(frozen))
        m.alone(m.claim(frozen, 2))
        m.alone(m.end(rescuer, frozen))
        moves = [m.rescue(rescuer), m.record(frozen, pick, outcomes), m.depart(frozen)]
        m.at_once([*moves, self._move(verb, rescuer, m.target(pick), pick, outcomes)])

    def _move(
        self, kind: str, by: Party, message: int | None, pick: int, outcomes: Sequence[RecipientState]
    ) -> Move | None:
        m = self.moves
        match kind:
            case "record":
                return m.record(by, pick, outcomes)
            case "abort":
                return m.abort(by, pick)
            case "cancel":
                return m.cancel(by, message)
            case "cancel_batch":
                return m.cancel_batch(by, self._batch_of(message, pick))
            case "retry" | "fail":
                return m.ask(by, kind, message)
            case "rescue":
                return m.rescue(self._alive(pick))
            case "end":
                return m.end(self._alive(pick, by), by)
            case "send":
                return m.send(by, pick, people=1, n=2)
            case "depart":
                return m.depart(by)
            case "claim":
                return m.claim(by)
            case "release":
                return m.release(by)
            case "sweep":
                return m.sweep(by)
            case "confirm":
                return m.confirm(by)
            case "beat":
                return m.beat(by)
            case "before_data":
                return m.before_data(by, pick, TOLD_BEFORE[pick % len(TOLD_BEFORE)])
            case "let_go" | "drop_parked":
                return m.let_go(by, drop=kind != "let_go")
            case _:
                return None

    # What always holds

    @invariant()
    def promises_are_kept(self) -> None:
        self.steps += 1
        if self.promises.batches:
            self._reads_are_true(check(self.house, self.promises))

    def _reads_are_true(self, seen: Look) -> None:
        """A batch's status and the totals of the list, at one process after the other, are the rows."""
        by = self.moves.party(self.steps)
        batch = list(self.promises.batches)[-1 - self.steps % min(3, len(self.promises.batches))]
        tenant = self.promises.tenant
        expected = states_of(seen, batch)
        status = self.house.run(by.messages.batch(batch, tenant, LIVE))
        assert {state: n for state, n in status.counts.items() if n} == expected
        assert status.total == len(self.promises.batches[batch])
        state = list(State)[self.steps % len(State)]
        for states in (None, frozenset({state})):
            wanted = MessageFilter(tenant=tenant, mode=LIVE, batch=batch, states=states)
            page = self.house.run(by.messages.page(wanted, 1, 1, 50, self.clock.now_ms()))
            assert (
                page.total == len(page.messages) == sum(n for s, n in expected.items() if states is None or s in states)
            )
