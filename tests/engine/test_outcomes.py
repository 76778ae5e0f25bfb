"""From what a server said to what is recorded."""

from typing import Final

import pytest

from postclock.core.lifecycle import RecipientState, State
from postclock.core.message import UncertainPolicy
from postclock.core.outcome import Outcome, Phase, Trouble, broken, settled
from postclock.core.reply import Reply
from postclock.courier.interface import Delivery, HostUnavailable
from postclock.engine import outcomes
from postclock.engine.prepare import Refused
from postclock.engine.settings import EngineSettings
from postclock.store.records import Claimed, PendingRecipient, Result
from tests.engine.courier_double import BROKEN, CLOSING, LATER, NO_USER, TAKEN, outcome_of

NOW: Final = 1_800_000_000_000
MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
ADA, BOB = PendingRecipient(0, "ada@example.net"), PendingRecipient(1, "bob@example.net")


def claimed(
    *, deferrals: int = 0, tried_at: int = NOW, due_at: int = NOW, recipients: tuple[PendingRecipient, ...] = (ADA,)
) -> Claimed:
    return Claimed(
        1, 1, 1, 1, 0, 0, None, 1, due_at, due_at, State.processing, 3, False, 0, deferrals, tried_at, None, None, b"",
        len(recipients), recipients,
    )  # fmt: skip


def said(
    *answers: Reply | Outcome,
    claim: Claimed | None = None,
    policy: UncertainPolicy = "resend",
    jitter: float = 0.5,
    settle_after: int = 0,
    departed_at: int = NOW,
) -> Result:
    """The result when the server answered so, one answer a recipient."""
    c = claim or claimed()
    delivery = Delivery(
        outcomes=tuple(outcome_of(a) for a in answers),
        reply=None, data_at_ms=NOW + 3, replied_at_ms=NOW + 9, host="mx.example.net", dot_sent=True,
    )  # fmt: skip
    return outcomes.of_delivery(
        c, c.recipients, delivery, departed_at=departed_at, now=NOW, jitter=jitter, policy=policy,
        settings=EngineSettings(settle_after_ms=settle_after),
    )  # fmt: skip


def test_taken_by_a_relay_is_accepted_until_it_settles() -> None:
    """With a time to settle it is accepted and settles then; without one it is delivered at once."""
    result = said(TAKEN, settle_after=24 * HOUR)
    assert (result.results[0].state, result.settle_at) == (RecipientState.accepted, NOW + 24 * HOUR)
    result = said(TAKEN)
    assert (result.results[0].state, result.settle_at) == (RecipientState.delivered, None)
    assert (result.departed_at, result.data_at, result.host) == (NOW, NOW + 3, "mx.example.net")


def test_a_refusal_for_good_bounces_with_its_kind() -> None:
    """No such user is a hard bounce; a policy refusal is told as blocked."""
    (hard,) = said(NO_USER).results
    assert (hard.state, hard.event, hard.bounce_type, hard.code, hard.enhanced) == (
        RecipientState.bounced,
        "bounce",
        "hard",
        550,
        "5.1.1",
    )
    (blocked,) = said(Reply(554, "5.7.1", "blocked by policy")).results
    assert (blocked.event, blocked.bounce_type) == ("blocked", "block")


@pytest.mark.parametrize(("deferrals", "minutes"), [(0, 1), (1, 5), (4, 60), (9, 120)])
def test_a_deferral_waits_by_the_schedule(deferrals: int, minutes: int) -> None:
    """The more often, the longer."""
    result = said(LATER, claim=claimed(deferrals=deferrals))
    assert (result.results[0].state, result.retry_at) == (RecipientState.deferred, NOW + minutes * MINUTE)
    assert result.reason is None


def test_given_up_after_three_days_from_the_first_attempt() -> None:
    """When the next attempt would come later than that; the last reply is the reason."""
    young = claimed(deferrals=9, tried_at=NOW - 69 * HOUR)
    assert said(LATER, claim=young).results[0].state is RecipientState.deferred
    (old,) = said(LATER, claim=claimed(deferrals=9, tried_at=NOW - 71 * HOUR)).results
    assert (old.state, old.code) == (RecipientState.given_up, 451)
    assert old.reply.startswith("given up: 451")


def test_never_given_up_for_having_been_accepted_long_ago() -> None:
    """Accepted for next year and tried for the first time today: it has its three days."""
    assert (
        said(LATER, claim=claimed(due_at=NOW - 400 * 24 * HOUR, tried_at=NOW)).results[0].state
        is RecipientState.deferred
    )


def test_the_uncertain_waits_from_its_departure_at_least() -> None:
    """Eleven minutes by default, or longer by the schedule when it happened before."""
    result = said(BROKEN, departed_at=NOW - 2 * MINUTE)
    assert (result.results[0].state, result.retry_at) == (RecipientState.uncertain, NOW + 9 * MINUTE)
    assert said(BROKEN, claim=claimed(deferrals=5)).retry_at == NOW + 2 * HOUR


@pytest.mark.parametrize("policy", ["resend", "hold", "assume_sent"])
def test_the_policy_goes_with_the_result(policy: UncertainPolicy) -> None:
    """The store applies it in the same transaction."""
    assert said(BROKEN, policy=policy).policy == policy


def test_the_uncertain_is_not_sent_again_for_ever() -> None:
    """Under the policy to resend it ends with the three days; held for a person it waits on."""
    old = claimed(tried_at=NOW - 72 * HOUR)
    (ended,) = said(BROKEN, claim=old).results
    assert ended.state is RecipientState.given_up
    assert "may already have been delivered" in ended.reply
    assert said(BROKEN, claim=old, policy="hold").results[0].state is RecipientState.uncertain


def test_a_421_counts_for_the_host() -> None:
    """It waits the shortest time, and its own schedule does not advance (the store looks at ``reason`` for that)."""
    result = said(CLOSING, claim=claimed(deferrals=7))
    assert (result.results[0].state, result.retry_at) == (RecipientState.deferred, NOW + MINUTE)
    assert result.reason is not None


def test_each_recipient_has_its_own_outcome() -> None:
    """One taken, one deferred: both are told; the deferral is the message's, so the schedule advances."""
    result = said(TAKEN, LATER, claim=claimed(recipients=(ADA, BOB)))
    assert [(r.n, r.state) for r in result.results] == [(0, RecipientState.delivered), (1, RecipientState.deferred)]
    assert result.reason is None


def host(retry_at: int | None, *, tried_at: int = NOW, jitter: float = 0.0) -> Result:
    trouble = HostUnavailable("connecting: refused", retry_at_ms=retry_at)
    return outcomes.of_host(claimed(tried_at=tried_at), trouble, now=NOW, jitter=jitter, settings=EngineSettings())


def test_no_connection_departs_nothing_and_advances_nothing() -> None:
    """It is tried again when the host may be asked again, spread a little; never within the same second."""
    result = host(NOW + 30_000, jitter=0.5)
    assert (result.departed_at, result.retry_at, result.reason) == (None, NOW + 31_000, "connecting: refused")
    assert result.results[0].state is RecipientState.deferred
    assert host(None).retry_at == host(NOW - 5).retry_at == NOW + 1_000


def test_a_host_that_is_away_for_three_days_ends_it() -> None:
    """Three days from the first try."""
    assert host(None, tried_at=NOW - 73 * HOUR).results[0].state is RecipientState.given_up


def refusal(*, later: bool, tried_at: int = NOW) -> Result:
    refused = Refused(claimed(tried_at=tried_at), "why", later=later)
    return outcomes.of_refusal(refused, now=NOW, jitter=0.5, settings=EngineSettings())


def test_what_cannot_be_made_fails_and_our_own_fault_waits() -> None:
    """A wrong template is final; a fault of ours is tried again, for three days."""
    final = refusal(later=False)
    assert (final.departed_at, final.results[0].state, final.reason) == (None, RecipientState.given_up, "why")
    ours = refusal(later=True)
    assert (ours.departed_at, ours.results[0].state, ours.retry_at) == (None, RecipientState.deferred, NOW + MINUTE)
    assert refusal(later=True, tried_at=NOW - 73 * HOUR).results[0].state is RecipientState.given_up


def test_an_abort_says_nothing_of_the_recipients() -> None:
    """It departed, nobody can have it, it waits as before."""
    result = outcomes.of_abort(claimed(), NOW)
    assert (result.abort, result.departed_at, result.results) == (True, NOW, ())


@pytest.mark.parametrize(("dot_sent", "state"), [(False, "deferred"), (True, "uncertain")])
def test_a_conversation_our_own_fault_ended_is_judged_by_the_dot(dot_sent: bool, state: str) -> None:
    """Before the dot nobody has it; after it nobody knows."""
    delivery = outcomes.broken_off(2, "ValueError", dot_sent=dot_sent, now=NOW)
    assert [o.state for o in delivery.outcomes] == [state, state]


def test_the_double_answers_as_a_server_would() -> None:
    """What these stories are told with agrees with the table of outcomes."""
    assert outcome_of(LATER) == settled(Phase.DOT, LATER)
    assert outcome_of(BROKEN) == broken(Phase.DOT, Trouble.LOST)
