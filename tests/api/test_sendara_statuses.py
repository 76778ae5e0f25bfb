"""The words of /v1 for what the core knows of a message, and the way back for the list's filter."""

import itertools

import pytest

from postclock.api.sendara.statuses import SHOWN_AS, STATUSES, WORDS, Status, conditions_of, status_of
from postclock.core.lifecycle import SHOWN_IN, Shown, State

NOW = 1_800_000_000_000


def word(state: State, shown: Shown = Shown.nothing, *, ahead: int = 0, asked: bool = False) -> Status:
    return status_of(state, shown, due_at=NOW + ahead, asked=asked, now=NOW)


def test_every_state_has_a_word() -> None:
    """A new state cannot be forgotten, nor can a new thing to be shown, nor a word of the filter."""
    assert STATUSES.keys() == set(State)
    assert SHOWN_AS.keys() == set(Shown) - {Shown.nothing}
    assert {*STATUSES.values(), *SHOWN_AS.values(), "scheduled"} == set(WORDS) == set(Status.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State.queued, "queued"),
        (State.deferred, "queued"),
        (State.processing, "queued"),
        (State.sending, "queued"),
        (State.uncertain, "queued"),
        (State.sent, "sent"),
        (State.delivered, "delivered"),
        (State.bounced, "bounced"),
        (State.failed, "failed"),
        (State.cancelled, "canceled"),
        (State.sandbox, "delivered"),
    ],
)
def test_a_state_alone_has_its_word(state: State, said: str) -> None:
    """While nothing more is known the state speaks; Sendara writes canceled with one l."""
    assert word(state) == said


def test_only_a_queued_message_that_waits_for_its_asked_time_is_scheduled() -> None:
    """Due later with a time asked for: scheduled; due now, claimed, or held back for other reasons: queued."""
    assert word(State.queued, ahead=1, asked=True) == "scheduled"
    assert word(State.queued, ahead=0, asked=True) == "queued"
    assert word(State.queued, ahead=1, asked=False) == "queued"
    for state in set(State) - {State.queued}:
        assert word(state, ahead=1, asked=True) == STATUSES[state]


def test_the_newest_event_is_shown_where_it_counts() -> None:
    """Opened and complained after it was sent, the simulated outcome of a test message; a later bounce or failure speaks for itself."""
    assert word(State.delivered, Shown.opened) == word(State.sent, Shown.opened) == "opened"
    assert word(State.delivered, Shown.complained) == word(State.sandbox, Shown.complained) == "complained"
    assert word(State.sandbox, Shown.bounced) == "bounced"
    assert word(State.sandbox, Shown.delivered) == "delivered"
    for shown, state in itertools.product(Shown, State):
        if state not in SHOWN_IN[shown]:
            assert word(state, shown) == STATUSES[state]


def test_the_filter_finds_what_is_shown_and_nothing_else() -> None:
    """For every state, event and time: exactly the filter of the shown word holds."""
    for state, shown, asked, ahead in itertools.product(State, Shown, (False, True), (0, 1)):
        holds = [
            w
            for w in WORDS
            if shown in (c := conditions_of(w, NOW)).states.get(state, frozenset())
            and (state is not State.queued or c.waits in (None, asked and ahead > 0))
        ]
        assert holds == [word(state, shown, ahead=ahead, asked=asked)]
