"""Who is dead: whoever stands still for ten seconds that were really watched, and nobody else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.engine.watch import DEAD_SECONDS, GAP_SECONDS, Watch
from postclock.store.records import Life
from tests.support.clock import MovedClock

OWN = 1


def life(owner: int = 2, beat: int = 0, *, epoch: int = 1) -> Life:
    return Life(owner, epoch, beat, api=False)


class Observer:
    """A watch with its clock."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.watch = Watch(self.clock, OWN)

    def after(self, seconds: float, *lives: Life) -> list[int]:
        """The owners found dead by a read so much later."""
        self.clock.move(seconds)
        return [dead.owner for dead in self.watch.look(lives)]


def test_who_stands_still_for_ten_seconds_is_dead() -> None:
    """Not before; and it stays so until somebody ended it."""
    observer = Observer()
    still = life(beat=7)
    assert observer.after(0, still) == []
    for _ in range(4):
        assert observer.after(2, still) == []
    assert observer.after(1.9, still) == []
    assert observer.after(0.1, still) == [2]
    assert observer.after(2, still) == [2]
    assert observer.after(2) == []


def test_a_beat_starts_it_anew() -> None:
    """Nine seconds of silence and a sign of life: nothing is left of the nine."""
    observer = Observer()
    observer.after(0, life(beat=7))
    for _ in range(4):
        observer.after(2.25, life(beat=7))
    assert observer.after(2.25, life(beat=8)) == []
    for _ in range(4):
        assert observer.after(2.25, life(beat=8)) == []
    assert observer.after(2.25, life(beat=8)) == [2]


def test_another_life_of_the_same_owner_is_another_life() -> None:
    """The epoch is part of what must stand still."""
    observer = Observer()
    observer.after(0, life(epoch=1))
    for _ in range(4):
        observer.after(2.25, life(epoch=1))
    assert observer.after(2.25, life(epoch=2)) == []


def test_nobody_is_dead_to_itself() -> None:
    """Its own beat is its own affair: the store tells it when others think otherwise."""
    observer = Observer()
    observer.after(0, life(OWN), life(2))
    for _ in range(5):
        found = observer.after(2, life(OWN), life(2))
    assert found == [2]


@pytest.mark.parametrize(("between", "dead"), [(GAP_SECONDS - 0.01, [2]), (GAP_SECONDS, []), (3_600.0, [])])
def test_time_that_nobody_watched_does_not_count(between: float, dead: list[int]) -> None:
    """A frozen observer, or a database that was away, sees the same beat after any time and learns nothing from it."""
    observer = Observer()
    observer.after(0, life())
    for _ in range(4):
        found = observer.after(between, life())
    assert found == dead


def test_a_gap_forgets_nothing_either() -> None:
    """What was counted before it stays counted: a database that flickers keeps no dead process alive for ever."""
    observer = Observer()
    observer.after(0, life())
    for _ in range(3):
        observer.after(2, life())
    observer.after(100, life())
    assert observer.after(2, life()) == []
    assert observer.after(2, life()) == [2]


CLOSE = st.floats(0.05, GAP_SECONDS - 0.01)
STEPS = st.lists(st.tuples(st.one_of(CLOSE, CLOSE, CLOSE, st.floats(GAP_SECONDS, 5_000)), st.booleans()), max_size=80)


@settings(deadline=None, max_examples=200)
@given(steps=STEPS, before_gap=st.booleans())
def test_whatever_gaps_there_are_who_beats_lives_and_who_stands_still_dies(
    steps: list[tuple[float, bool]], before_gap: bool
) -> None:
    """One beats every two seconds of shared time at the latest (nothing can be written in a gap), one never does."""
    observer = Observer()
    beat, silence, watched = 0, 0.0, 0.0
    observer.after(0, life(2, beat), life(3))
    for seconds, early in steps:
        gap = seconds >= GAP_SECONDS
        if not gap:
            silence += seconds
            watched += seconds
        # A late writer: its beat of the last two seconds is seen one read later.
        if silence >= 2 + GAP_SECONDS or (early and (not gap or before_gap)):
            beat, silence = beat + 1, 0.0
        dead = observer.after(seconds, life(2, beat), life(3))
        assert 2 not in dead
        assert (3 in dead) == (watched >= DEAD_SECONDS - 1e-6) or abs(watched - DEAD_SECONDS) < 1e-6


@settings(deadline=None, max_examples=100)
@given(
    before=st.lists(st.floats(0.05, 5_000), max_size=10),
    reads=st.lists(st.floats(0.5, GAP_SECONDS - 0.01), min_size=25, max_size=25),
)
def test_watched_without_a_gap_who_stands_still_is_dead_in_time(before: list[float], reads: list[float]) -> None:
    """Whatever was before: with the first read after ten seconds, counted from when its last beat was first seen."""
    observer = Observer()
    for seconds in before:
        observer.after(seconds, life(2, beat=1))
    observer.after(1, life(2, beat=2))
    watched, more = 0.0, 0
    for seconds in reads:
        watched += seconds
        more += watched >= DEAD_SECONDS
        if observer.after(seconds, life(2, beat=2)):
            break
    assert more <= 2  # one for rounding
    assert watched >= DEAD_SECONDS - 1e-6
