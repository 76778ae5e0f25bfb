"""The audit can fail: for each finding a history made by hand in which it must be found, and one beside it in which it must not."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from postclock.torture.audit import Findings, audit, merged, overlap
from postclock.torture.history import Asked, Attempt, BatchCancelled, Contact, History, Sum, Told

T = 1_800_000_000_000


def asked(token: str = "m0", **more: object) -> Asked:
    """An acknowledged message that was asked for at once."""
    given = {"message_id": f"msg_{token}", "acknowledged_at": T} | more
    return Asked(token=token, **given)  # type: ignore[arg-type]


def attempt(after_ms: int = 10, reply: str = "250 2.0.0 taken", *, complete: bool = True) -> Attempt:
    return Attempt(data_at=T + after_ms, complete=complete, reply=reply)


def contact(*attempts: Attempt, seen_after_ms: int | None = None, refused: bool = False) -> Contact:
    first = min((a.data_at for a in attempts), default=T) if seen_after_ms is None else T + seen_after_ms
    return Contact(seen_at=first, attempts=list(attempts), refused=refused)


def told(status: str = "delivered", uncertain: int = 0) -> Told:
    return Told(status=status, uncertain=uncertain, due_at=T)


def one(message: Asked, came: Contact | None, said: Told | None) -> History:
    """The history of one message."""
    return History(
        asked={message.token: message},
        contacts={} if came is None else {message.token: came},
        told={} if said is None else {message.token: said},
    )


MUST = ("lost", "cancelled_but_sent", "early", "duplicated_without_uncertain", "batch_sums_wrong")


def kinds(findings: Findings) -> list[str]:
    return [name for name, _ in findings.broken]


GOOD: dict[str, History] = {
    "it came once": one(asked(), contact(attempt()), told()),
    "it was cancelled and did not come": one(
        asked(cancel_asked=True, cancelled_at=T), None, told("cancelled")
    ),
    "the answer to its cancel was lost": one(asked(cancel_asked=True), None, told("cancelled")),
    "the sink refused it for good": one(asked(), contact(refused=True), told("bounced")),
    "it came, half, before it was cancelled": one(
        asked(cancel_asked=True, cancelled_at=T + 50), contact(attempt(10, "", complete=False)), told("cancelled")
    ),
    "it was put off at the dot before it was cancelled": one(
        asked(cancel_asked=True, cancelled_at=T + 50), contact(attempt(10, "451 later")), told("cancelled")
    ),
    "its cancel came while nobody knew whether it had arrived": one(
        asked(cancel_asked=True), contact(attempt(complete=False, reply="")), told("failed", uncertain=1)
    ),
    "it came at its second": one(asked(due_at=T + 10), contact(attempt(10)), told()),
    "nobody answered for it, and it is not there": one(asked(acknowledged_at=None, message_id=None), None, None),
    "nobody answered for it, and it came": one(
        asked(acknowledged_at=None, message_id=None), contact(attempt()), None
    ),
    "it came twice and the timeline says why": one(
        asked(), contact(attempt(10, ""), attempt(5_000)), told(uncertain=1)
    ),
    "it was refused and then came": one(asked(), contact(attempt(10, "451 later"), attempt(60_000)), told()),
    "it broke in the body and then came": one(asked(), contact(attempt(complete=False, reply=""), attempt(500)), told()),
}  # fmt: skip

BROKEN: dict[str, tuple[str, History]] = {
    "it never came": ("lost", one(asked(), None, told("queued"))),
    "it never came and is said to be delivered": ("lost", one(asked(), None, told("delivered"))),
    "only half of it came": ("lost", one(asked(), contact(attempt(complete=False, reply="")), told("sent"))),
    "the API does not know it": ("lost", one(asked(), contact(attempt()), None)),
    "it failed and the sink never refused it": ("lost", one(asked(), contact(), told("failed"))),
    "it is cancelled and nobody asked": ("lost", one(asked(), None, told("cancelled"))),
    "it failed after a cancel, never uncertain": ("lost", one(asked(cancel_asked=True), contact(), told("failed"))),
    "it was put off at the dot and never came": ("lost", one(asked(), contact(attempt(10, "451 later")), told("failed"))),
    "it came after its cancel was answered": (
        "cancelled_but_sent", one(asked(cancel_asked=True, cancelled_at=T), contact(attempt(10)), told("cancelled")),
    ),
    "it came before its cancel was answered": (
        "cancelled_but_sent", one(asked(cancel_asked=True, cancelled_at=T + 50), contact(attempt(10)), told("delivered")),
    ),
    "half of it came after its cancel was answered": (
        "cancelled_but_sent",
        one(asked(cancel_asked=True, cancelled_at=T), contact(attempt(complete=False, reply="")), told("cancelled")),
    ),
    "it came, is shown as cancelled, and the answer was lost": (
        "cancelled_but_sent", one(asked(cancel_asked=True), contact(attempt()), told("cancelled")),
    ),
    "it came a millisecond early": ("early", one(asked(due_at=T + 11), contact(attempt(10)), told())),
    "it began early and broke": (
        "early", one(asked(due_at=T + 11), contact(attempt(10, "", complete=False), attempt(20)), told()),
    ),
    "it came early although nobody answered for it": (
        "early", one(asked(due_at=T + 11, acknowledged_at=None, message_id=None), contact(attempt(10)), None),
    ),
    "it came twice and the timeline is silent": (
        "duplicated_without_uncertain", one(asked(), contact(attempt(10), attempt(20)), told()),
    ),
    "it came three times and was uncertain once": (
        "duplicated_without_uncertain", one(asked(), contact(attempt(10), attempt(20), attempt(30)), told(uncertain=1)),
    ),
    "a sum was wrong during the run": (
        "batch_sums_wrong", replace(GOOD["it came once"], wrong_sums=[Sum(batch="bat_1", total=2, counts={"queued": 1})]),
    ),
    "a sum is wrong at the end": (
        "batch_sums_wrong", replace(GOOD["it came once"], last_sums=[Sum(batch="bat_1", total=1, counts={"sent": 0})]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_found(name: str) -> None:
    """What the promises allow is no finding."""
    assert kinds(audit(GOOD[name])) == []


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_found(name: str) -> None:
    """What breaks a promise is found, under its own name and no other."""
    kind, history = BROKEN[name]
    assert kinds(audit(history)) == [kind]


def test_the_names_are_those_of_the_report() -> None:
    """Every finding that must be zero is tried here."""
    assert {kind for kind, _ in BROKEN.values()} == set(MUST)


def test_a_duplicate_is_counted_whether_it_was_told_or_not() -> None:
    """Both are duplicates; only the silent one is forbidden."""
    spoken = audit(GOOD["it came twice and the timeline says why"])
    silent = audit(BROKEN["it came twice and the timeline is silent"][1])
    assert (len(spoken.duplicated), len(spoken.duplicated_without_uncertain)) == (1, 0)
    assert (len(silent.duplicated), len(silent.duplicated_without_uncertain)) == (1, 1)


def batch(statuses: Sequence[str], counts: dict[str, int], *, total: int | None = None) -> History:
    """A batch whose messages ended so, and its last answer."""
    tokens = [f"m{n}" for n in range(len(statuses))]
    ends = dict(zip(tokens, statuses, strict=True))
    return History(
        asked={t: asked(t, batch="bat_1", cancel_asked=True) for t in tokens},
        contacts={t: contact(attempt()) for t in tokens if ends[t] == "delivered"},
        told={t: told(ends[t]) for t in tokens},
        last_sums=[Sum(batch="bat_1", total=sum(counts.values()) if total is None else total, counts=counts)],
    )


def test_a_batch_counts_what_its_messages_are() -> None:
    """The last answer of a batch is compared with the messages one by one."""
    ends = ["delivered", "delivered", "cancelled"]
    assert not audit(batch(ends, {"delivered": 2, "cancelled": 1, "queued": 0})).batch_sums_wrong
    for counts in ({"delivered": 3}, {"delivered": 2, "queued": 1}, {"delivered": 2}, {"delivered": 2, "cancelled": 2}):
        assert audit(batch(ends, counts)).batch_sums_wrong, counts


def test_more_left_a_cancelled_batch_than_were_in_flight() -> None:
    """What begins after the answer must have been in flight when it was given."""
    tokens = ["m0", "m1", "m2"]
    history = History(
        asked={t: asked(t, batch="bat_1", cancel_asked=True) for t in tokens},
        contacts={t: contact(attempt(10)) for t in tokens},
        told={t: told() for t in tokens},
        batches_cancelled=[BatchCancelled(batch="bat_1", answered_at=T, in_flight=3)],
    )
    assert not audit(history).cancelled_but_sent
    fewer = replace(history, batches_cancelled=[BatchCancelled(batch="bat_1", answered_at=T, in_flight=1)])
    assert len(audit(fewer).cancelled_but_sent) == 2
    before = replace(history, batches_cancelled=[BatchCancelled(batch="bat_1", answered_at=T + 10, in_flight=0)])
    assert not audit(before).cancelled_but_sent


def test_lateness_leaves_out_what_was_hurt() -> None:
    """From due to the first command, without the time in which something was hurt; more than a second is late."""
    late = one(asked(due_at=T + 1_000), contact(attempt(4_000)), told())
    assert audit(late).lateness_ms == (3_000,)
    assert len(audit(late).late) == 1
    assert audit(replace(late, hurt=[(T, T + 2_000), (T + 1_500, T + 3_500)])).lateness_ms == (500,)
    assert not audit(replace(late, hurt=[(T, T + 3_500)])).late
    assert not audit(late).broken, "late is told, not forbidden"


def test_lateness_under_a_moved_clock_is_not_judged() -> None:
    """A message that was accepted an hour ahead is due in an hour, whatever its caller thinks."""
    moved = one(asked(), contact(attempt(3_600_000)), Told(status="delivered", due_at=T + 3_600_000))
    assert audit(moved).lateness_ms == ()


def test_spans_are_merged() -> None:
    """Time that two blows share counts once."""
    spans = merged([(5, 9), (0, 3), (2, 4), (9, 10)])
    assert spans == [(0, 4), (5, 10)]
    assert overlap(spans, 3, 6) == 2
    assert overlap(spans, 20, 30) == 0
