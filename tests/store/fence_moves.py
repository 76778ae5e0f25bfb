"""The moves of the fence: what owners, callers and people can do, and what each answer has to be.

A move that runs alone is held to its exact answer by a look from before; moves that run at once to what some order allows.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from postclock.core.errors import Busy, Invalid
from postclock.core.lifecycle import CANCELLABLE, RecipientState, State, Step, allows
from postclock.core.message import UncertainPolicy
from postclock.store.records import LIVE, POLICIES, BatchCancelled, CancelAnswer, Claimed, Departed, Held, Rescued
from tests.store.fence_houses import Flight, House, Party
from tests.store.fence_promises import TAKEN, Look, Promises, look, numbers, told_uncertain
from tests.store.parts import RETRY_MS, SETTLE_MS, UNCERTAIN_MS, Shop
from tests.support import mails
from tests.support.clock import MovedClock

R = RecipientState
ALL: Final = 1_000
ANSWERED: Final = TAKEN | {R.bounced, R.deferred}


@dataclass(kw_only=True)
class Move:
    """A step that was chosen: its call, and what the model makes of the answer (with a look from before when it ran alone)."""

    call: Coroutine[Any, Any, Any]
    told: Callable[[Any, Look | None], None]
    turn: int = 1
    """The order in which the answers of moves at once are learned."""
    refusals: tuple[type[Exception], ...] = ()
    """What may be raised instead of an answer: it is told as one."""


@dataclass
class Life:
    """What Shop asks of a store that may be opened again."""

    store: Any

    def next(self) -> Any:
        return self.store


async def _gathered(moves: Sequence[Move]) -> list[Any]:
    """All at once; the answers, or the refusals that a caller may hear."""
    answers = await asyncio.gather(*(move.call for move in moves), return_exceptions=True)
    for move, answer in zip(moves, answers, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, move.refusals):
            raise answer
    return answers


class Moves:
    """Every move there is, over one house."""

    def __init__(self, house: House, clock: MovedClock) -> None:
        self.clock = clock
        self.house = house
        self.parties = house.parties
        store = self.parties[0].store
        self.tenant: int = house.run(Shop.open(Life(store), clock)).tenant
        self.revision: int = house.run(store.ledger.context(self.tenant)).revision
        self.promises = Promises(self.tenant)
        self.doomed: set[int] = set()
        """Owners whose life somebody has tried to end; one is left to live."""
        self.departing: set[int] = set()
        """Messages that departed in the moves under way."""
        self.people = 0

    # How moves run

    @property
    def now(self) -> int:
        """Time never stands still between two steps: a run is known by when it departed."""
        self.clock.move(0.001)
        return self.clock.now_ms()

    def alone(self, move: Move | None) -> None:
        """Run it with nothing beside it: the answer has to be exact."""
        if move is not None:
            self.departing = set()
            before = look(self.house)
            answers = self.house.run(_gathered([move]))
            move.told(answers[0], before)

    def at_once(self, moves: Sequence[Move | None]) -> None:
        """Run them at the same time: some order of them has to allow all the answers."""
        chosen = [move for move in moves if move is not None]
        self.departing = set()
        answers = self.house.run(_gathered(chosen))
        for move, answer in sorted(zip(chosen, answers, strict=True), key=lambda pair: pair[0].turn):
            move.told(answer, None)

    def new_batch(self) -> int:
        batch = mails.new_id()
        door = self.parties[0].messages
        self.house.run(door.create_batch(batch, self.tenant, LIVE, self.now))
        self.promises.batches[batch] = []
        return batch

    def party(self, who: int) -> Party:
        return self.parties[who % len(self.parties)]

    def target(self, pick: int) -> int | None:
        """A message that somebody has in hand, or any."""
        held = [c.message for p in self.parties for c in (*p.claims, *(f.claimed for f in p.flights))]
        found = held if held and pick % 4 else self.promises.messages
        return found[pick % len(found)] if found else None

    # Moves of callers and people

    def send(
        self, by: Party, pick: int, *, people: int, n: int, due_in: int = 0, policy: UncertainPolicy | None = None
    ) -> Move:
        batch = [None, *self.promises.batches][pick % (1 + len(self.promises.batches))]
        now = self.now
        messages = []
        for _ in range(n):
            addresses = [f"user{self.people + i}@example.net" for i in range(people)]
            self.people += people
            messages.append(mails.message(now + due_in, *addresses))
        acceptance = mails.acceptance(self.tenant, messages, now, batch=batch, policy=policy)

        def told(answer: Any, before: Look | None) -> None:
            if isinstance(answer, Busy):
                assert self.house.is_many
                assert by.owner in self.doomed
            elif isinstance(answer, Invalid):
                assert before is None or batch in self.promises.flagged
            else:
                assert before is None or not self.house.is_many or by.owner not in self.promises.dead
                self.promises.accepted(batch, [ident for _, ident in answer.ids])

        return Move(call=by.messages.accept(acceptance), told=told, turn=0, refusals=(Busy, Invalid))

    def cancel(self, by: Party, message: int | None) -> Move | None:
        if message is None:
            return None

        def told(answer: CancelAnswer, before: Look | None) -> None:
            assert answer.won is (answer.state is State.cancelled)
            if answer.won:
                self.promises.cancelled.add(message)
            if before is not None:
                was = before[message]
                assert answer.won is (
                    was.state is State.cancelled or allows(Step.cancel, was.state, exposed=was.exposed)
                )
            elif answer.won:
                assert message not in self.departing, "departed and cancelled at once"

        return Move(call=by.messages.cancel(self.tenant, LIVE, message, self.now), told=told, turn=2)

    def cancel_batch(self, by: Party, batch: int | None) -> Move | None:
        if batch is None:
            return None

        def told(answer: BatchCancelled, before: Look | None) -> None:
            members = self.promises.batches[batch]
            assert answer.total == len(members), "the numbers do not add up"
            after = look(self.house)
            gone = {i for i in members if after[i].state is State.cancelled}
            assert len(gone) >= answer.cancelled
            assert before is not None or not gone & self.departing, "departed and cancelled with its batch at once"
            if before is not None:
                said = {name: n for name in BatchCancelled.__slots__ if (n := getattr(answer, name))}
                assert said == numbers(self.promises, before, batch)
                assert gone == {
                    i for i in members
                    if before[i].state is State.cancelled or (before[i].state in CANCELLABLE and not before[i].exposed)
                }  # fmt: skip
            self.promises.cancelled |= gone
            self.promises.flagged.add(batch)

        return Move(call=by.messages.cancel_batch(batch, self.tenant, LIVE, self.now), told=told, turn=3)

    def ask(self, by: Party, verb: str, message: int | None) -> Move | None:
        if message is None:
            return None

        def told(answer: State | Invalid, before: Look | None) -> None:
            if isinstance(answer, Invalid):
                return
            assert before is None or before[message].state is not State.cancelled
            assert answer is State.queued or verb == "fail"

        door, now = by.messages, self.now
        call = (
            door.retry(self.tenant, LIVE, message, now)
            if verb == "retry"
            else door.fail(self.tenant, LIVE, message, now, "by hand")
        )
        return Move(call=call, told=told, refusals=(Invalid,))

    def let_go(self, by: Party, *, drop: bool = False) -> Move | None:
        idents = [p.id for p in self.house.run(by.messages.parked(None, None))]
        door, now = by.messages, self.now
        call = door.drop_parked(idents, now, "by hand") if drop else door.release_parked(idents, now)

        def told(answer: int, before: Look | None) -> None:
            assert answer == len(idents) or (before is None and answer < len(idents))

        return Move(call=call, told=told)

    # Moves of owners

    def claim(self, by: Party, limit: int = 4, ahead: int = 0) -> Move:
        owner, now = by.owner, self.now

        def told(taken: list[Claimed], _: Look | None) -> None:
            self.promises.claimed(owner, taken)
            by.claims += taken

        return Move(call=by.ledger.claim([(lane, limit) for lane in (0, 1, 2)], now, now + ahead), told=told, turn=0)

    def depart(self, by: Party, several: int = ALL) -> Move | None:
        mine, by.claims = by.claims[:several], by.claims[several:]
        if not mine:
            return None
        owner, now = by.owner, self.now

        def told(answers: list[Departed | Held], before: Look | None) -> None:
            silent = told_uncertain(self.house)
            for c, answer in zip(mine, answers, strict=True):
                if before is not None:
                    self._must_be(owner, c, answer, before, now)
                if isinstance(answer, Departed):
                    by.flights.append(self.promises.departed(owner, c, answer, silent))
                    self.departing.add(c.message)
                elif answer.why == "early":
                    by.claims.append(c)

        items = [mails.departure(c, self.revision) for c in mine]
        return Move(call=by.ledger.depart(items, now), told=told, turn=0)

    def _must_be(self, owner: int, c: Claimed, answer: Departed | Held, before: Look, now: int) -> None:
        row = before[c.message]
        if owner in self.promises.dead or (row.owner, row.attempt) != (owner, c.attempt):
            assert answer == Held("gone")
        elif c.batch not in self.promises.flagged:
            assert answer == Held("early") if c.due_at > now else isinstance(answer, Departed)

    def record(self, by: Party, pick: int, outcomes: Sequence[RecipientState], *, late: bool = False) -> Move | None:
        flights = by.doubts if late else by.flights
        if not flights:
            return None
        flight = flights.pop(pick % len(flights))
        c, owner, now = flight.claimed, by.owner, self.now
        policy = POLICIES.get(c.policy, "resend")
        states = {r.n: outcomes[i % len(outcomes)] for i, r in enumerate(flight.envelope)}
        wait = UNCERTAIN_MS if R.uncertain in states.values() else RETRY_MS
        result = mails.result(
            c, flight.departed.at, [*states.values()], retry_at=now + wait, settle_at=now + SETTLE_MS, policy=policy, dropped=flight.departed.dropped
        )  # fmt: skip

        def told(words: list[str], before: Look | None) -> None:
            (word,) = words
            if before is not None:
                assert word == self._word(owner, flight, states, before)
            assert word != "late" or before is not None or c.message not in self.departing, (
                "late, and departed again at once"
            )
            self.promises.recorded(flight, word, states, assumed=policy == "assume_sent")
            if word == "recorded" and set(states.values()) == {R.uncertain}:
                by.doubts.append(flight)

        return Move(call=by.ledger.record([result], now), told=told)

    def _word(self, owner: int, flight: Flight, states: dict[int, RecipientState], before: Look) -> str:
        """A result in time is recorded; a late one counts for its attempt while no later one has departed."""
        row, c = before[flight.claimed.message], flight.claimed
        if (row.owner, row.attempt) == (owner, c.attempt):
            return "recorded"
        held = row.held is not None and self.promises.last[c.message] == c.attempt and c.message not in self._reopened()
        counts = held and allows(Step.late, State(row.held or 0), exposed=row.exposed)
        return "late" if counts and set(states.values()) & ANSWERED else "event"

    def _reopened(self) -> set[int]:
        """Messages that were settled after their last departure, and opened again: what departed then is history."""
        found = self.house.rows("SELECT id FROM queue WHERE departed_at IS NULL AND attempt > 0")
        return {ident for (ident,) in found}

    def before_data(self, by: Party, pick: int, outcome: RecipientState) -> Move | None:
        if not by.claims:
            return None
        c, now = by.claims.pop(pick % len(by.claims)), self.now
        result = mails.result(c, None, [outcome], retry_at=now + RETRY_MS)
        return Move(call=by.ledger.record([result], now), told=lambda words, _: _one_of(words[0], "recorded", "gone"))

    def abort(self, by: Party, pick: int) -> Move | None:
        if not by.flights:
            return None
        flight = by.flights.pop(pick % len(by.flights))
        c = flight.claimed

        def told(words: list[str], _: Look | None) -> None:
            _one_of(words[0], "recorded", "gone")
            self.promises.recorded(flight, words[0], {}, assumed=False)

        return Move(call=by.ledger.record([mails.abort(c, flight.departed.at)], self.now), told=told)

    def release(self, by: Party) -> Move | None:
        mine, by.claims = by.claims, []

        def told(n: int, before: Look | None) -> None:
            if before is not None:
                assert n == sum((before[c.id].owner, before[c.id].attempt) == (by.owner, c.attempt) for c in mine)

        items = [(c.id, c.attempt) for c in mine]
        return Move(call=by.ledger.release(items, self.now), told=told) if mine else None

    def rescue(self, by: Party) -> Move:
        def told(answer: Rescued, before: Look | None) -> None:
            if before is not None:
                lost = [s for s in before.values() if s.owner in self.promises.dead]
                assert answer == Rescued(len(lost), sum(s.held == State.sending for s in lost))
                assert not [s for s in look(self.house).values() if s.owner in self.promises.dead]

        return Move(call=by.ledger.rescue(self.now, ALL, UNCERTAIN_MS, SETTLE_MS), told=told)

    def end(self, by: Party, victim: Party, *, beats: bool = False) -> Move | None:
        """Somebody has seen no beat for long; ``beats``: it wakes between the look and the end."""
        living = [p for p in self.parties if p.owner not in self.doomed]
        if by is victim or living == [victim] or (by not in living and len(living) < 2):
            return None
        if not beats:
            self.doomed.add(victim.owner)
        was_dead = victim.owner in self.promises.dead
        lives = self.house.run(by.ledger.lives())
        assert not {life.owner for life in lives} & self.promises.dead
        found = [life for life in lives if life.owner == victim.owner]
        if not found:
            assert was_dead
            return None
        if beats:
            assert self.house.run(victim.ledger.beat(self.now))

        def told(ended: bool, before: Look | None) -> None:
            if before is not None:
                assert ended is not beats
            if ended:
                self.promises.dead.add(victim.owner)
            elif not was_dead:
                self.doomed.discard(victim.owner)

        return Move(call=by.ledger.end_life(found[0], self.now), told=told, turn=2)

    def reborn(self, party: Party) -> None:
        """The process that was dead is gone for good, with all it knew; another begins in its place."""
        if party.owner in self.promises.dead:
            self.house.begin_again(party)
            party.claims, party.flights, party.doubts = [], [], []

    def beat(self, by: Party) -> Move:
        def told(lives: bool, before: Look | None) -> None:
            assert before is None or lives is (by.owner not in self.promises.dead)

        return Move(call=by.ledger.beat(self.now), told=told)

    def sweep(self, by: Party, limit: int = 2) -> Move:
        return Move(call=by.ledger.sweep(self.now, limit), told=lambda *_: None)

    def confirm(self, by: Party, limit: int = 2) -> Move:
        return Move(call=by.ledger.confirm(self.now, limit), told=lambda *_: None)


def _one_of(word: str, *words: str) -> None:
    assert word in words
