"""One group's transaction on PostgreSQL: loaded and locked, then decided in memory, then written.

store.steps.work.Work between two handfuls of statements. What a job asks for and nobody had named raises NotLoaded: it is
loaded, and the jobs run again from the start; nothing they decided has been written by then.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from postclock.core.lifecycle import RecipientState, Shown, State, Step, sources
from postclock.core.plan import Spent
from postclock.core.suppression import SuppressionList
from postclock.store.postgres import writing
from postclock.store.postgres.changes import Changes
from postclock.store.postgres.loading import Loaded
from postclock.store.postgres.needs import Needs, NotLoaded, key_of
from postclock.store.records import Acceptance, Claimed, IdempotencyKey, Owner
from postclock.store.steps.counting import Tally
from postclock.store.steps.stored import stored_rows
from postclock.store.steps.work import (
    BatchFlags,
    Charge,
    Due,
    Row,
    StoredMessage,
    StoredRecipient,
    TenantRow,
)

_CLAIM: Final = sources(Step.claim)
_DEPART: Final = sources(Step.depart)


class Unit:
    """The transaction. ``slot`` is the writer's own among the rows of each count; ``alive``: the life of ``owner`` goes on."""

    def __init__(self, connection: asyncpg.Connection, slot: int, owner: Owner, *, alive: bool) -> None:
        self.connection = connection
        self._slot = slot
        self._owner = owner
        self._alive = alive
        self.loaded = Loaded(connection)
        self.changes = Changes()
        self._job = Changes()
        self.tally = Tally()

    async def load(self, needs: Needs) -> None:
        """Load and lock what is needed and not there yet."""
        await self.loaded.load(needs)

    async def write(self) -> None:
        """Write everything that was decided. What is written then is as if it had been loaded."""
        changes, self.changes = self.changes, Changes()
        tally, self.tally = self.tally, Tally()
        self.tally.ready_at = tally.ready_at
        await writing.write(self.connection, changes, tally, self._slot)
        if changes.charged:
            self.loaded.spent.clear()
        for ident, row in changes.rows.items():
            if row is None:
                self.loaded.rows.pop(ident, None)
            else:
                self.loaded.rows[ident] = row

    def begin_again(self) -> None:
        """Forget what was decided since the last write; what was loaded stays."""
        ready = self.tally.ready_at
        self.changes, self._job, self.tally = Changes(), Changes(), Tally()
        self.tally.ready_at = ready

    def widened(self, needs: Needs) -> Needs:
        """What was missing for one row, for all of them: the next one will ask for the same."""
        for wanted in (needs.recipients, needs.messages):
            if wanted:
                wanted.update(row.message for row in self.loaded.rows.values())
        for _, month in tuple(needs.spent):  # of every tenant at once, or the locks would not be taken in order
            needs.spent.update((tenant, month) for tenant in self.loaded.limited)
        return needs

    def job_done(self) -> None:
        """What the job decided joins the group's."""
        self.tally.job_done()
        self.changes.merge(self._job)
        self._job = Changes()

    def job_failed(self) -> None:
        """What the job decided is forgotten."""
        self.tally.job_failed()
        self._job = Changes()

    # What steps read

    def row(self, ident: int) -> Row | None:
        """See Work."""
        for known in (self._job.rows, self.changes.rows):
            if ident in known:
                return known[ident]
        found = self.loaded.rows.get(ident)
        if found is None and ident not in self.loaded.looked:
            raise NotLoaded("rows", ident)
        return found

    def message(self, ident: int) -> StoredMessage | None:
        """See Work."""
        for known in (self._job.messages, self.changes.messages):
            if ident in known:
                return known[ident]
        try:
            return self.loaded.messages[ident]
        except KeyError:
            raise NotLoaded("messages", ident) from None

    def recipients(self, message: int) -> Sequence[StoredRecipient]:
        """See Work."""
        try:
            people = self.loaded.people[message]
        except KeyError:
            raise NotLoaded("recipients", message) from None
        if not people or not (self._job.recipients or self.changes.recipients):
            return people
        return [self._as_decided(message, r) for r in people]

    def _as_decided(self, message: int, r: StoredRecipient) -> StoredRecipient:
        for known in (self._job.recipients, self.changes.recipients):
            if (decided := known.get((message, r.n))) is not None:
                return r._replace(state=RecipientState(decided[1]), reply=decided[2])
        return r

    def batch(self, ident: int | None) -> BatchFlags | None:
        """See Work."""
        if ident is None:
            return None
        try:
            flags = self.loaded.batches[ident]
        except KeyError:
            raise NotLoaded("batches", ident) from None
        if flags is not None and (ident in self._job.cancelled_batches or ident in self.changes.cancelled_batches):
            return flags._replace(cancelled=True)
        return flags

    def tenant(self, ident: int) -> TenantRow | None:
        """See Work."""
        try:
            return self.loaded.tenants[ident]
        except KeyError:
            raise NotLoaded("tenants", ident) from None

    def spent(self, tenant: int, month: int) -> Spent:
        """See Work."""
        try:
            before = self.loaded.spent[tenant, month]
        except KeyError:
            raise NotLoaded("spent", (tenant, month)) from None
        return self._job.spent(tenant, month, self.changes.spent(tenant, month, before))

    def counts(self, scope: int) -> list[int]:
        """See Work."""
        try:
            return self.tally.added(scope, list(self.loaded.sums[scope]))
        except KeyError:
            raise NotLoaded("sums", scope) from None

    def lives(self, owner: Owner) -> bool:
        """See Work. The transaction began with its own owner's row locked."""
        return self._alive if owner == self._owner else self.is_alive(owner.id)

    def is_alive(self, owner: int) -> bool:
        """See Work."""
        try:
            return self.loaded.owners[owner]
        except KeyError:
            raise NotLoaded("owners", owner) from None

    def suppressed(self, tenant: int, mode: int, address: str) -> Sequence[str]:
        """See Work."""
        try:
            return self.loaded.lists[tenant, mode, address]
        except KeyError:
            raise NotLoaded("addresses", (tenant, mode, address)) from None

    def is_verified(self, tenant: int, domain: str) -> bool:
        """See Work."""
        try:
            return self.loaded.verified[tenant, domain]
        except KeyError:
            raise NotLoaded("domains", (tenant, domain)) from None

    def key(self, tenant: int, mode: int, key: IdempotencyKey) -> tuple[bytes, bytes] | None:
        """See Work."""
        name = key_of(tenant, mode, key)
        for known in (self._job.keys, self.changes.keys):
            if (taken := known.get(name)) is not None:
                return taken[0], taken[1]
        if key.fresh:
            return None
        try:
            return self.loaded.keys[name]
        except KeyError:
            raise NotLoaded("keys", name) from None

    def content(self, submission: int) -> bytes | None:
        """See Work."""
        try:
            return self.loaded.contents[submission]
        except KeyError:
            raise NotLoaded("contents", submission) from None

    def exposed_rows(self, batch: int) -> Sequence[int]:
        """See Work."""
        try:
            return self.loaded.exposed[batch]
        except KeyError:
            raise NotLoaded("alone", batch) from None

    # What steps write

    def take(self, due: Due, owner: int, state: State) -> None:
        """See Work."""
        row = self.row(due.id)
        assert row is not None
        assert row.status in _CLAIM
        was_changed = row.id in self._job.waiting
        self._job.rows[row.id] = row._replace(
            owner=owner, attempt=row.attempt + 1, ready_at=None, status=state, reason=None
        )
        if not was_changed:
            self._job.taken[row.id] = int(state)

    def depart(self, claimed: Claimed, owner: int, stamp: bytes, now: int) -> bool:
        """See Work."""
        row = self.row(claimed.id)
        if (
            row is None
            or (row.owner, row.attempt) != (owner, claimed.attempt)
            or row.status not in _DEPART
            or row.due_at > now
        ):
            return False
        self._job.rows[row.id] = row._replace(
            status=State.sending,
            departed_at=now,
            handed_at=now if row.handed_at is None else row.handed_at,
            tried_at=now if row.tried_at is None else row.tried_at,
            stamp=stamp if row.stamp is None else row.stamp,
            ready_at=None,
        )
        self._job.departed[row.id] = (now, stamp)
        return True

    def wait(
        self,
        row: Row,
        state: State,
        *,
        ready_at: int | None,
        lane: int,
        exposed: bool,
        deferrals: int,
        tried_at: int | None,
        settle_at: int | None,
        reason: str | None,
    ) -> None:
        """See Work."""
        self._job.rows[row.id] = row._replace(
            status=state, owner=None, ready_at=ready_at, lane=lane, exposed=exposed, deferrals=deferrals, tried_at=tried_at, settle_at=settle_at,
            reason=reason,
        )  # fmt: skip
        self._job.waiting.add(row.id)

    def take_out(self, ident: int, owner: int, attempt: int) -> Row | None:
        """See Work."""
        row = self.row(ident)
        if row is None or (row.owner, row.attempt) != (owner, attempt):
            return None
        self.drop(row)
        return row

    def drop(self, row: Row) -> None:
        """See Work."""
        self._job.rows[row.id] = None
        self._job.waiting.discard(row.id)
        self._job.dropped.append(row.id)

    def settle(
        self,
        row: Row,
        state: State,
        now: int,
        *,
        exposed: bool,
        data_at: int | None,
        delivered_at: int | None,
        reason: str | None,
    ) -> None:
        """See Work."""
        self._job.settled.append(
            (row.message, row.week, int(state), int(exposed), row.handed_at, data_at, delivered_at, now, row.attempt, row.stamp, reason)
        )  # fmt: skip

    def note_sent(self, row: Row, now: int, data_at: int | None) -> None:
        """See Work."""
        self._job.sent.append((row.message, row.week, now, data_at))

    def set_recipient(
        self, message: int, week: int, n: int, state: RecipientState, reply: str | None, now: int
    ) -> None:
        """See Work."""
        self._job.recipients[message, n] = (week, int(state), reply, now)

    def event(self, message: int, week: int, kind: str, at: int, recipient: str | None, metadata: str | None) -> None:
        """See Work."""
        self._job.events.append((message, week, kind, at, recipient, metadata))

    def suppress(
        self, row: Row, address: str, now: int, *, kind: SuppressionList, reason: str, bounce_type: str, status: str
    ) -> None:
        """See Work."""
        self._job.suppressed.append((row.tenant, row.mode, address, kind, now, reason, bounce_type, status))

    def note_shown(self, message: int, week: int, shown: Shown, *, opens: int = 0, clicks: int = 0) -> None:
        """See Work."""
        self._job.shown[message] = (week, int(shown), opens, clicks)

    def charge(self, charge: Charge) -> None:
        """See Work."""
        self._job.charge(charge)

    def insert(self, acceptance: Acceptance) -> None:
        """See Work."""
        for table, rows in stored_rows(acceptance):
            if rows:
                self._job.inserted.setdefault(table, []).extend(rows)

    def insert_key(self, tenant: int, mode: int, key: IdempotencyKey, ids: bytes, now: int) -> None:
        """See Work."""
        self._job.keys[key_of(tenant, mode, key)] = (key.fingerprint, ids, now)

    def reopen(self, message: StoredMessage, *, lane: int, ready_at: int, policy: int) -> None:
        """See Work."""
        m = message
        self._job.reopened.append(
            (m.id, m.id, m.week, m.tenant, m.mode, lane, m.batch, m.due_at, ready_at, m.attempt, m.exposed, policy, m.departed_at, m.stamp)
        )  # fmt: skip

    def flag_cancelled(self, batch: int, now: int) -> None:
        """See Work."""
        self._job.cancelled_batches[batch] = now

    def mark_swept(self, batch: int) -> None:
        """See Work."""
        self._job.swept.append(batch)
