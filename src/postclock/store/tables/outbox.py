"""The outbox in tables: webhooks, and the deliveries that the triggers of the migrations write.

What is waited for by a caller is written like every slow table; what the engine reports can wait behind everything else.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from postclock.core.account import Dialect
from postclock.core.errors import Conflict, NotFound
from postclock.store.outbox import DeliveryRow, DeliveryState, Health, Subscription, Told, Tried
from postclock.store.queries import load
from postclock.store.tables.desk import Desk, Run, Writing
from postclock.store.tables.told import Look, look

_COLUMNS: Final = (
    "id, tenant, mode, dialect, kind, url, types, active, created_at, updated_at, secret, previous_secret, previous_until, signing_key, public_key, "
    "failures, failing_since, retry_at, last_success_at, last_failure_at, disabled_at"
)
SQL: Final = {
    name: sql.replace("{columns}", _COLUMNS) for name, sql in load("postclock.store.tables.sql", "outbox").items()
}
WINDOW: Final = 1_000
"""Among how many waiting rows a probe is looked for."""
PATIENCE: Final = 2
"""Attempts after which an event has one more turn before others go first."""
SLICE: Final = 1_000
"""How many deliveries are removed, or wait again, in one transaction: others' mail is written in between."""
OF_A_TENANT: Final = 16
"""Endpoints of one tenant that one process tells at once: whoever makes many slow ones waits behind himself."""
PROBES: Final = 16
"""Failing endpoints that one process tries at once: mostly they are waited for until the time is over."""
LONGEST_MS: Final = 3 * 3_600_000
"""More than there is between two attempts: what is to wait longer waits for a clock that went back meanwhile, and need not."""
READ_SECONDS: Final = 5.0
"""A thousand events take longer to collect than a page of a list."""


class StoredOutbox:
    """store.outbox.Outbox."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def add(self, subscription: Subscription) -> Subscription:
        """See Outbox."""
        s = subscription
        values = (
            s.id, s.tenant, s.mode, s.dialect, s.kind, s.url, _text_of(s.types), int(s.active), s.created_at, s.updated_at, s.secret,
            s.previous_secret, s.previous_until, s.signing_key, s.public_key,
        )  # fmt: skip

        def job(tx: Writing) -> Subscription:
            if s.kind == "event_settings" and tx.one(SQL["event_settings"], (s.tenant, s.mode)) is not None:
                raise Conflict("There are event settings already")
            tx.do(SQL["insert"], values)
            return s

        return await self._desk.write(job)

    async def get(self, tenant: int, mode: int, dialect: Dialect, ident: int) -> Subscription:
        """See Outbox."""
        return await self._desk.read(lambda run: _endpoint(run, tenant, mode, dialect, ident))

    async def event_settings(self, tenant: int, mode: int) -> Subscription | None:
        """See Outbox."""

        def read(run: Run) -> Subscription | None:
            found = run(SQL["event_settings"], (tenant, mode))
            return _from(found[0]) if found else None

        return await self._desk.read(read)

    async def page(
        self, tenant: int, mode: int, dialect: Dialect, *, limit: int, offset: int = 0, active: bool | None = None
    ) -> tuple[list[Subscription], int]:
        """See Outbox."""
        which = None if active is None else int(active)

        def read(run: Run) -> tuple[list[Subscription], int]:
            about = (tenant, mode, dialect, which, which)
            found = run(SQL["page"], (*about, limit, offset))
            return [_from(row) for row in found], int(run(SQL["count"], about)[0][0])

        return await self._desk.read(read)

    async def change(
        self, tenant: int, mode: int, ident: int, change: Callable[[Subscription], Subscription], now: int
    ) -> Subscription:
        """See Outbox."""

        def job(tx: Writing) -> Subscription:
            found = tx.one(SQL["of_any_kind"], (tenant, mode, ident))
            if found is None:
                raise NotFound("Webhook not found")
            before = _from(found)
            s = change(before)
            tx.do(
                SQL["change"],
                (
                    s.url, _text_of(s.types), int(s.active), now, s.secret, s.previous_secret, s.previous_until, s.signing_key, s.public_key,
                    ident,
                ),
            )  # fmt: skip
            health = before.health
            if s.active and (not before.active or s.url != before.url):
                tx.do(SQL["begin_anew"], (ident,))
                health = Health(last_success_at=health.last_success_at, last_failure_at=health.last_failure_at)
            return replace(
                before,
                url=s.url,
                types=s.types,
                active=s.active,
                updated_at=now,
                secret=s.secret,
                previous_secret=s.previous_secret,
                previous_until=s.previous_until,
                signing_key=s.signing_key,
                public_key=s.public_key,
                health=health,
            )

        return await self._desk.write(job)

    async def remove(self, tenant: int, mode: int, dialect: Dialect, ident: int) -> None:
        """See Outbox. The subscription goes first, so that nothing is added to what goes then slice by slice."""

        def job(tx: Writing) -> None:
            _endpoint(tx.rows, tenant, mode, dialect, ident)
            tx.do(SQL["remove"], (ident,))

        await self._desk.write(job)
        while await self._desk.write(
            lambda tx: tx.do(SQL["remove_deliveries"], (ident, ident, SLICE)), SLICE, bulk=True
        ):
            pass

    async def deliveries(
        self, tenant: int, mode: int, dialect: Dialect, ident: int, *, limit: int
    ) -> list[DeliveryRow]:
        """See Outbox."""

        def read(run: Run) -> list[DeliveryRow]:
            _endpoint(run, tenant, mode, dialect, ident)
            return [
                DeliveryRow(
                    id=r[0], webhook=r[1], message=r[2], week=r[3], n=r[4], type=r[5], at=r[6], state=DeliveryState(r[7]), attempts=r[8],
                    response_status=r[9], reason=r[10] or "", settled_at=r[11],
                )
                for r in run(SQL["deliveries"], (*(ident, ident, limit) * 3, limit))
            ]  # fmt: skip

        return await self._desk.read(read)

    async def replay(
        self, tenant: int, mode: int, dialect: Dialect, ident: int, *, first: int, last: int, now: int
    ) -> int:
        """See Outbox. Slice by slice, each on from where the one before ended: the engine tells meanwhile."""
        done = 0
        for state in (DeliveryState.delivered, DeliveryState.failed):
            after: int | None = first
            while after is not None:
                some, after = await self._desk.write(
                    partial(_replay, tenant, mode, dialect, ident, state, after, last), SLICE
                )
                done += some
        return done

    async def lease(
        self, owner: int, now: int, until: int, limit: int, but: Collection[int] = ()
    ) -> list[Subscription]:
        """See Outbox. A look first: mostly there is nothing, and a transaction would cost more."""
        far = now + LONGEST_MS
        values = (now, far, now, now, far, owner, now, OF_A_TENANT, owner, now, PROBES, limit + len(but))
        if all(row[0] in but for row in await self._desk.read(lambda run: run(SQL["leasable"], values))):
            return []

        def job(tx: Writing) -> list[Subscription]:
            found = [_from(row) for row in tx.rows(SQL["leasable"], values) if row[0] not in but][:limit]
            for each in found:
                tx.do(SQL["lease"], (owner, until, each.id))
            return found

        return await self._desk.write(job, limit)

    async def take(self, webhook: int, now: int, limit: int) -> list[Told]:
        """See Outbox."""

        far = now + LONGEST_MS

        def read(run: Run) -> Look:
            found = run(SQL["waiting"], (webhook, webhook, now, far, now, far, limit))
            return look(run, self._desk.words, [row[0] for row in found])

        return await self._taken(webhook, now, read)

    async def probe(self, webhook: int, now: int) -> list[Told]:
        """See Outbox."""

        far = now + LONGEST_MS

        def read(run: Run) -> Look:
            first: dict[int, tuple[int, int]] = {}
            for ident, message, attempts in run(SQL["waiting"], (webhook, webhook, now, far, now, far, WINDOW)):
                first.setdefault(message, (attempts, ident))
            probes = sorted((max(attempts, PATIENCE), ident) for attempts, ident in first.values())
            return look(run, self._desk.words, [ident for _, ident in probes[:1]])

        return await self._taken(webhook, now, read)

    async def _taken(self, webhook: int, now: int, read: Callable[[Run], Look]) -> list[Told]:
        """What a look finds. What has lost its message would stand in the way of everything behind it: it has failed."""
        while True:
            seen = await self._desk.read(read, seconds=READ_SECONDS)
            if seen.lost:
                lost = [(now, ident, webhook) for ident in sorted(seen.lost)]

                def job(tx: Writing, lost: Sequence[Sequence[Any]] = lost) -> None:
                    tx.many(SQL["lose"], lost)

                await self._desk.write(job, len(lost), bulk=True)
            if seen.told or not seen.lost:
                return seen.told

    async def report(
        self, webhook: int, owner: int, tried: Sequence[Tried], health: Health, now: int, until: int
    ) -> Subscription | None:
        """See Outbox."""
        marks = [
            (
                int(t.state), t.attempts, t.retry_at, t.response_status, t.reason or None, None if t.state is DeliveryState.waiting else now,
                t.delivery, webhook,
            )
            for t in sorted(tried, key=lambda t: t.delivery)  # as whoever else changes them: nobody waits in a circle
        ]  # fmt: skip
        lease = (owner, until) if until > now else (None, None)
        h = health
        values = (
            h.failures, h.failing_since, h.retry_at, h.last_success_at, h.last_failure_at, h.disabled_at, int(h.disabled_at is None), *lease,
            webhook, owner,
        )  # fmt: skip

        def job(tx: Writing) -> Subscription | None:
            if marks:
                tx.many(SQL["mark"], marks)
            if not tx.do(SQL["health"], values):
                return None
            found = tx.one(SQL["one"], (webhook,))
            return None if found is None else _from(found)

        return await self._desk.write(job, 1 + len(marks), bulk=True)

    async def forget(self, before: int, limit: int) -> int:
        """See Outbox. Deliveries lie in the order of their events, but for the little by which transactions overtake each other."""

        def job(tx: Writing) -> int:
            old = [(ident,) for ident, at in tx.rows(SQL["old"], (limit,)) if at < before]
            if old:
                tx.many(SQL["forget"], old)
            return len(old)

        return await self._desk.write(job, limit, bulk=True)

    async def count_waiting(self, limit: int) -> int:
        """See Outbox. Endpoint by endpoint: what waits is little, beside all that was told before."""

        def read(run: Run) -> int:
            left = limit
            for (ident,) in run(SQL["every_id"]):
                if left <= 0:
                    break
                left -= int(run(SQL["count_waiting"], (ident, ident, left))[0][0])
            return limit - left

        return await self._desk.read(read, seconds=READ_SECONDS)


def _replay(
    tenant: int, mode: int, dialect: Dialect, ident: int, state: DeliveryState, after: int, last: int, tx: Writing
) -> tuple[int, int | None]:
    """A slice of a replay: how many wait again, and from where to go on."""
    _endpoint(tx.rows, tenant, mode, dialect, ident)
    found = tx.rows(SQL["replay"], (ident, int(state), int(state), after, last, SLICE))
    if found:
        tx.many(SQL["again"], [(each, ident) for (each,) in found])
    return len(found), found[-1][0] + 1 if len(found) == SLICE else None


def reseal(tx: Writing, again: Callable[[bytes], bytes]) -> int:
    """Rewrite every sealed value by ``again``; how many there are."""
    done = 0
    for ident, *sealed in tx.rows(SQL["all_sealed"], ()):
        tx.do(SQL["set_sealed"], (*(None if s is None else again(s) for s in sealed), ident))
        done += sum(s is not None for s in sealed)
    return done


def _endpoint(run: Run, tenant: int, mode: int, dialect: Dialect, ident: int) -> Subscription:
    found = run(SQL["endpoint"], (tenant, mode, dialect, ident))
    if not found:
        raise NotFound("Webhook not found")
    return _from(found[0])


def _text_of(types: Iterable[str]) -> str:
    words = " ".join(types)
    return f" {words} " if words else ""


def _from(row: tuple[Any, ...]) -> Subscription:
    return Subscription(
        id=row[0],
        tenant=row[1],
        mode=row[2],
        dialect=row[3],
        kind=row[4],
        url=row[5],
        types=tuple(row[6].split()),
        active=bool(row[7]),
        created_at=row[8],
        updated_at=row[9],
        secret=row[10],
        previous_secret=row[11],
        previous_until=row[12],
        signing_key=row[13],
        public_key=row[14],
        health=Health(
            failures=row[15],
            failing_since=row[16],
            retry_at=row[17],
            last_success_at=row[18],
            last_failure_at=row[19],
            disabled_at=row[20],
        ),
    )
