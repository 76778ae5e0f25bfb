"""Accept: one call becomes one submission and its messages, all or nothing."""

from collections.abc import Callable

import msgspec

from postclock.core.errors import Invalid, KeyReused, RecipientSuppressed
from postclock.core.lifecycle import State
from postclock.store.records import Acceptance, Accepted
from postclock.store.steps.work import Work

_encode = msgspec.msgpack.Encoder().encode
_decode_ids = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode
UNKNOWN_BATCH = "The batch_id is not one of yours: create it with POST /v3/mail/batch first."


def accept(a: Acceptance) -> Callable[[Work], Accepted]:
    """The job that stores a call; its result are the ids, new or replayed.

    Raises Invalid (field ``batch_id``) for a batch that is unknown, another tenant's, sealed or cancelled, KeyReused and RecipientSuppressed.
    """

    def job(tx: Work) -> Accepted:
        key = a.idempotency
        if key is not None:
            found = tx.key(a.tenant, a.mode, key)
            if found is not None:
                if found[0] != key.fingerprint:
                    raise KeyReused("This idempotency key was used with another body")
                return Accepted(_decode_ids(found[1]), replayed=True)
        if a.refuse_suppressed:
            for message in a.messages:
                for address in message.addresses:
                    if lists := tx.suppressed(a.tenant, a.mode, address):
                        raise RecipientSuppressed(
                            f"{address} is suppressed ({lists[0]}): remove the suppression first."
                        )
        if a.batch is not None:
            flags = tx.batch(a.batch)
            if flags is None or (flags.tenant, flags.mode) != (a.tenant, a.mode):
                raise Invalid(UNKNOWN_BATCH, "batch_id")
            if flags.cancelled:
                raise Invalid("The batch is cancelled: it takes no more messages.", "batch_id")
            if flags.sealed:
                raise Invalid("The batch is sealed: it takes no more messages.", "batch_id")
        tx.insert(a)
        _count(tx, a)
        ids = tuple((m.week, m.id) for m in a.messages)
        if key is not None:
            tx.insert_key(a.tenant, a.mode, key, _encode(ids), a.created_at)
        return Accepted(ids)

    return job


def _count(tx: Work, a: Acceptance) -> None:
    tx.tally.count(a.batch, a.tenant, a.mode, State.sandbox if a.sandbox else State.queued, len(a.messages))
    if a.sandbox:
        tx.tally.settled(a.batch, a.tenant, a.mode, a.created_at)
    elif a.messages:
        tx.tally.ready(min(m.due_at for m in a.messages))
