"""The statuses of /v1: the visible table from the core's states to its words, and the way back for the list's filter.

A word depends on the state, on what the newest event says beyond it, and, while a message is queued, on whether it waits for a time
that was asked for (Sendara's documentation, events and scheduled sends).
"""

from typing import Final, Literal

from postclock.core.lifecycle import SHOWN_IN, Shown, State
from postclock.service.records import StatusFilter

Status = Literal[
    "scheduled", "queued", "sent", "delivered", "opened", "bounced", "complained", "failed", "canceled"
]  # fmt: skip

STATUSES: Final[dict[State, Status]] = {
    State.queued: "queued",
    State.deferred: "queued",
    State.processing: "queued",
    State.sending: "queued",
    State.uncertain: "queued",
    State.sent: "sent",
    State.delivered: "delivered",
    State.bounced: "bounced",
    State.failed: "failed",
    State.cancelled: "canceled",
    State.sandbox: "delivered",
}
"""The word of each state by itself. What only went to the sandbox counts as delivered, unless its simulated outcome says more."""

SHOWN_AS: Final[dict[Shown, Status]] = {
    Shown.delivered: "delivered",
    Shown.bounced: "bounced",
    Shown.opened: "opened",
    Shown.complained: "complained",
}
"""The word of what a message's newest event says, in the states where that is looked at."""

WORDS: Final[tuple[Status, ...]] = (
    "scheduled", "queued", "sent", "delivered", "opened", "bounced", "complained", "failed", "canceled",
)  # fmt: skip


def status_of(state: State, shown: Shown, *, due_at: int, asked: bool, now: int) -> Status:
    """The word that is shown at ``now``. ``asked``: a time was asked for; ``due_at`` and ``now`` in UTC milliseconds."""
    if state is State.queued and asked and due_at > now:
        return "scheduled"
    return _settled(state, shown)


def conditions_of(word: Status, now: int) -> StatusFilter:
    """What must hold of a message that is shown with this word at ``now``."""
    plain: Status = "queued" if word == "scheduled" else word
    found = {
        state: frozenset(shown for shown in Shown if _settled(state, shown) == plain)
        for state in State
        if word != "scheduled" or state is State.queued
    }
    waits = {"scheduled": True, "queued": False}.get(word)
    return StatusFilter(states={state: shown for state, shown in found.items() if shown}, waits=waits, now=now)


def _settled(state: State, shown: Shown) -> Status:
    """The word without a look at the clock."""
    if shown in SHOWN_AS and state in SHOWN_IN[shown]:
        return SHOWN_AS[shown]
    return STATUSES[state]
