"""Accept: one call becomes one submission and its messages, all or nothing."""

from collections.abc import Callable

import msgspec

from postclock.core.errors import Invalid, KeyReused
from postclock.core.lifecycle import RecipientState, State
from postclock.store.records import Acceptance, Accepted
from postclock.store.sqlite.rows import SQL
from postclock.store.sqlite.transaction import Transaction

_encode = msgspec.msgpack.Encoder().encode
_decode_ids = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode
UNKNOWN_BATCH = "The batch_id is not one of yours: create it with POST /v3/mail/batch first."


def accept(a: Acceptance) -> Callable[[Transaction], Accepted]:
    """The job that stores a call; its result are the ids, new or replayed.

    Raises Invalid (field ``batch_id``) for a batch that is unknown, another tenant's, sealed or cancelled, and KeyReused.
    """

    def job(tx: Transaction) -> Accepted:
        key = a.idempotency
        if key is not None:
            found = tx.one(SQL["find_key"], (a.tenant, a.mode, key.dialect, key.key))
            if found is not None:
                if found[0] != key.fingerprint:
                    raise KeyReused("This idempotency key was used with another body")
                return Accepted(_decode_ids(found[1]), replayed=True)
        if a.batch is not None:
            flags = tx.batch(a.batch)
            if flags is None or (flags.tenant, flags.mode) != (a.tenant, a.mode):
                raise Invalid(UNKNOWN_BATCH, "batch_id")
            if flags.cancelled:
                raise Invalid("The batch is cancelled: it takes no more messages.", "batch_id")
            if flags.sealed:
                raise Invalid("The batch is sealed: it takes no more messages.", "batch_id")
        _insert(tx, a)
        ids = tuple((m.week, m.id) for m in a.messages)
        if key is not None:
            tx.do(
                SQL["insert_key"], (a.tenant, a.mode, key.dialect, key.key, key.fingerprint, _encode(ids), a.created_at)
            )
        return Accepted(ids)

    return job


def _insert(tx: Transaction, a: Acceptance) -> None:
    tx.last(
        SQL["insert_submission"],
        [(a.submission, a.week, a.tenant, a.created_at, a.from_email, a.subject, a.template, a.categories, a.content)],
    )
    status, settled_at = (int(State.sandbox), a.created_at) if a.sandbox else (None, None)
    rows = []
    queued = []
    for m in a.messages:
        n = len(m.addresses)
        rows.append(
            (
                m.id, m.week, a.tenant, a.mode, a.submission, a.batch, n, m.addresses[0] if n == 1 else None, m.from_email, m.subject,
                m.due_at, a.created_at, m.personal, status, settled_at,
            )
        )  # fmt: skip
        if n > 1:
            state = RecipientState.simulated if a.sandbox else RecipientState.pending
            tx.last(
                SQL["insert_recipient"],
                [(m.id, i, m.week, address, int(state)) for i, address in enumerate(m.addresses)],
            )
        if not a.sandbox:
            queued.append((m.id, m.id, m.week, a.tenant, a.mode, m.lane, a.batch, m.due_at, m.due_at, a.policy))
    tx.last(SQL["insert_message"], rows)
    if queued:
        tx.last(SQL["insert_queue"], queued)
        tx.ready(min(q[8] for q in queued))
    tx.count(a.batch, a.tenant, a.mode, State.sandbox if a.sandbox else State.queued, len(rows))
    if a.sandbox:
        tx.settled(a.batch, a.tenant, a.mode, a.created_at)
