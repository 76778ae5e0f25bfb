"""The callers' door to the PostgreSQL store: accept and cancel, beside what it reads like any store."""

from collections.abc import Sequence
from typing import Final

import msgspec

from postclock.core.errors import Busy, KeyReused
from postclock.core.lifecycle import State
from postclock.store.postgres.connection import ANSWER_SECONDS
from postclock.store.postgres.desk import PostgresDesk
from postclock.store.postgres.line import Kind, Line
from postclock.store.postgres.loading import SQL
from postclock.store.postgres.loop_thread import LoopThread
from postclock.store.postgres.needs import Needs, key_of
from postclock.store.postgres.readers import Readers
from postclock.store.records import (
    BULK_FROM,
    Acceptance,
    Accepted,
    BatchCancelled,
    CancelAnswer,
    Engagement,
    IdempotencyKey,
    Owner,
)
from postclock.store.steps import batches, people
from postclock.store.steps.accept import accept
from postclock.store.steps.engage import engage
from postclock.store.steps.work import Work
from postclock.store.tables.reading import MessageReading

SLICE: Final = 500  # parked rows in one job
_decode_ids = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode


class PostgresMessages(MessageReading):
    """store.interface.Messages. ``people``: the line of those who wait for an answer; ``accepts``: the line of new mail."""

    def __init__(
        self, desk: PostgresDesk, thread: LoopThread, readers: Readers, people: Line, accepts: Line, owner: Owner
    ) -> None:
        super().__init__(desk)
        self._owner = owner
        self._thread = thread
        self._readers = readers
        self._people = people
        self._accepts = accepts

    async def accept(self, acceptance: Acceptance) -> Accepted:
        """See Messages."""
        a = acceptance
        needs = Needs(tenants={a.tenant}, weeks={m.week for m in a.messages} | {a.week})
        if a.batch is not None:
            needs.batches.add(a.batch)
        if a.idempotency is not None and not a.idempotency.fresh:
            needs.keys.add(key_of(a.tenant, a.mode, a.idempotency))
        if a.refuse_suppressed:
            needs.addresses.update((a.tenant, a.mode, address) for m in a.messages for address in m.addresses)
        n = len(a.messages)
        kind = Kind.bulk if n > BULK_FROM else Kind.accept
        job = accept(a)

        def while_alive(tx: Work) -> Accepted:
            # The node of an ended life may be leased again: ids that are made under it now could be made twice.
            if not tx.lives(self._owner):
                raise Busy("this process was declared dead: ask another one", retry_after=2)
            return job(tx)

        return await self._accepts.put(kind, while_alive, needs, n, seconds=ANSWER_SECONDS)

    async def replay(self, tenant: int, mode: int, key: IdempotencyKey) -> Accepted | None:
        """See Messages. What is found is answered after a commit of our own: before it no standby may have what was read."""
        name = key_of(tenant, mode, key)
        found = await self._thread.call(self._readers.fetch(SQL["find_key"], *([part] for part in name)))
        if not found:
            return None
        needs = Needs(keys={name})

        def job(tx: Work) -> Accepted | None:
            stored = tx.key(tenant, mode, key)
            if stored is None:
                return None
            if stored[0] != key.fingerprint:
                raise KeyReused("This idempotency key was used with another body")
            return Accepted(_decode_ids(stored[1]), replayed=True)

        return await self._accepts.put(Kind.accept, job, needs, seconds=ANSWER_SECONDS)

    async def engage(self, items: Sequence[Engagement], now: int) -> int:
        """See Messages."""
        idents = {i.message for i in items}
        needs = Needs(messages=idents, rows=set(idents), scoped=set(idents))
        return await self._accepts.put(Kind.bulk, engage(items, now), needs, len(items))

    async def cancel(
        self, tenant: int, mode: int, message: int, now: int, week: int | None = None, *, only_scheduled: bool = False
    ) -> CancelAnswer:
        """See Messages."""
        job = people.cancel(tenant, mode, message, now, week, only_scheduled=only_scheduled)
        return await self._people.put(Kind.cancel, job, _of(message), seconds=ANSWER_SECONDS)

    async def fail(self, tenant: int, mode: int, message: int, now: int, reason: str, week: int | None = None) -> State:
        """See Messages."""
        return await self._people.put(
            Kind.cancel, people.fail(tenant, mode, message, now, reason, week), _of(message), seconds=ANSWER_SECONDS
        )

    async def retry(self, tenant: int, mode: int, message: int, now: int, week: int | None = None) -> State:
        """See Messages."""
        return await self._people.put(
            Kind.cancel, people.retry(tenant, mode, message, now, week), _of(message), seconds=ANSWER_SECONDS
        )

    async def cancel_batch(self, ident: int, tenant: int, mode: int, now: int) -> BatchCancelled:
        """See Messages."""
        needs = Needs(alone={ident}, sums={ident})
        job = batches.cancel(ident, tenant, mode, now)
        return await self._people.put(Kind.cancel, job, needs, alone=True, seconds=ANSWER_SECONDS)

    async def release_parked(self, idents: Sequence[int], now: int) -> int:
        """See Messages."""
        done = 0
        for i in range(0, len(idents), SLICE):
            part = set(idents[i : i + SLICE])
            needs = Needs(rows=part, scoped=set(part))
            done += await self._accepts.put(Kind.bulk, people.release_parked(list(part), now), needs, len(part))
        return done

    async def drop_parked(self, idents: Sequence[int], now: int, reason: str) -> int:
        """See Messages."""
        done = 0
        for i in range(0, len(idents), SLICE):
            part = set(idents[i : i + SLICE])
            needs = Needs(rows=part, scoped=set(part))
            done += await self._accepts.put(Kind.bulk, people.drop_parked(list(part), now, reason), needs, len(part))
        return done


def _of(message: int) -> Needs:
    return Needs(messages={message}, scoped={message})
