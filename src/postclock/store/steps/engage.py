"""Engage: recipients opened their mail, or followed its links. A proof of delivery for what was uncertain."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final

from postclock.core.lifecycle import Shown, Step, allows
from postclock.store.records import Engagement
from postclock.store.steps.rows import event, settle_proved
from postclock.store.steps.work import StoredMessage, Work

MOST_TOLD: Final = 100
"""Opens and clicks of one message in its timeline; more are only counted, or whoever has a link could fill the disk."""


def engage(items: Sequence[Engagement], now: int) -> Callable[[Work], int]:
    """The job that tells the timelines; how many events were written. What names no message of ours is passed over."""
    by_message = [list(group) for _, group in groupby(sorted(items, key=_place), key=lambda i: i.message)]

    def job(tx: Work) -> int:
        return sum(_one(tx, group, now) for group in by_message)

    return job


def _place(item: Engagement) -> tuple[int, int]:
    return item.message, item.at


def _one(tx: Work, items: Sequence[Engagement], now: int) -> int:
    message = tx.message(items[0].message)
    items = [] if message is None else [i for i in items if i.week == message.week]
    if message is None or not items:
        return 0
    told = items[: max(0, MOST_TOLD - message.told)]
    for item in told:
        metadata: dict[str, Any] = {
            name: value for name, value in (("url", item.url), ("useragent", item.agent), ("ip", item.ip)) if value
        }
        event(tx, message.id, message.week, item.kind, item.at, _recipient(tx, message, item.recipient), metadata)
    _prove(tx, message, items[0].kind, now)
    opens = sum(i.kind == "open" for i in items)
    tx.note_shown(message.id, message.week, Shown.opened, opens=opens, clicks=len(items) - opens)
    return len(told)


def _recipient(tx: Work, message: StoredMessage, n: int | None) -> str | None:
    if message.rcpt is not None or n is None:
        return message.rcpt
    return next((r.address for r in tx.recipients(message.id) if r.n == n), None)


def _prove(tx: Work, message: StoredMessage, kind: str, now: int) -> None:
    """Whoever can open a mail has it. With several recipients nobody knows which of them it was."""
    row = tx.row(message.id)
    if row is None or message.rcpt is None or not allows(Step.late, row.status, exposed=row.exposed):
        return
    settle_proved(tx, row, now, message.rcpt, kind)
