"""How long a claim takes on PostgreSQL: while another session holds an old snapshot (a backup does), and beside a paused million.

The yardstick is the same claim on the same database before. Run: python -m bench.claims [seconds] [paused]
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import asyncpg

from bench.service import database
from postclock.core.lifecycle import RecipientState
from postclock.store.postgres.store import PostgresStore, migrate_store, open_store
from postclock.store.records import LIVE, Departed
from tests.support import mails

GROUP = 500
DELIVERED = (RecipientState.delivered,)


class Mill:
    """One process's path of a mail without the mail: accepted, claimed, departed, recorded."""

    def __init__(self, store: PostgresStore, tenant: int) -> None:
        self.store, self.tenant, self.waiting = store, tenant, 0

    async def fill(self, count: int, batch: int | None = None) -> None:
        """Mail that is due now."""
        now = self.store.clock.now_ms()
        for first in range(0, count, 1000):
            wanted = [mails.message(now, f"u{first + n}@example.net", lane=2) for n in range(min(1000, count - first))]
            await self.store.messages.accept(mails.acceptance(self.tenant, wanted, now, batch=batch))
        self.waiting += 0 if batch else count

    async def claim(self) -> tuple[float, int]:
        """(Milliseconds of a claim, how many it took), and what was taken goes its way."""
        if self.waiting < 2 * GROUP:
            await self.fill(20 * GROUP)
        ledger, clock = self.store.ledger, self.store.clock
        started = time.perf_counter()
        claims = await ledger.claim([(0, GROUP), (2, GROUP)], clock.now_ms(), clock.now_ms())
        took = (time.perf_counter() - started) * 1000
        self.waiting -= len(claims)
        revision = (await ledger.context(self.tenant)).revision
        for first in range(0, len(claims), 100):
            group = claims[first : first + 100]
            now = clock.now_ms()
            answers = await ledger.depart([mails.departure(c, revision) for c in group], now)
            results = [
                mails.result(c, a.at, DELIVERED, retry_at=now, settle_at=now)
                for c, a in zip(group, answers, strict=True)
                if isinstance(a, Departed)
            ]
            await ledger.record(results, now)
        return took, len(claims)

    async def run(self, seconds: float) -> list[float]:
        """Claim after claim for so long; the milliseconds of each."""
        until = time.perf_counter() + seconds
        times = []
        while time.perf_counter() < until:
            times.append((await self.claim())[0])
        return times


def say(name: str, times: Sequence[float]) -> float:
    """One line; p99 in milliseconds."""
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{name}: {len(ordered)} claims of {GROUP}, p50 {ordered[len(ordered) // 2]:.1f} ms, p99 {p99:.1f} ms")
    return p99


async def measure(dsn: str, seconds: float, paused: int) -> None:
    """Print the three figures and their ratios."""
    store = open_store(dsn)
    try:
        now = store.clock.now_ms()
        tenant = await store.accounts.create_tenant("bench", now)
        await store.domains.add_domain(tenant.id, mails.DOMAIN, (), now, trusted=True)
        mill = Mill(store, tenant.id)
        await mill.run(5)
        plain = say("alone", await mill.run(seconds / 2))
        other = await asyncpg.connect(dsn)
        async with other.transaction(isolation="repeatable_read", readonly=True):
            await other.fetchval("SELECT count(*) FROM tenants")
            times = await mill.run(seconds)
            first, last = times[: len(times) // 4], times[-len(times) // 4 :]
            print(f"another session holds a snapshot for {seconds:.0f} s:")
            begin, end = say("  its first quarter", first), say("  its last quarter", last)
        print(f"ratio p99 with an old snapshot / alone: {max(begin, end) / plain:.2f} (flat: about 1)")
        batch = mails.new_id()
        await store.messages.create_batch(batch, tenant.id, LIVE, now)
        await mill.fill(paused, batch)
        await other.execute("UPDATE batches SET paused_at = $1 WHERE id = $2", now, batch)
        parked = "SELECT count(*) FROM queue WHERE batch = $1 AND ready_at IS NOT NULL"
        times = []
        while await other.fetchval(parked, batch):
            times += [(await mill.claim())[0] for _ in range(50)]
        say(f"while {paused:,} of a paused batch are put aside", times)
        after = say(f"beside {paused:,} that are", await mill.run(seconds / 2))
        print(f"ratio p99 beside a paused million / alone: {after / plain:.2f} (flat: about 1)")
        await other.close()
    finally:
        store.close()


def main() -> None:
    """Measure on a server of its own."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    paused = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    with database("postgres") as given:
        migrate_store(given["store"])
        asyncio.run(measure(given["store"], seconds, paused))


if __name__ == "__main__":
    main()
