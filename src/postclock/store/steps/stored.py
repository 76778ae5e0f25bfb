"""How a call lies in its rows: the values of each table's INSERT, in the order of both backends' statements."""

from typing import Any

from postclock.core.lifecycle import RecipientState, State
from postclock.store.records import Acceptance


def stored_rows(a: Acceptance) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """(name of the statement, its rows): submission, recipients, messages, queue."""
    # The latest of its messages' weeks: history is dropped by the week, and a submission goes with the last that needs it.
    week = max((m.week for m in a.messages), default=a.week)
    submission = (
        a.submission, week, a.tenant, a.created_at, a.from_email, a.subject, a.template, a.categories, a.content,
    )  # fmt: skip
    status, settled_at = (int(State.sandbox), a.created_at) if a.sandbox else (None, None)
    recipient = int(RecipientState.simulated if a.sandbox else RecipientState.pending)
    messages: list[tuple[Any, ...]] = []
    recipients: list[tuple[Any, ...]] = []
    queued: list[tuple[Any, ...]] = []
    for m in a.messages:
        n = len(m.addresses)
        messages.append(
            (
                m.id, m.week, a.tenant, a.mode, a.submission, a.batch, n, m.addresses[0] if n == 1 else None, m.from_email, m.subject,
                m.due_at, a.created_at, m.personal, status, settled_at, int(a.redact),
            )
        )  # fmt: skip
        if n > 1:
            recipients.extend((m.id, i, m.week, address, recipient) for i, address in enumerate(m.addresses))
        if not a.sandbox:
            queued.append((m.id, m.id, m.week, a.tenant, a.mode, m.lane, a.batch, m.due_at, m.due_at, a.policy))
    return [
        ("insert_submission", [submission]),
        ("insert_recipient", recipients),
        ("insert_message", messages),
        ("insert_queue", queued),
    ]
