"""The table of outcomes, held against the rules it was made from."""

import pytest

from postclock.core.outcome import Phase, Trouble, Verdict, broken, judge, refused_here, settled
from postclock.core.reply import Reply

OPENING = [Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH]


@pytest.mark.parametrize("trouble", Trouble)
@pytest.mark.parametrize("phase", Phase)
def test_a_break_is_uncertain_only_after_the_dot(phase: Phase, trouble: Trouble) -> None:
    """Before it the server cannot have the mail; while opening, the host is at fault."""
    outcome = broken(phase, trouble, "why")
    assert outcome.state == ("uncertain" if phase is Phase.DOT else "deferred")
    assert outcome.host_trouble == (phase in OPENING)
    assert outcome.text == f"{phase.value}: {trouble.value} (why)"


@pytest.mark.parametrize("phase", Phase)
def test_every_code_has_a_verdict_in_every_phase(phase: Phase) -> None:
    """4xx defers and 5xx bounces the message; 421 and anything while opening is the host's; 2xx counts only at the dot."""
    for code in range(200, 600):
        assert judge(phase, Reply(code)) is ruled(phase, code), code


def ruled(phase: Phase, code: int) -> Verdict:
    """The rules as sentences, where the table has them as columns."""
    match phase, code // 100:
        case _, 4 if code == 421:
            return Verdict.HOST
        case Phase.AUTH, 3:
            return Verdict.GO_ON
        case ((Phase.CONNECT | Phase.EHLO | Phase.STARTTLS | Phase.AUTH), (3 | 4 | 5)):
            return Verdict.HOST
        case _, 4:
            return Verdict.DEFERRED
        case Phase.RCPT, 5 if code == 552:
            return Verdict.DEFERRED
        case _, 5:
            return Verdict.BOUNCED
        case Phase.DATA, 3:
            return Verdict.GO_ON
        case Phase.DOT, 2:
            return Verdict.ACCEPTED
        case Phase.DOT, 3:
            return Verdict.UNCERTAIN
        case ((Phase.DATA | Phase.BODY), 2):
            return Verdict.DEFERRED
        case _, 3:
            return Verdict.DEFERRED
        case _:
            return Verdict.GO_ON


def test_going_on_is_no_outcome() -> None:
    """A 250 to MAIL settles nothing, a 250 to the dot does."""
    assert settled(Phase.MAIL, Reply(250, "2.1.0", "fine")) is None
    taken = settled(Phase.DOT, Reply(250, "2.0.0", "queued as 1"))
    assert taken is not None
    assert (taken.state, taken.text, taken.host_trouble) == ("accepted", "250 2.0.0 queued as 1", False)


def test_a_reply_out_of_place_is_named() -> None:
    """A 250 to DATA is a deferral that says what was strange."""
    outcome = settled(Phase.DATA, Reply(250, None, "done"))
    assert outcome is not None
    assert outcome.text == "DATA: unexpected reply: 250 done"


def test_a_refusal_of_our_own_is_marked() -> None:
    """The server was not asked."""
    outcome = refused_here(552, "5.3.4", "too big")
    assert (outcome.state, outcome.local, outcome.text) == ("bounced", True, "552 5.3.4 too big")


def test_long_reasons_are_cut() -> None:
    """What is stored has a bound."""
    assert len(broken(Phase.MAIL, Trouble.GARBAGE, "x" * 5_000).text) == 1_000
