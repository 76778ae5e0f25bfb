"""The audit: a pure function from a run's history to what went wrong. It believes acknowledgements and the sink, nothing else.

A finding is a message (or a batch) with the reason in words. What an unacknowledged call did is judged only for what may never
happen: a mail before its time, a mail after "cancelled".
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from postclock.torture.history import Asked, Attempt, Contact, History, Told

LATE_MS: Final = 1_000
"""A departure later than this, apart from the time in which something was hurt, is counted as late."""
MOVED_MS: Final = 60_000
"""A message whose due moment differs by more from what was asked was accepted under a moved clock: its lateness says nothing."""
SETTLED: Final = frozenset({"delivered", "bounced", "failed", "cancelled", "sandbox"})
COUNTED_AS: Final = {"sending": "processing"}
"""The words of a message that a batch counts under another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that went wrong: a message's token or a batch's id, and why."""

    subject: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What an audit found. ``lateness_ms`` holds one number for each message that came, sorted."""

    acknowledged: int
    lost: tuple[Finding, ...]
    cancelled_but_sent: tuple[Finding, ...]
    early: tuple[Finding, ...]
    duplicated: tuple[Finding, ...]
    duplicated_without_uncertain: tuple[Finding, ...]
    batch_sums_wrong: tuple[Finding, ...]
    late: tuple[Finding, ...]
    lateness_ms: tuple[int, ...]

    @property
    def broken(self) -> tuple[tuple[str, tuple[Finding, ...]], ...]:
        """What must be empty and is not, with its name."""
        must = ("lost", "cancelled_but_sent", "early", "duplicated_without_uncertain", "batch_sums_wrong")
        return tuple((name, found) for name in must if (found := getattr(self, name)))


def audit(history: History) -> Findings:
    """Judge a run."""
    lateness = sorted(_lateness(history), key=lambda pair: pair[1])
    return Findings(
        acknowledged=sum(asked.acknowledged_at is not None for asked in history.asked.values()),
        lost=tuple(_lost(history)),
        cancelled_but_sent=(*_sent_after_cancel(history), *_sent_from_cancelled_batches(history)),
        early=tuple(_early(history)),
        duplicated=tuple(_duplicated(history, silent_only=False)),
        duplicated_without_uncertain=tuple(_duplicated(history, silent_only=True)),
        batch_sums_wrong=tuple(_wrong_sums(history)),
        late=tuple(Finding(subject=token, why=f"{ms} ms late") for token, ms in lateness if ms > LATE_MS),
        lateness_ms=tuple(ms for _, ms in lateness),
    )


def _copies(contact: Contact | None) -> list[Attempt]:
    return [] if contact is None else [attempt for attempt in contact.attempts if attempt.is_copy]


def _lost(history: History) -> Iterator[Finding]:
    for token, asked in history.asked.items():
        if asked.acknowledged_at is None:
            continue
        contact, told = history.contacts.get(token), history.told.get(token)
        if told is None:
            yield Finding(subject=token, why=f"acknowledged as {asked.message_id}, and the API does not know it")
        elif not _copies(contact) and not _ended_well(asked, contact, told):
            yield Finding(subject=token, why=f"acknowledged as {asked.message_id}, never came, shown as {told.status}")


def _ended_well(asked: Asked, contact: Contact | None, told: Told) -> bool:
    """Whether there is a reason for a mail not to have come."""
    match told.status:
        case "cancelled":
            return asked.cancel_asked
        case "bounced" | "failed":
            # Given up by a cancel while nobody could know whether it had been delivered: the timeline says so.
            given_up = asked.cancel_asked and told.uncertain > 0
            return given_up or (contact is not None and contact.refused)
        case _:
            return False


def _sent_after_cancel(history: History) -> Iterator[Finding]:
    for token, contact in history.contacts.items():
        asked, told = history.asked.get(token), history.told.get(token)
        if asked is None:
            continue
        after = [a for a in contact.attempts if asked.cancelled_at is not None and a.data_at > asked.cancelled_at]
        if after:
            yield Finding(
                subject=token, why=f"DATA began {after[0].data_at - (asked.cancelled_at or 0)} ms after the answer"
            )
        elif _copies(contact) and (asked.cancelled_at is not None or (told is not None and told.status == "cancelled")):
            yield Finding(subject=token, why="it arrived, and is cancelled")


def _sent_from_cancelled_batches(history: History) -> Iterator[Finding]:
    """What begins after the answer was in flight when it was given: more of them than it said were sent in spite of it."""
    for cancel in history.batches_cancelled:
        began = [
            token
            for token, asked in history.asked.items()
            if asked.batch == cancel.batch
            and (contact := history.contacts.get(token)) is not None
            and any(attempt.data_at > cancel.answered_at for attempt in contact.attempts)
        ]
        for token in began[cancel.in_flight :]:
            why = f"{len(began)} of batch {cancel.batch} began after its cancel, {cancel.in_flight} were in flight"
            yield Finding(subject=token, why=why)


def _early(history: History) -> Iterator[Finding]:
    for token, contact in history.contacts.items():
        asked = history.asked.get(token)
        if asked is None or asked.due_at is None:
            continue
        first = min((attempt.data_at for attempt in contact.attempts), default=asked.due_at)
        if first < asked.due_at:
            yield Finding(subject=token, why=f"DATA began {asked.due_at - first} ms before it was due")


def _duplicated(history: History, *, silent_only: bool) -> Iterator[Finding]:
    for token, contact in history.contacts.items():
        copies, told = len(_copies(contact)), history.told.get(token)
        uncertain = 0 if told is None else told.uncertain
        if copies > 1 and not (silent_only and uncertain >= copies - 1):
            yield Finding(subject=token, why=f"{copies} copies, {uncertain} times uncertain")


def _wrong_sums(history: History) -> Iterator[Finding]:
    for reading in history.wrong_sums:
        why = f"{dict(reading.counts)} are {sum(reading.counts.values())}, not {reading.total}"
        yield Finding(subject=reading.batch, why=why)
    members: dict[str, list[Asked]] = {}
    for asked in history.asked.values():
        if asked.batch is not None:
            members.setdefault(asked.batch, []).append(asked)
    for last in history.last_sums:
        if sum(last.counts.values()) != last.total:
            yield Finding(subject=last.batch, why=f"at the end {dict(last.counts)} are not {last.total}")
        own = members.get(last.batch, [])
        if any(asked.acknowledged_at is None for asked in own):
            continue  # whether those exist nobody knows
        shown = Counter(_counted(history.told.get(asked.token)) for asked in own)
        if {word: n for word, n in last.counts.items() if n} != dict(shown):
            yield Finding(subject=last.batch, why=f"it counts {dict(last.counts)}, its messages are {dict(shown)}")


def _counted(told: Told | None) -> str:
    return "unknown" if told is None else COUNTED_AS.get(told.status, told.status)


def _lateness(history: History) -> Iterator[tuple[str, int]]:
    hurt = merged(history.hurt)
    for token, asked in history.asked.items():
        contact, told = history.contacts.get(token), history.told.get(token)
        if contact is None or asked.acknowledged_at is None:
            continue
        due = max(asked.acknowledged_at, asked.due_at or 0)
        if told is not None and abs(told.due_at - due) > MOVED_MS:
            continue
        yield token, max(0, contact.seen_at - due - overlap(hurt, due, contact.seen_at))


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch made one."""
    done: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if done and begin <= done[-1][1]:
            done[-1] = (done[-1][0], max(end, done[-1][1]))
        else:
            done.append((begin, end))
    return done


def overlap(spans: Sequence[tuple[int, int]], begin: int, end: int) -> int:
    """How much of ``begin`` to ``end`` lies in the merged spans."""
    return sum(max(0, min(end, e) - max(begin, b)) for b, e in spans)
