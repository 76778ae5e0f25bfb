"""Before the jobs: everything a group needs, read in a few statements, with the locks in their one order.

Owner, tenants, batches, queue rows by id (or messages that have none), usage of tenants with limits. What is read without a
lock never changes, or is looked at again under one.
"""

from typing import Final

import asyncpg

from postclock.core.lifecycle import RecipientState
from postclock.core.plan import Spent
from postclock.store.postgres.locks import USAGE
from postclock.store.postgres.needs import Needs
from postclock.store.queries import load as load_sql
from postclock.store.steps.charging import spending_of
from postclock.store.steps.counting import COLUMNS
from postclock.store.steps.work import (
    BatchFlags,
    Row,
    StoredMessage,
    StoredRecipient,
    TenantRow,
    flags_from,
    row_from,
)

SQL: Final = load_sql("postclock.store.postgres.sql", "ledger")
_RECIPIENT_STATES: Final = tuple(RecipientState)
_SUMS: Final = f"SELECT scope, {', '.join(f'sum({c})::bigint' for c in (*COLUMNS, 'exposed'))} FROM counts WHERE scope = ANY($1::bigint[]) GROUP BY scope"  # noqa: S608


class Loaded:
    """What a transaction has loaded so far; what it has locked stays as it is until the commit."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.rows: dict[int, Row] = {}
        self.looked: set[int] = set()
        """Ids of queue rows that were asked for: what is not in ``rows`` is not there."""
        self.messages: dict[int, StoredMessage | None] = {}
        self.people: dict[int, tuple[StoredRecipient, ...]] = {}
        self.batches: dict[int, BatchFlags | None] = {}
        self.tenants: dict[int, TenantRow | None] = {}
        self.owners: dict[int, bool] = {}
        self.lists: dict[tuple[int, int, str], list[str]] = {}
        self.verified: dict[tuple[int, str], bool] = {}
        self.keys: dict[tuple[int, int, str, str], tuple[bytes, bytes] | None] = {}
        self.contents: dict[int, bytes | None] = {}
        self.exposed: dict[int, list[int]] = {}
        self.sums: dict[int, list[int]] = {}
        self.spent: dict[tuple[int, int], Spent] = {}

    @property
    def limited(self) -> list[int]:
        """The tenants among those loaded that have limits."""
        return [ident for ident, t in self.tenants.items() if t is not None and spending_of(t.settings).has_limits]

    async def load(self, needs: Needs) -> None:
        """Load and lock what is needed and not there yet."""
        await self._load_scopes(needs)
        await self._load_tenants(needs.tenants - self.tenants.keys())
        await self._load_batches(needs.alone, alone=True)
        await self._load_batches(needs.batches - self.batches.keys(), alone=False)
        await self._load_exposed(needs)
        await self._load_rows((needs.rows | needs.messages) - self.looked)
        await self._load_messages(needs.messages - self.messages.keys())
        self.people.update(dict.fromkeys(needs.single - self.people.keys(), ()))
        await self._load_recipients(needs.recipients - self.people.keys())
        await self._load_rest(needs)
        await self._load_spent(needs.spent - self.spent.keys())

    async def _load_scopes(self, needs: Needs) -> None:
        if not needs.scoped:
            return
        idents = sorted(needs.scoped)
        for name in ("row_scope", "message_scope"):
            for _, tenant, batch in await self._connection.fetch(SQL[name], idents):
                needs.tenants.add(tenant)
                if batch is not None:
                    needs.batches.add(batch)

    async def _load_tenants(self, idents: set[int]) -> None:
        if idents:
            self.tenants.update(dict.fromkeys(idents))
            for found in await self._connection.fetch(SQL["tenant"], sorted(idents)):
                ident, status, revision, settings, testers = found
                self.tenants[ident] = TenantRow(status != 0, revision, settings, frozenset(testers))

    async def _load_batches(self, idents: set[int], *, alone: bool) -> None:
        if idents:
            self.batches.update(dict.fromkeys(idents))
            for found in await self._connection.fetch(SQL["batch_alone" if alone else "batch"], sorted(idents)):
                self.batches[found[0]] = flags_from(found[1:])

    async def _load_exposed(self, needs: Needs) -> None:
        for batch in needs.alone - self.exposed.keys():
            found = [ident for (ident,) in await self._connection.fetch(SQL["exposed_rows"], batch)]
            self.exposed[batch] = found
            needs.rows.update(found)

    async def _load_rows(self, idents: set[int]) -> None:
        if idents:
            for found in await self._connection.fetch(SQL["row"], sorted(idents)):
                self.rows[found[0]] = row_from(found)
            self.looked |= idents

    async def _load_messages(self, idents: set[int]) -> None:
        if not idents:
            return
        self.messages.update(dict.fromkeys(idents))
        open_without_row = set()
        for found in await self._connection.fetch(SQL["message"], sorted(idents)):
            message = StoredMessage._make(found)
            self.messages[message.id] = message
            if message.n_rcpt == 1:
                self.people.setdefault(message.id, ())
            if message.status is None and message.id not in self.rows:
                open_without_row.add(message.id)
        # It was opened again by another process between the two statements; its row is there now, and nobody changes it any more.
        await self._load_rows(open_without_row)

    async def _load_recipients(self, messages: set[int]) -> None:
        if not messages:
            return
        found: dict[int, list[StoredRecipient]] = {message: [] for message in messages}
        for message, n, address, state, reply in await self._connection.fetch(SQL["recipients"], sorted(messages)):
            found[message].append(StoredRecipient(n, address, _RECIPIENT_STATES[state], reply))
        self.people.update({message: tuple(people) for message, people in found.items()})

    async def _load_spent(self, wanted: set[tuple[int, int]]) -> None:
        if not wanted:
            return
        fetch = self._connection.fetch
        pairs = sorted(wanted)
        columns = [tenant for tenant, _ in pairs], [month for _, month in pairs]
        await fetch(SQL["lock_usage"], sorted({tenant for tenant, _ in pairs}), USAGE)
        by_keys: dict[tuple[int, int], dict[int, int]] = {pair: {} for pair in pairs}
        for tenant, month, key, cost in await fetch(SQL["spent_by_keys"], *columns):
            by_keys[tenant, month][key] = cost
        self.spent.update({pair: Spent(by_key=by_keys[pair]) for pair in pairs})
        for tenant, month, n, cost in await fetch(SQL["spent"], *columns):
            self.spent[tenant, month] = Spent(n=n, cost_micros=cost, by_key=by_keys[tenant, month])

    async def _load_rest(self, needs: Needs) -> None:
        fetch = self._connection.fetch
        if addresses := sorted(needs.addresses - self.lists.keys()):
            for address in addresses:
                self.lists[address] = []
            for tenant, mode, text, name in await fetch(SQL["is_suppressed"], *zip(*addresses, strict=True)):
                self.lists[tenant, mode, text].append(name)
        if domains := sorted(needs.domains - self.verified.keys()):
            self.verified.update(dict.fromkeys(domains, False))
            for tenant, domain in await fetch(SQL["domain_verified"], *zip(*domains, strict=True)):
                self.verified[tenant, domain] = True
        if keys := sorted(needs.keys - self.keys.keys()):
            self.keys.update(dict.fromkeys(keys))
            for tenant, mode, dialect, key, fingerprint, ids in await fetch(SQL["find_key"], *zip(*keys, strict=True)):
                self.keys[tenant, mode, dialect, key] = (fingerprint, ids)
        if owners := needs.owners - self.owners.keys():
            self.owners.update(dict.fromkeys(owners, False))
            self.owners.update({ident: True for (ident,) in await fetch(SQL["owner_is_alive"], list(owners))})
        if contents := needs.contents - self.contents.keys():
            self.contents.update(dict.fromkeys(contents))
            self.contents.update({r[0]: r[1] for r in await fetch(SQL["submission"], list(contents))})
        if sums := needs.sums - self.sums.keys():
            self.sums.update({scope: [0] * (len(COLUMNS) + 1) for scope in sums})
            self.sums.update({found[0]: list(found[1:]) for found in await fetch(_SUMS, list(sums))})
