"""The tables of states: complete, in the order that was promised, and the same wherever they are used."""

import importlib.util
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postclock.api.scaisend.message_shapes import COUNTED, SHOWN
from postclock.core import lifecycle
from postclock.core.lifecycle import (
    CANCELLABLE,
    CLAIMABLE,
    FOLD,
    HELD,
    OWNED,
    RECIPIENT_PENDING,
    RECIPIENT_SETTLED,
    RULES,
    SETTLED,
    WAITING,
    WHILE_ALONE,
    Exposure,
    RecipientState,
    State,
    Step,
    allows,
    fold,
    halted,
    is_waiting_in_cancelled_batch,
    sources,
)
from postclock.store.steps.counting import COLUMNS

R = RecipientState

# The state machine as it was designed, written once more by hand: step, from, to. "*" after a state: only with a dead owner;
# "!": only when exposed.
DESIGN: Final = {
    "accept": ("", "queued sandbox"),
    "reserve": ("queued deferred", "queued deferred"),
    "claim": ("queued deferred", "processing"),
    "depart": ("queued deferred processing", "sending"),
    "simulate": ("queued deferred processing", "sandbox"),
    "refuse": ("queued deferred processing", "queued deferred sent delivered bounced failed cancelled"),
    "abort": ("sending", "queued"),
    "settle": ("sending queued deferred processing", "sent delivered bounced failed"),
    "defer": ("sending queued deferred processing", "deferred"),
    "lose": ("sending", "uncertain"),
    "late": ("uncertain queued! deferred! processing!", "sent delivered bounced deferred"),
    "resolve": ("uncertain", "queued sent failed"),
    "confirm": ("sent", "delivered"),
    "return": ("sent delivered uncertain", "bounced"),
    "release": ("processing queued deferred", "queued deferred"),
    "cancel": ("queued deferred processing", "cancelled"),
    "stop": ("queued deferred processing", "sent delivered bounced failed cancelled"),
    "fail": ("queued deferred processing uncertain sending*", "failed"),
    "retry": ("processing uncertain failed bounced sending*", "queued"),
}
SCOPED: Final = {"depart", "simulate", "refuse", "abort", "settle", "defer"}
EXPOSURE: Final = {"cancel": Exposure.no, "stop": Exposure.yes}


def named(states: str) -> set[State]:
    return {State[word.rstrip("*!")] for word in states.split()}


def test_every_step_of_the_design_is_in_the_table_and_no_other() -> None:
    """A step that is added needs its row here, too."""
    assert {step.value for step in Step} == set(DESIGN)
    assert set(RULES) == set(Step)


@pytest.mark.parametrize("step", Step)
def test_a_step_leads_from_where_to_where_it_was_designed(step: Step) -> None:
    """Sources, targets, and whether its write names the claim."""
    origin, target = DESIGN[step.value]
    rule = RULES[step]
    assert sources(step) == rule.sources == named(origin)
    assert rule.targets == named(target)
    assert rule.scoped is (step.value in SCOPED)
    assert rule.exposure is EXPOSURE.get(step.value, Exposure.any)
    assert rule.who
    assert rule.condition


@pytest.mark.parametrize("step", Step)
def test_a_step_is_allowed_row_by_row(step: Step) -> None:
    """For every state, exposed or not, owner dead or not."""
    words = {State[w.rstrip("*!")]: w for w in DESIGN[step.value][0].split()}
    for state in State:
        for exposed in (False, True):
            for dead in (False, True):
                word = words.get(state)
                expected = word is not None
                if word is not None and word.endswith("*"):
                    expected = dead
                if word is not None and word.endswith("!"):
                    expected = exposed
                if step is Step.cancel:
                    expected = expected and not exposed
                if step is Step.stop:
                    expected = expected and exposed
                assert allows(step, state, exposed=exposed, owner_dead=dead) is expected, (state, exposed, dead)


def test_depart_and_cancel_exclude_each_other() -> None:
    """Whichever commits first wins: neither has the other's target among its sources."""
    assert not RULES[Step.depart].targets & RULES[Step.cancel].sources
    assert not RULES[Step.cancel].targets & RULES[Step.depart].sources
    assert not RULES[Step.cancel].targets & frozenset().union(*(sources(s) for s in Step))


def test_the_sets_fit_together() -> None:
    """A message is held or settled; what waits is claimable; what is claimable is cancellable and may be owned."""
    assert set(State) == HELD | SETTLED
    assert not HELD & SETTLED
    assert WAITING == CLAIMABLE
    assert CLAIMABLE < CANCELLABLE < OWNED < HELD
    assert State.sent not in SETTLED
    assert not RECIPIENT_PENDING & RECIPIENT_SETTLED


def test_from_every_held_state_something_settles() -> None:
    """No state is a dead end, and the settled ones are left only by a person, or by a bounce that comes back."""
    reached = set(SETTLED)
    while more := {s for r in RULES.values() if r.targets & reached for s in r.sources} - reached:
        reached |= more
    assert reached == set(State)
    leaving = {step for step in Step if sources(step) & SETTLED}
    assert leaving == {Step.retry, Step.bounce_back}


def by_hand(recipients: Iterable[R]) -> State:
    """The fold in the words of its definition."""
    present = set(recipients)
    for state, word in (
        (State.sending, {R.departed}),
        (State.uncertain, {R.uncertain}),
        (State.deferred, {R.deferred}),
        (State.queued, {R.pending}),
        (State.sent, {R.accepted}),
        (State.bounced, {R.bounced}),
        (State.delivered, {R.delivered}),
        (State.failed, {R.given_up, R.dropped}),
        (State.sandbox, {R.simulated}),
    ):
        if present & word:
            return state
    assert present == {R.stopped}
    return State.cancelled


@given(st.lists(st.sampled_from(R), min_size=1, max_size=12))
def test_the_fold_is_total_and_keeps_its_order(recipients: list[R]) -> None:
    """Whatever the recipients' states and their order, there is one answer."""
    assert fold(recipients) is by_hand(recipients)
    assert fold(reversed(recipients)) is fold(recipients)
    assert fold(recipients * 2) is fold(recipients)


def test_every_recipient_state_has_its_place_in_the_fold() -> None:
    """Each once; a message without recipients is none."""
    assert sorted(r for r, _ in FOLD) == sorted(R)
    with pytest.raises(ValueError, match="at least one"):
        fold([])


@given(st.lists(st.sampled_from(R), min_size=1, max_size=8), st.booleans())
def test_what_was_halted_waits_no_longer(recipients: list[R], exposed: bool) -> None:
    """Only the pending change; after exposure nobody is called stopped."""
    after = [halted(r, exposed=exposed) for r in recipients]
    assert not set(after) & RECIPIENT_PENDING
    for old, new in zip(recipients, after, strict=True):
        assert new is (old if old not in RECIPIENT_PENDING else R.given_up if exposed else R.stopped)
    assert fold(after) not in WAITING


@pytest.mark.parametrize("state", State)
def test_a_message_with_one_recipient_folds_to_itself(state: State) -> None:
    """But for processing, which is a claim and no outcome."""
    assert fold([WHILE_ALONE[state]]) is (State.queued if state is State.processing else state)


@pytest.mark.parametrize("state", State)
def test_in_a_cancelled_batch_what_could_be_cancelled_is(state: State) -> None:
    """Not what is exposed, and not what is past cancelling."""
    assert is_waiting_in_cancelled_batch(state, exposed=False) is allows(Step.cancel, state)
    assert not is_waiting_in_cancelled_batch(state, exposed=True)


def test_every_dialect_has_a_word_for_every_state() -> None:
    """Shown and counted; the eight counts are all used, and no more."""
    assert set(SHOWN) == set(COUNTED) == set(State)
    assert len(set(COUNTED.values())) == 8


# What the file says


def checks(backend: str) -> dict[str, list[str]]:
    """The CHECK constraints of the ledger's tables."""
    text = (files(f"postclock.store.{backend}.migrations") / "0001_ledger.sql").read_text("utf-8")
    found: dict[str, list[str]] = {}
    for name, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", text, re.DOTALL):
        found[name] = re.findall(r"CHECK \(((?:[^()]|\([^()]*\))*)\)", body)
    return found


def between(constraint: str) -> set[int]:
    low, high = re.findall(r"BETWEEN (\d+) AND (\d+)", constraint)[0]
    return set(range(int(low), int(high) + 1))


def listed(constraint: str) -> set[int]:
    return {int(n) for n in re.findall(r"status (?:NOT )?IN \(([\d, ]+)\)", constraint)[0].split(", ")}


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_the_files_constraints_are_the_tables_sets(backend: str) -> None:
    """What has a queue row is held, what has a state of its own is settled, and only what may be owned has an owner."""
    found = checks(backend)
    (held,) = (c for c in found["queue"] if c.startswith("status BETWEEN"))
    (owned,) = (c for c in found["queue"] if c.startswith("owner IS NULL OR"))
    (owner,) = (c for c in found["queue"] if c.startswith("status NOT IN"))
    (settled,) = (c for c in found["messages"] if c.startswith("status BETWEEN"))
    (recipient,) = (c for c in found["recipients"] if c.startswith("state BETWEEN"))
    assert between(held) == HELD
    assert listed(owned) == OWNED
    assert listed(owner) == OWNED - WAITING
    assert between(settled) == SETTLED
    assert between(recipient) == set(R)


def test_the_counts_have_a_column_for_every_state() -> None:
    """In the order of their numbers."""
    assert tuple(s.name for s in State) == COLUMNS
    assert [int(s) for s in State] == list(range(len(State)))


def test_the_page_of_states_is_current() -> None:
    """docs/states.md is what docs/make_states.py writes."""
    script = Path(__file__).parents[2] / "docs" / "make_states.py"
    spec = importlib.util.spec_from_file_location("make_states", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page()
    assert {name for name in dir(lifecycle) if name in module.SETS} == set(module.SETS)
