"""Every interleaving of two owners that may freeze anywhere, a person, a batch's flag and rescue, searched to the end.

A small model of one message with one recipient: it moves by the tables of core/lifecycle.py, one durable step at a time. The
same search over a model with one rule left out must find the harm that the rule prevents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import pytest

from postclock.core.lifecycle import SETTLED, WAITING, State, Step, allows, is_waiting_in_cancelled_batch

ATTEMPTS: Final = 3
"""The search ends here; what still waits after so many attempts would be given up."""
OWNERS: Final = (0, 1)


class Run(NamedTuple):
    """What one owner has in hand, wherever it may be frozen. ``at``: claimed, departed, data, dot."""

    at: str = ""
    attempt: int = 0
    doubted: bool = False
    """Whether its timeline says "uncertain" by now."""


class Look(NamedTuple):
    """What a rescuer has read of a row and not acted on yet."""

    owner: int
    departed: bool


class World(NamedTuple):
    """Row, owners, and what was said to people."""

    state: State = State.queued
    exposed: bool = False
    owner: int | None = None
    attempt: int = 0
    flight: int = 0
    """The latest attempt that departed."""
    flagged: bool = False
    told_cancelled: bool = False
    open_data: bool = False
    """DATA was written by an attempt of which neither an answer nor a doubt is on record."""
    alive: tuple[bool, bool] = (True, True)
    runs: tuple[Run, Run] = (Run(), Run())
    look: Look | None = None
    may_retry: bool = True

    def run(self, i: int, run: Run) -> "World":
        """With another thing in hand for owner ``i``."""
        return self._replace(runs=(run, self.runs[1]) if i == 0 else (self.runs[0], run))

    def live(self, i: int, lives: bool) -> "World":
        """With owner ``i`` alive, or its life ended."""
        return self._replace(alive=(lives, self.alive[1]) if i == 0 else (self.alive[0], lives))

    def is_dead(self) -> bool:
        """Whether the row's owner is known to be dead."""
        return self.owner is not None and not self.alive[self.owner]


class Harm(AssertionError):
    """What must never happen, and the way there."""


@dataclass(frozen=True)
class Rules:
    """The rules of the model; each may be left out."""

    claim_is_named: bool = True
    """Depart names its owner and attempt."""
    cancel_from_sending: bool = False
    epoch_first: bool = True
    """A rescuer ends the owner's life before it looks at its rows."""
    stop_when_exposed: bool = True
    retry_loses_first: bool = True
    flag_at_depart: bool = True
    people_cancel: bool = True
    """Not a rule: without it the search shows what else would go wrong."""


def settle(w: World, state: State) -> World:
    return w._replace(state=state, owner=None)


def doubt(w: World) -> World:
    """The result is lost: the timeline says so, and from now on somebody may have it."""
    runs = [r._replace(doubted=True) if r.at and r.attempt == w.flight else r for r in w.runs]
    return w._replace(state=State.uncertain, exposed=True, owner=None, open_data=False, runs=(runs[0], runs[1]))


def wait(w: World, state: State) -> World:
    """It waits again; in a cancelled batch it does not."""
    if w.flagged:
        return settle(w, State.failed) if w.exposed else settle(w, State.cancelled)._replace(told_cancelled=True)
    return w._replace(state=state, owner=None)


def writes(w: World, run: Run) -> World:
    """Bytes of DATA leave for the server."""
    if w.told_cancelled:
        raise Harm("a byte of DATA after the answer cancelled")
    if run.at == "departed":
        if not run.doubted and w.open_data:
            raise Harm("a second DATA, and no uncertain event between")
        return w._replace(open_data=w.open_data or not run.doubted)
    return w


def of_owner(w: World, i: int, rules: Rules) -> Iterator[World]:
    """One step of the owner ``i``, from where it stands."""
    run = w.runs[i]
    match run.at:
        case "":
            waits = allows(Step.claim, w.state) and w.owner is None
            if w.alive[i] and waits and not w.flagged and w.attempt < ATTEMPTS:
                taken = w._replace(owner=i, attempt=w.attempt + 1).run(i, Run("claimed", w.attempt + 1))
                yield taken  # reserved: due in a moment
                yield taken._replace(state=State.processing)
            if not w.alive[i] and w.owner != i and (w.look is None or w.look.owner != i):
                yield w.live(i, True)  # another process begins, under an id of its own
        case "claimed":
            named = (w.owner, w.attempt) == (i, run.attempt) or not rules.claim_is_named
            flagged = w.flagged and rules.flag_at_depart
            if w.alive[i] and named and allows(Step.depart, w.state) and not flagged:
                yield w._replace(state=State.sending, flight=run.attempt).run(i, run._replace(at="departed"))
            else:
                yield w.run(i, Run())
            if (w.owner, w.attempt) == (i, run.attempt):
                if not gone(w):
                    yield settle(w, State.failed).run(i, Run())  # no for good, before DATA
                    yield wait(w, State.deferred).run(i, Run())
                yield (settle(w, State.cancelled) if gone(w) else wait(w, State.queued)).run(i, Run())
        case "departed":
            yield writes(w, run).run(i, run._replace(at="data"))
            yield result(w, i, "abort")
        case "data":
            yield writes(w, run).run(i, run._replace(at="dot"))
            yield result(w, i, "abort")
        case "dot":
            for outcome in ("accepted", "deferred", "bounced", "lost"):
                yield result(w, i, outcome)


def gone(w: World) -> bool:
    return w.flagged and is_waiting_in_cancelled_batch(w.state, exposed=w.exposed)


def result(w: World, i: int, outcome: str) -> World:
    """The owner records what became of its run, alive or not: in time, late, or as an event alone."""
    run = w.runs[i]
    w = w.run(i, Run())
    in_time = (w.owner, w.attempt) == (i, run.attempt) and w.state is State.sending
    late = (
        w.flight == run.attempt and allows(Step.late, w.state, exposed=w.exposed) and outcome not in ("abort", "lost")
    )
    if not in_time and not late:
        return w
    if outcome == "lost":
        return doubt(w)
    answered = w._replace(open_data=False)
    match outcome:
        case "accepted":
            return settle(answered, State.sent)._replace(exposed=True)
        case "bounced":
            return settle(answered, State.bounced)
        case "deferred":
            return wait(answered, State.deferred)
        case _:
            return wait(answered, State.queued)


def of_house(w: World, rules: Rules) -> Iterator[World]:
    """What happens by itself: rescue, the policy, the sweep, the settle loop."""
    for i in OWNERS:
        other = 1 - i
        if w.alive[i] and w.alive[other]:
            yield w.live(i, False)  # taken for dead, frozen or not
        if w.look is None and w.owner == i and (not w.alive[i] or not rules.epoch_first):
            yield w._replace(look=Look(i, w.state is State.sending))
    if w.look is not None:
        seen = w._replace(look=None)
        if w.owner != w.look.owner:
            yield seen
        elif w.look.departed:
            yield doubt(seen)
        else:
            yield settle(seen, State.cancelled) if gone(seen) else wait(seen, State.queued)
    if w.state is State.uncertain:
        yield settle(w, State.failed) if w.flagged else w._replace(state=State.queued)
    if gone(w):
        yield settle(w, State.cancelled)
    if w.state is State.sent:
        yield w._replace(state=State.delivered)
    if w.state in WAITING and w.owner is None and w.attempt == ATTEMPTS and not gone(w):
        yield settle(w, State.failed)


def of_cancellers(w: World, rules: Rules) -> Iterator[World]:
    """Cancel it, or its whole batch."""
    exposed = w.exposed and rules.stop_when_exposed
    if (
        gone(w)
        or allows(Step.cancel, w.state, exposed=exposed)
        or (w.state is State.sending and rules.cancel_from_sending)
    ):
        yield settle(w, State.cancelled)._replace(told_cancelled=True)
    elif allows(Step.stop, w.state, exposed=exposed):
        yield settle(w, State.failed)
    if not w.flagged:
        flagged = w._replace(flagged=True)
        if allows(Step.stop, w.state, exposed=exposed):
            flagged = settle(flagged, State.failed)
        yield flagged._replace(told_cancelled=w.told_cancelled or gone(flagged))


def of_people(w: World, rules: Rules) -> Iterator[World]:
    """Cancel, fail, retry."""
    if rules.people_cancel:
        yield from of_cancellers(w, rules)
    if not gone(w) and allows(Step.fail, w.state, owner_dead=w.is_dead()):
        yield settle(doubt(w) if w.state is State.sending else w, State.failed)
    if w.may_retry and not w.flagged and allows(Step.retry, w.state, owner_dead=w.is_dead()):
        lost = doubt(w) if w.state is State.sending and rules.retry_loses_first else w
        yield lost._replace(state=State.queued, owner=None, may_retry=False)


def search(rules: Rules) -> int:
    """Look at every world that can be reached; raises Harm. How many there are."""
    first = World()
    before: dict[World, list[World]] = {first: []}
    front = [first]
    while front:
        reached = []
        for w in front:
            alone = [*of_owner(w, 0, rules), *of_owner(w, 1, rules), *of_house(w, rules)]
            for n, after in enumerate([*alone, *of_people(w, rules)]):
                if after not in before:
                    before[after] = []
                    reached.append(after)
                if n < len(alone):
                    before[after].append(w)
        front = reached
    settles = {w for w in before if w.state in SETTLED}
    front = list(settles)
    while front:
        front = [*{b for w in front for b in before[w]} - settles]
        settles.update(front)
    stuck = before.keys() - settles
    if stuck:
        raise Harm(f"stuck for ever: {min(stuck, key=str)}")
    untrue = [w for w in before if w.told_cancelled and not (w.state is State.cancelled or gone(w))]
    if untrue:
        raise Harm(f"told cancelled, and it is not: {untrue[0]}")
    return len(before)


def test_no_interleaving_does_harm() -> None:
    """No byte of DATA after "cancelled", no second DATA without an uncertain event, nothing stuck for ever."""
    assert search(Rules()) > 5_000


SECOND: Final = "a second DATA"
AFTER: Final = "after the answer cancelled"
STUCK: Final = "stuck for ever"


@pytest.mark.parametrize(
    ("broken", "harm"),
    [
        (Rules(claim_is_named=False), AFTER),
        (Rules(claim_is_named=False, people_cancel=False), f"{SECOND}|{STUCK}"),
        (Rules(cancel_from_sending=True), AFTER),
        (Rules(epoch_first=False), AFTER),
        (Rules(epoch_first=False, people_cancel=False), SECOND),
        (Rules(stop_when_exposed=False), AFTER),
        (Rules(retry_loses_first=False), AFTER),
        (Rules(retry_loses_first=False, people_cancel=False), SECOND),
        (Rules(flag_at_depart=False), AFTER),
    ],
)
def test_each_rule_is_needed(broken: Rules, harm: str) -> None:
    """Without it the search finds what it is there to prevent."""
    with pytest.raises(Harm, match=harm):
        search(broken)
