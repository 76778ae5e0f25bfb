"""A batch of a million through two API and two engine processes on PostgreSQL, its counts read all the while; then one cancelled midway.

The yardstick is the bare RSA-2048 signing rate of the machine in the same run. Run: python -m bench.fleet [count]
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import cast

import uvloop

from bench.dispatch import body, signing_rate
from bench.load import request, run
from bench.service import fleet

CANCELLED = 20_000
"""Mails of the batch that is cancelled while it is being sent."""
LOOK_SECONDS = 0.2


class Front:
    """The API processes, asked in turn."""

    def __init__(self, key: str, places: list[tuple[str, int, int]]) -> None:
        self._key, self._places, self._turn = key, places, 0
        self.reads = self.wrong = 0

    def ask(self, method: str, path: str) -> dict[str, object]:
        """One call; its JSON."""
        self._turn += 1
        host, port, _ = self._places[self._turn % len(self._places)]
        asked = urllib.request.Request(
            f"http://{host}:{port}{path}", method=method, headers={"Authorization": f"Bearer {self._key}"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def batch(self, ident: str) -> dict[str, int]:
        """The counts of a batch; a sum that is wrong is remembered."""
        found = self.ask("GET", f"/v3/mail/batch/{ident}")
        counts = cast(dict[str, int], found["status_counts"])
        self.reads += 1
        self.wrong += sum(counts.values()) != found["total_messages"]
        return counts

    async def hand_in(self, ident: str, count: int) -> None:
        """So many mails of the batch, due at once, by both processes."""

        async def through(place: tuple[str, int, int], numbers: range) -> None:
            host, port, _ = place
            for first in numbers:
                asked = json.loads(body(first, int(time.time()))) | {"batch_id": ident}
                await run(host, port, request(host, self._key, json.dumps(asked).encode()), connections=1, count=1)

        await asyncio.gather(
            *(through(p, range(n * 1000, count, 1000 * len(self._places))) for n, p in enumerate(self._places))
        )

    async def watch(self, ident: str, until: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """Read the counts again and again until they are as wanted."""
        while not until(counts := await asyncio.to_thread(self.batch, ident)):
            await asyncio.sleep(LOOK_SECONDS)
        return counts


async def whole(front: Front, count: int) -> float:
    """Send a batch to its end; mails a second."""
    ident = str(front.ask("POST", "/v3/mail/batch")["batch_id"])
    started = time.time()
    handing = asyncio.create_task(front.hand_in(ident, count))
    await front.watch(ident, lambda counts: counts["delivered"] == count)
    await handing
    return count / (time.time() - started)


async def midway(front: Front) -> dict[str, int]:
    """Cancel a batch when a quarter of it has gone; its counts at the end."""
    ident = str(front.ask("POST", "/v3/mail/batch")["batch_id"])
    await front.hand_in(ident, CANCELLED)
    await front.watch(ident, lambda counts: counts["delivered"] * 4 >= CANCELLED)
    told = front.ask("POST", f"/v3/mail/batch/{ident}/cancel")
    named = ("cancelled", "stopped", "in_flight", "uncertain", "sent", "settled")
    total = sum(int(str(told[name])) for name in named)
    print(f"cancelled midway: {told} (adds up to {total:,} of {CANCELLED:,})")
    return await front.watch(ident, lambda counts: counts["delivered"] + counts["cancelled"] == CANCELLED)


def main() -> None:
    """Print both."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    bare = signing_rate()
    sink = subprocess.Popen([sys.executable, "-m", "bench.sink", "0"], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    port = int(sink.stdout.readline())
    arguments = [("--only", "api")] * 2 + [("--only", "engine")] * 2
    try:
        with fleet("postgres", arguments, courier=f"relay://127.0.0.1:{port}", settle_after="0s") as (key, places):
            front = Front(key, places[:2])
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rate = runner.run(whole(front, count))
                left = runner.run(midway(front))
            sink.send_signal(signal.SIGUSR1)
            arrived = int(sink.stdout.readline())
    finally:
        sink.kill()
        sink.wait()
    print(f"{count:,} mails of one batch through 2 API and 2 engine processes, handed in meanwhile: {rate:,.0f}/s")
    print(f"ratio sent / signed: {rate / bare:.2f} (bare RSA-2048 signing, two threads: {bare:,.0f}/s)")
    print(f"batch sums read {front.reads:,} times, {front.wrong} of them wrong")
    print(
        f"the sink has {arrived:,}: {count:,} and {arrived - count:,} of the cancelled batch, "
        f"which has {left['delivered']:,} delivered and {left['cancelled']:,} cancelled"
    )


if __name__ == "__main__":
    main()
