"""Builders of what crosses into the store: calls as they were accepted, departures, results."""

from collections.abc import Sequence
from itertools import count
from typing import Final

import msgspec

from postclock.core import ids
from postclock.core.address import Mailbox
from postclock.core.lifecycle import RecipientState
from postclock.core.message import Personalization, Recipient, Submission, UncertainPolicy
from postclock.store.records import (
    LIVE,
    POLICY_NUMBERS,
    Acceptance,
    Claimed,
    Departure,
    IdempotencyKey,
    NewMessage,
    RecipientResult,
    Result,
)

WEEK: Final = 2976
DOMAIN: Final = "example.com"
STAMP: Final = b"stamp of the first hand-off"
FIRST_ID: Final = (1_900_000_000_000 - ids.EPOCH_MS) << (ids.NODE_BITS + ids.SEQUENCE_BITS)
"""Ahead of every test's clock: an id may run ahead of its message's time, never behind it."""
_next_id = count(FIRST_ID)


def new_id() -> int:
    """Ids that rise, as the source of ids makes them."""
    return next(_next_id)


def message(due_at: int, *to: str, lane: int = 0, subject: str | None = None) -> NewMessage:
    """One message to ``to`` (compared forms)."""
    recipients = tuple(Recipient("to", address) for address in to)
    personal = msgspec.msgpack.encode(Personalization(recipients=recipients, subject=subject))
    return NewMessage(WEEK, new_id(), due_at, lane, to, personal, None, subject)


def acceptance(
    tenant: int,
    messages: Sequence[NewMessage],
    created_at: int,
    *,
    mode: int = LIVE,
    batch: int | None = None,
    policy: UncertainPolicy | None = None,
    sandbox: bool = False,
    key: IdempotencyKey | None = None,
    from_email: str = f"hello@{DOMAIN}",
    subject: str = "Weekly digest",
    template: str | None = None,
    categories: str = "",
) -> Acceptance:
    """A call as the store takes it."""
    content = Submission(from_=Mailbox(from_email), subject=subject, uncertain=policy)
    return Acceptance(
        tenant=tenant,
        mode=mode,
        submission=new_id(),
        week=WEEK,
        content=msgspec.msgpack.encode(content),
        from_email=from_email,
        subject=subject,
        template=template,
        categories=categories,
        batch=batch,
        policy=POLICY_NUMBERS[policy],
        sandbox=sandbox,
        created_at=created_at,
        messages=list(messages),
        idempotency=key,
    )


def departure(claimed: Claimed, revision: int, *, domain: str = DOMAIN, reissued: bool = False) -> Departure:
    """What asks to depart."""
    return Departure(claimed=claimed, domain=domain, revision=revision, stamp=STAMP, reissued=reissued)


REPLIES: Final[dict[RecipientState, tuple[int, str]]] = {
    RecipientState.accepted: (250, "250 2.0.0 taken"),
    RecipientState.delivered: (250, "250 2.0.0 taken"),
    RecipientState.deferred: (451, "451 4.3.0 later"),
    RecipientState.bounced: (550, "550 5.1.1 no such user"),
    RecipientState.uncertain: (0, "the final dot: the connection broke"),
    RecipientState.given_up: (451, "given up: 451 4.3.0 later"),
}


def outcome(n: int, address: str, state: RecipientState) -> RecipientResult:
    """What a server says in such a case; a bounce is a hard one."""
    code, reply = REPLIES[state]
    bounce_type = "hard" if state is RecipientState.bounced else ""
    return RecipientResult(n, address, state, reply, code, bounce_type=bounce_type)


def result(
    claimed: Claimed,
    departed_at: int | None,
    states: Sequence[RecipientState],
    *,
    retry_at: int | None = None,
    settle_at: int | None = None,
    policy: UncertainPolicy = "resend",
    dropped: frozenset[int] = frozenset(),
) -> Result:
    """What became of a run: one state for each recipient that was on the envelope, or one for all."""
    sent_to = [r for r in claimed.recipients if r.n not in dropped]
    each = list(states) * len(sent_to) if len(states) == 1 else states
    return Result(
        claimed=claimed,
        departed_at=departed_at,
        results=tuple(outcome(r.n, r.address, s) for r, s in zip(sent_to, each, strict=True)),
        retry_at=retry_at,
        settle_at=settle_at,
        policy=policy,
        host="mx.example.net",
    )


def abort(claimed: Claimed, departed_at: int) -> Result:
    """It departed, and the final dot was never handed over."""
    return Result(claimed=claimed, departed_at=departed_at, results=(), abort=True)
