"""Every rule about states: tables first, then the few lines that apply them.

Theory. A message is folded from its recipients; what waits has a queue row, and the queue row's state is the one that is
shown until the message settles. A *claim* (owner, attempt number) is the right to write the result of one run; *depart* is
the durable step before the first byte of DATA, and *cancel* is one atomic step against it: whichever commits first wins,
because neither has the other's target among its sources. *Exposed* means that somebody may already have the mail (the
result of a departed attempt was lost, or a recipient was accepted); it is never unset, and from then on nobody is told
"cancelled". An attempt that departed without a result is *uncertain*, never silently repeated.

Nothing outside this file decides which state may follow which: the store passes ``sources(step)`` into its SQL, the CHECK
constraints, the sets, the dialects' status maps and docs/states.md are derived from these tables or checked against them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Final


class State(IntEnum):
    """The states of a message; the number is what is stored."""

    queued = 0
    deferred = 1
    processing = 2
    sending = 3
    uncertain = 4
    sent = 5
    delivered = 6
    bounced = 7
    failed = 8
    cancelled = 9
    sandbox = 10


class Shown(IntEnum):
    """What a message's newest event says beyond its state; the number is what is stored. /v1 shows it as the status."""

    nothing = 0
    delivered = 1  # a test message's simulated outcome, as the next one
    bounced = 2
    opened = 3
    complained = 4


class RecipientState(IntEnum):
    """The states of one recipient; the number is what is stored."""

    pending = 0
    deferred = 1  # pending, and its last step was a deferral
    departed = 2  # on its way, no result yet
    uncertain = 3
    accepted = 4  # a relay took it; not settled
    delivered = 5
    bounced = 6
    dropped = 7  # suppressed: never put on the envelope
    given_up = 8
    stopped = 9  # cancelled before anybody could have it
    simulated = 10  # a test recipient


class Step(StrEnum):
    """What can happen to a message."""

    accept = "accept"
    reserve = "reserve"
    claim = "claim"
    depart = "depart"
    simulate = "simulate"
    refuse = "refuse"
    abort = "abort"
    settle = "settle"
    defer = "defer"
    lose = "lose"
    late = "late"
    resolve = "resolve"
    confirm = "confirm"
    bounce_back = "return"
    release = "release"
    cancel = "cancel"
    stop = "stop"
    fail = "fail"
    retry = "retry"


class Exposure(Enum):
    """What a step asks of ``exposed``."""

    any = "any"
    no = "not exposed"
    yes = "exposed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table. ``scoped``: the write names its claim (owner and attempt), and zero rows is an answer."""

    sources: frozenset[State]
    targets: frozenset[State]
    who: str
    condition: str
    scoped: bool = False
    exposure: Exposure = Exposure.any
    exposes: str = ""
    """When the step sets ``exposed``; empty: never."""
    dead_owner: frozenset[State] = frozenset()
    """Sources that count only when the owner is dead."""
    only_exposed: frozenset[State] = frozenset()
    """Sources that count only when exposed."""


def _s(*states: State) -> frozenset[State]:
    return frozenset(states)


Q, D, P = State.queued, State.deferred, State.processing
SENDING, UNCERTAIN = State.sending, State.uncertain
SENT, DELIVERED, BOUNCED, FAILED = State.sent, State.delivered, State.bounced, State.failed
CANCELLED, SANDBOX = State.cancelled, State.sandbox

WAITING: Final = _s(Q, D)
"""Waits for its time; nobody holds it, or somebody reserved it ahead of its second."""

FOLDED: Final = _s(Q, D, SENT, DELIVERED, BOUNCED, FAILED, CANCELLED)
"""What the fold can say when no recipient is under way."""

RULES: Final[dict[Step, Rule]] = {
    Step.accept: Rule(sources=_s(), targets=_s(Q, SANDBOX), who="submit", condition="the call was valid; sandbox for a test key"),
    Step.reserve: Rule(sources=WAITING, targets=WAITING, who="scheduler", condition="due later than now; owner set, attempt + 1"),
    Step.claim: Rule(sources=WAITING, targets=_s(P), who="scheduler", condition="due now; owner set, attempt + 1"),
    Step.depart: Rule(
        sources=_s(Q, D, P), targets=_s(SENDING), who="the claim's owner", scoped=True,
        condition="the owner lives, the attempt is its own, due <= now, no flag on batch or tenant, suppressed recipients dropped first, "
        "domain verified, plan allows; writes the stamp once; durable before the first byte of DATA",
    ),
    Step.simulate: Rule(sources=_s(Q, D, P), targets=_s(SANDBOX), who="the claim's owner", scoped=True, condition="a test message, at due"),
    Step.refuse: Rule(
        sources=_s(Q, D, P), targets=FOLDED, who="the claim's owner", scoped=True,
        condition="template error, all recipients suppressed, plan, domain, expired, given up; by the fold (one recipient: failed)",
    ),
    Step.abort: Rule(
        sources=_s(SENDING), targets=_s(Q), who="the claim's owner", scoped=True,
        condition="the owner knows that the final dot was not handed over",
    ),
    Step.settle: Rule(
        sources=_s(SENDING, Q, D, P), targets=_s(SENT, DELIVERED, BOUNCED, FAILED), who="record", scoped=True,
        condition="by the fold; from q*, processing when routing or the replies before DATA said no for good",
    ),
    Step.defer: Rule(
        sources=_s(SENDING, Q, D, P), targets=_s(D), who="record", scoped=True, exposes="a recipient was accepted",
        condition="a 4xx, a refused connection, DNS trouble: the next attempt by the schedule of deferrals",
    ),
    Step.lose: Rule(
        sources=_s(SENDING), targets=_s(UNCERTAIN), who="record, rescue (owner dead), shutdown", exposes="always",
        condition="the line broke or timed out after the final dot, or the process died between depart and result",
    ),
    Step.late: Rule(
        sources=_s(UNCERTAIN, Q, D, P), targets=_s(SENT, DELIVERED, BOUNCED, D), who="record", only_exposed=_s(Q, D, P),
        condition="the attempt's own late result, and no later attempt departed; a DSN, an open or a click",
    ),
    Step.resolve: Rule(
        sources=_s(UNCERTAIN), targets=_s(Q, SENT, FAILED), who="policy, operator, cancelled batch",
        condition="resend: not before departed + uncertain wait; assume_sent; a cancelled batch gives it up",
    ),
    Step.confirm: Rule(sources=_s(SENT), targets=_s(DELIVERED), who="settle loop, DSN", condition="no bounce within settle_after, or a positive DSN"),
    Step.bounce_back: Rule(sources=_s(SENT, DELIVERED, UNCERTAIN), targets=_s(BOUNCED), who="returns", condition="a DSN says failed"),
    Step.release: Rule(
        sources=_s(P, Q, D), targets=WAITING, who="rescue (owner dead), shutdown, the owner", condition="nothing departed; owner cleared",
    ),
    Step.cancel: Rule(
        sources=_s(Q, D, P), targets=_s(CANCELLED), who="a person, a batch", exposure=Exposure.no,
        condition="from the answer on not one byte of DATA is sent",
    ),
    Step.stop: Rule(
        sources=_s(Q, D, P), targets=FOLDED - WAITING, who="a person, a batch", exposure=Exposure.yes,
        condition="pending recipients are given up (may already have been delivered); by the fold",
    ),
    Step.fail: Rule(
        sources=_s(Q, D, P, UNCERTAIN, SENDING), targets=_s(FAILED), who="a person", dead_owner=_s(SENDING), condition="an optional reason",
    ),
    Step.retry: Rule(
        sources=_s(P, UNCERTAIN, FAILED, BOUNCED, SENDING), targets=_s(Q), who="a person", dead_owner=_s(SENDING),
        condition="only recipients without acceptance become pending; processing is released first, sending is lost first; not in a cancelled batch",
    ),
}  # fmt: skip

SETTLED: Final = _s(DELIVERED, BOUNCED, FAILED, CANCELLED, SANDBOX)
"""What ends a batch. ``sent`` is not among them."""

CLAIMABLE: Final = RULES[Step.claim].sources
CANCELLABLE: Final = RULES[Step.cancel].sources
HELD: Final = frozenset(State) - SETTLED
"""States that have a queue row."""
OWNED: Final = _s(Q, D, P, SENDING)
"""States in which a row may have an owner."""

RECIPIENT_PENDING: Final = frozenset({RecipientState.pending, RecipientState.deferred})
RECIPIENT_SETTLED: Final = frozenset(
    {
        RecipientState.delivered, RecipientState.bounced, RecipientState.dropped,
        RecipientState.given_up, RecipientState.stopped, RecipientState.simulated,
    }
)  # fmt: skip

# The first row that applies to any recipient names the message's state; the last, all stopped.
FOLD: Final[tuple[tuple[RecipientState, State], ...]] = (
    (RecipientState.departed, State.sending),
    (RecipientState.uncertain, State.uncertain),
    (RecipientState.deferred, State.deferred),
    (RecipientState.pending, State.queued),
    (RecipientState.accepted, State.sent),
    (RecipientState.bounced, State.bounced),
    (RecipientState.delivered, State.delivered),
    (RecipientState.given_up, State.failed),
    (RecipientState.dropped, State.failed),
    (RecipientState.simulated, State.sandbox),
    (RecipientState.stopped, State.cancelled),
)

SHOWN_IN: Final[dict[Shown, frozenset[State]]] = {
    Shown.nothing: frozenset(State),
    Shown.delivered: _s(SANDBOX),
    Shown.bounced: _s(SANDBOX),
    Shown.opened: _s(SENT, DELIVERED),
    Shown.complained: _s(SENT, DELIVERED, SANDBOX),
}
"""In which states a message's ``shown`` is looked at; in others the state alone speaks."""

WHILE_ALONE: Final[dict[State, RecipientState]] = {
    State.queued: RecipientState.pending,
    State.deferred: RecipientState.deferred,
    State.processing: RecipientState.pending,
    State.sending: RecipientState.departed,
    State.uncertain: RecipientState.uncertain,
    State.sent: RecipientState.accepted,
    State.delivered: RecipientState.delivered,
    State.bounced: RecipientState.bounced,
    State.failed: RecipientState.given_up,
    State.cancelled: RecipientState.stopped,
    State.sandbox: RecipientState.simulated,
}
"""With one recipient, message and recipient are one: the recipient's state read off the message's."""


def sources(step: Step) -> frozenset[State]:
    """From which states ``step`` may lead, before its conditions (owner, exposure) are looked at."""
    return RULES[step].sources


def allows(step: Step, state: State, *, exposed: bool = False, owner_dead: bool = False) -> bool:
    """Whether ``step`` may be taken from ``state``."""
    rule = RULES[step]
    if state not in rule.sources:
        return False
    if (rule.exposure is Exposure.no and exposed) or (rule.exposure is Exposure.yes and not exposed):
        return False
    if state in rule.dead_owner and not owner_dead:
        return False
    return exposed or state not in rule.only_exposed


def fold(recipients: Iterable[RecipientState]) -> State:
    """The message's state, folded from its recipients' (at least one); the first row of FOLD that applies."""
    present = set(recipients)
    for recipient, state in FOLD:
        if recipient in present:
            return state
    raise ValueError("a message has at least one recipient")


def halted(recipient: RecipientState, *, exposed: bool) -> RecipientState:
    """What a pending recipient becomes when its message is cancelled or stopped.

    After exposure it counts as given up ("may already have been delivered"), before as stopped.
    """
    if recipient not in RECIPIENT_PENDING:
        return recipient
    return RecipientState.given_up if exposed else RecipientState.stopped


def is_waiting_in_cancelled_batch(state: State, *, exposed: bool) -> bool:
    """Whether a row of a cancelled batch counts, and is shown, as cancelled although no sweep has reached it yet."""
    return state in CANCELLABLE and not exposed
