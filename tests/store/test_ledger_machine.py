"""The ledger under random steps of everybody at once: callers, people, the engine, dead owners that wake.

After every step the counts equal the rows, every message has exactly one truth, and who was told "cancelled" is not written to.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from postclock.core.errors import Invalid
from postclock.core.lifecycle import HELD, WAITING, RecipientState, State, fold
from postclock.core.message import UncertainPolicy
from postclock.core.suppression import Suppression
from postclock.store.interface import Store
from postclock.store.records import LIVE, POLICIES, BatchCancelled, Claimed, Departed, Engagement, Owner
from postclock.store.sqlite.desk import WORDS
from postclock.store.sqlite.store import open_store
from postclock.store.steps.counting import COLUMNS, tenant_scope
from postclock.store.tables.browse import _FROM_MESSAGES, _SHOWN
from postclock.store.views import MessageFilter
from tests.store.conftest import Lives
from tests.store.parts import AHEAD_MS, RETRY_MS, SETTLE_MS, UNCERTAIN_MS, Shop
from tests.support.clock import MovedClock

R = RecipientState
OUTCOMES = (R.accepted, R.delivered, R.deferred, R.bounced, R.uncertain, R.given_up)
BEFORE = (R.deferred, R.bounced, R.given_up)
POLICY: st.SearchStrategy[UncertainPolicy | None] = st.sampled_from([None, "resend", "hold", "assume_sent"])
PICK = st.integers(0, 1_000)


class Flight(NamedTuple):
    """A departed run whose owner has not recorded it yet."""

    owner: Owner
    claimed: Claimed
    departed: Departed


class LedgerMachine(RuleBasedStateMachine):
    """Random steps against one store; the model knows what was answered and what servers said."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="postclock-machine-"))
        self.clock = MovedClock()
        self.messages: list[int] = []
        self.batches: dict[int, list[int]] = {}
        self.batch_of: dict[int, int | None] = {}
        self.cancelled: set[int] = set()
        self.cancelled_batches: set[int] = set()
        self.has_it: set[tuple[int, int]] = set()
        self.claims: list[tuple[Owner, Claimed]] = []
        self.flights: list[Flight] = []
        self.suspended = False
        self.addresses: list[str] = []

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(step)

    @initialize()
    def open(self) -> None:
        self.lives = Lives(lambda: cast(Store, open_store(self.folder, self.clock)))
        self.shop: Shop = self.run(Shop.open(self.lives, self.clock))
        for _ in range(2):
            self.batches[self.run(self.shop.batch())] = []
        for which in range(3):
            self.send(2, 2, 0, which, None)

    def teardown(self) -> None:
        if hasattr(self, "lives"):
            self.lives.end()
        self.runner.close()
        shutil.rmtree(self.folder)

    def _as(self, owner: Owner, step: Coroutine[Any, Any, Any]) -> Any:
        living = self.shop.store.ledger.owner
        self.shop.store.ledger.owner = owner
        try:
            return self.run(step)
        finally:
            self.shop.store.ledger.owner = living

    def _fresh(self, n: int) -> list[str]:
        """Addresses that nobody has bounced yet."""
        made = [f"user{len(self.addresses) + i}@example.net" for i in range(n)]
        self.addresses += made
        return made

    # Callers

    @rule(
        people=st.integers(1, 2),
        n=st.integers(1, 3),
        due_in=st.sampled_from([0, 0, AHEAD_MS, RETRY_MS]),
        batch=PICK,
        policy=POLICY,
    )
    def send(self, people: int, n: int, due_in: int, batch: int, policy: UncertainPolicy | None) -> None:
        group = [None, *self.batches][batch % (1 + len(self.batches))]
        try:
            accepted = self.run(
                self.shop.call(*[self._fresh(people) for _ in range(n)], due_in=due_in, batch=group, policy=policy)
            )
        except Invalid:
            assert group in self.cancelled_batches
            return
        assert group not in self.cancelled_batches
        for _, ident in accepted.ids:
            self.messages.append(ident)
            self.batch_of[ident] = group
            if group is not None:
                self.batches[group].append(ident)

    @precondition(lambda self: self.messages)
    @rule(which=PICK)
    def cancel(self, which: int) -> None:
        ident = self.messages[which % len(self.messages)]
        answer = self.run(self.shop.store.messages.cancel(self.shop.tenant, LIVE, ident, self.shop.now))
        assert answer.won is (answer.state is State.cancelled)
        if answer.won:
            self.cancelled.add(ident)

    @precondition(lambda self: len(self.messages) > len(self.cancelled))
    @rule(which=PICK)
    def cancel_batch(self, which: int) -> None:
        batch = list(self.batches)[which % len(self.batches)]
        states = {i: self.run(self.shop.state(i)) for i in self.batches[batch]}
        told: BatchCancelled = self.run(
            self.shop.store.messages.cancel_batch(batch, self.shop.tenant, LIVE, self.shop.now)
        )
        assert told.total == len(self.batches[batch])
        assert min(told.cancelled, told.stopped, told.in_flight, told.uncertain, told.sent, told.settled) >= 0
        assert told.uncertain == list(states.values()).count(State.uncertain)
        assert told.in_flight == list(states.values()).count(State.sending)
        if batch not in self.cancelled_batches:
            assert told.sent == list(states.values()).count(State.sent)
        self.cancelled_batches.add(batch)
        now = [i for i in self.batches[batch] if self.run(self.shop.state(i)) is State.cancelled]
        assert told.cancelled == len(now)
        self.cancelled.update(now)

    @precondition(lambda self: self.messages)
    @rule(which=PICK, verb=st.sampled_from(["retry", "fail"]))
    def ask(self, which: int, verb: str) -> None:
        ident = self.messages[which % len(self.messages)]
        door = self.shop.store.messages
        before = self.run(self.shop.state(ident))
        try:
            if verb == "retry":
                self.run(door.retry(self.shop.tenant, LIVE, ident, self.shop.now))
            else:
                self.run(door.fail(self.shop.tenant, LIVE, ident, self.shop.now, "by hand"))
        except Invalid:
            assert self.run(self.shop.state(ident)) is before
            return
        assert ident not in self.cancelled

    @rule(let_go=st.booleans())
    def parked(self, let_go: bool) -> None:
        door = self.shop.store.messages
        idents = [p.id for p in self.run(door.parked(None, None))]
        if let_go:
            assert self.run(door.release_parked(idents, self.shop.now)) == len(idents)
        else:
            assert self.run(door.drop_parked(idents, self.shop.now, "by hand")) == len(idents)

    @rule(stays=st.integers(0, 3))
    def suspend_and_resume(self, stays: int) -> None:
        """For the length of a claim, and now and then for longer."""
        self.suspended = True
        self._set_suspended()
        self.claim(2, 0)
        self.suspended = stays == 0
        self._set_suspended()

    def _set_suspended(self) -> None:
        self.run(self.shop.store.accounts.set_tenant(self.shop.tenant, suspended=self.suspended, now=self.shop.now))

    @precondition(lambda self: self.addresses)
    @rule(which=PICK)
    def suppress(self, which: int) -> None:
        address = self.addresses[which % len(self.addresses)]
        entry = Suppression(address=address, list="unsubscribes", created_at=self.shop.now)
        self.run(self.shop.store.suppressions.suppress(self.shop.tenant, LIVE, entry))

    # Time and the engine

    @rule(by=st.sampled_from([1, 1_000, AHEAD_MS, RETRY_MS, UNCERTAIN_MS, SETTLE_MS]))
    def later(self, by: int) -> None:
        self.shop.later(by)

    @rule(limit=st.integers(1, 4), ahead=st.sampled_from([0, AHEAD_MS]))
    def claim(self, limit: int, ahead: int) -> None:
        for claimed in self.run(self.shop.claim(limit, ahead=ahead)):
            assert claimed.message not in self.cancelled
            assert claimed.recipients
            self.claims.append((self.shop.store.ledger.owner, claimed))

    @rule()
    def fly(self) -> None:
        """Claim and depart at once; nobody has answered yet."""
        self.claim(4, 0)
        while self.claims:
            before = len(self.claims)
            self.depart(0, 3)
            if len(self.claims) == before:
                break

    @rule(people=st.integers(1, 2), states=st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES)))
    def cancel_a_batch_in_flight(self, people: int, states: tuple[R, R]) -> None:
        """A new batch: some of it departs, some has been tried before, some is claimed; then the flag, then the answers."""
        batch = self.run(self.shop.batch())
        self.batches[batch] = []
        which = 1 + list(self.batches).index(batch)
        self.send(people, 2, 0, which, None)
        self.run_what_is_due(states, wait=False)
        self.send(people, 2, 0, which, None)
        self.fly()
        self.send(people, 2, 0, which, None)
        self.claim(1, 0)
        self.cancel_batch(which - 1)
        while self.flights:
            self.record(0, states)
        self.new_life(10)

    @rule(states=st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES)), wait=st.booleans())
    def run_what_is_due(self, states: tuple[R, R], wait: bool) -> None:
        """Claim, depart and record at once, so that deep states are reached in few steps."""
        if wait:
            self.shop.later(RETRY_MS)
        self.fly()
        while self.flights:
            self.record(0, states)

    @precondition(lambda self: self.claims)
    @rule(which=PICK, several=st.integers(1, 3))
    def depart(self, which: int, several: int) -> None:
        owner = self.claims[which % len(self.claims)][0]
        mine = [c for o, c in self.claims if o == owner][:several]
        self.claims = [(o, c) for o, c in self.claims if c not in mine]
        for claimed, answer in zip(mine, self._as(owner, self.shop.depart(*mine)), strict=True):
            if isinstance(answer, Departed):
                assert owner == self.shop.store.ledger.owner
                assert not self.suspended
                assert claimed.message not in self.cancelled
                assert self.batch_of[claimed.message] not in self.cancelled_batches
                envelope = {(claimed.message, r.n) for r in claimed.recipients if r.n not in answer.dropped}
                assert envelope
                assert not envelope & self.has_it
                self.flights.append(Flight(owner, claimed, answer))
            elif answer.why in ("early", "stale"):
                self.claims.append((owner, claimed))

    @precondition(lambda self: self.flights)
    @rule(which=PICK, outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=2, max_size=2))
    def record(self, which: int, outcomes: Sequence[RecipientState]) -> None:
        flight = self.flights.pop(which % len(self.flights))
        c, departed = flight.claimed, flight.departed
        sent_to = [r.n for r in c.recipients if r.n not in departed.dropped]
        states = list(outcomes)[: len(sent_to)]
        policy = POLICIES.get(c.policy, "resend")
        word = self._as(flight.owner, self.shop.record(c, departed, *states, policy=policy))
        if word in ("recorded", "late"):
            taken = {R.accepted, R.delivered} | (
                {R.uncertain} if policy == "assume_sent" and word == "recorded" else set()
            )
            self.has_it |= {(c.message, n) for n, state in zip(sent_to, states, strict=True) if state in taken}
        if flight.owner == self.shop.store.ledger.owner:
            assert word == "recorded"

    @precondition(lambda self: self.claims)
    @rule(which=PICK, outcome=st.sampled_from(BEFORE))
    def record_before_departure(self, which: int, outcome: RecipientState) -> None:
        owner, claimed = self.claims.pop(which % len(self.claims))
        self._as(owner, self.shop.record(claimed, None, outcome))

    @precondition(lambda self: self.flights)
    @rule(which=PICK)
    def abort(self, which: int) -> None:
        flight = self.flights.pop(which % len(self.flights))
        self._as(flight.owner, self.shop.abort(flight.claimed, flight.departed))

    @precondition(lambda self: self.claims)
    @rule(which=PICK)
    def give_back(self, which: int) -> None:
        owner, claimed = self.claims.pop(which % len(self.claims))
        self._as(owner, self.shop.store.ledger.release([(claimed.id, claimed.attempt)], self.shop.now))

    @precondition(lambda self: self.messages)
    @rule(which=PICK)
    def engage(self, which: int) -> None:
        """Somebody opens a mail: whoever is shown to have it gets it no second time."""
        ident = self.messages[which % len(self.messages)]
        before = self.run(self.shop.detail(ident))
        seen = Engagement(ident, before.row.week, "open", None, self.shop.now, "", "", "")
        assert self.run(self.shop.store.messages.engage([seen], self.shop.now)) == 1
        after = self.run(self.shop.detail(ident))
        if after.row.state is not before.row.state:
            assert before.row.exposed
            assert (len(after.recipients), after.row.state) == (1, State.delivered)
            self.has_it.add((ident, 0))

    @rule()
    def sweep(self) -> None:
        self.run(self.shop.store.ledger.sweep(self.shop.now, 2))

    @rule()
    def confirm(self) -> None:
        self.run(self.shop.store.ledger.confirm(self.shop.now, 2))

    @rule(limit=st.integers(0, 10))
    def new_life(self, limit: int) -> None:
        self.shop.lives.next()
        self.run(self.shop.store.ledger.rescue(self.shop.now, limit, UNCERTAIN_MS, SETTLE_MS))
        for ident in self.messages:
            for r in self.run(self.shop.detail(ident)).recipients:
                if r.state is R.accepted:  # by the policy that takes the uncertain as sent
                    self.has_it.add((ident, r.n))

    # What always holds

    def _rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        store: Any = self.shop.store
        rows: list[tuple[Any, ...]] = store._readers.run_here(lambda run: run(sql, args))
        return rows

    @invariant()
    def counts_equal_the_rows(self) -> None:
        """For the tenant and each batch, state by state, the exposed too; and none is negative."""
        if not hasattr(self, "shop"):
            return
        shown = Counter[tuple[int, str]]()
        tenant = tenant_scope(self.shop.tenant, LIVE)
        for batch, state in self._rows(WORDS.fill(f"SELECT m.batch, {_SHOWN} {_FROM_MESSAGES}")):
            for scope in {tenant, tenant if batch is None else batch}:
                shown[scope, State(state).name] += 1
        for batch, n in self._rows(
            "SELECT batch, count(*) FROM queue WHERE exposed = 1 AND status IN (0, 1, 2) GROUP BY batch"
        ):
            for scope in {tenant, tenant if batch is None else batch}:
                shown[scope, "exposed"] += n
        names = (*COLUMNS, "exposed")
        counted = {
            (row[0], name): n
            for row in self._rows(f"SELECT scope, {', '.join(f'sum({c})' for c in names)} FROM counts GROUP BY scope")
            for name, n in zip(names, row[1:], strict=True)
            if n
        }
        assert counted == dict(shown)

    @invariant()
    def every_message_has_one_truth(self) -> None:
        """A queue row, or a settled state: not both, not neither; and what was called cancelled stays so."""
        if not hasattr(self, "shop"):
            return
        for ident, status, held in self._rows(
            "SELECT m.id, m.status, q.status FROM messages m LEFT JOIN queue q ON q.message = m.id"
        ):
            assert (status is None) is (held is not None), ident
            if held is not None:
                assert State(held) in HELD
        rows = {
            r.id: r
            for r in self.run(
                self.shop.store.messages.page(
                    MessageFilter(tenant=self.shop.tenant, mode=LIVE), 1, 1, 1_000, self.shop.now
                )
            ).messages
        }
        assert rows.keys() == set(self.messages)
        assert all(rows[i].state is State.cancelled for i in self.cancelled)

    @invariant()
    def a_message_is_the_fold_of_its_recipients(self) -> None:
        """But for the claim on it, and for what was cancelled as a whole."""
        for ident in self.messages[-4:]:
            detail = self.run(self.shop.detail(ident))
            folded = fold(r.state for r in detail.recipients)
            match detail.row.state:
                case State.queued | State.deferred | State.processing:
                    assert folded in WAITING
                case State.cancelled:
                    assert not {r.state for r in detail.recipients} & {R.pending, R.deferred, R.accepted, R.delivered}
                case state:
                    assert folded is state
            assert [e.n for e in detail.events] == list(range(1, len(detail.events) + 1))


LedgerMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestLedger = LedgerMachine.TestCase
