"""How late a lone mail leaves an idle service: departed minus due, against a bare timer of the same machine.

Run: python -m bench.lateness [seconds]
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request

import uvloop

from bench.accept import body
from bench.load import request, run
from bench.service import STORES, Kind, service


def percentile(values: list[float], p: float) -> float:
    """The value below which the part ``p`` of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p))]


async def timers(seconds: int) -> list[float]:
    """Milliseconds by which a bare asyncio timer wakes late, once a second."""
    late = []
    for _ in range(seconds):
        due = int(time.time()) + 1
        await asyncio.sleep(due - time.time())
        late.append((time.time() - due) * 1000)
    return late


def lateness(kind: Kind, seconds: int) -> list[float]:
    """Milliseconds by which so many mails, one a second, left late."""
    sink = subprocess.Popen([sys.executable, "-m", "bench.sink", str(seconds)], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    port = int(sink.stdout.readline())
    try:
        with service(kind, courier=f"relay://127.0.0.1:{port}", settle_after="0s") as (host, http, key, _):
            first = int(time.time()) + 4

            async def hand_in() -> None:
                for n in range(seconds):
                    asked = json.loads(body(1)) | {"send_at": first + n}
                    await run(host, http, request(host, key, json.dumps(asked).encode()), connections=1, count=1)

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(hand_in())
            sink.stdout.readline()

            def get(path: str) -> dict[str, object]:
                asked = urllib.request.Request(
                    f"http://{host}:{http}{path}", headers={"Authorization": f"Bearer {key}"}
                )
                with urllib.request.urlopen(asked) as answer:
                    found: dict[str, object] = json.load(answer)
                    return found

            late: list[float] = []
            while len(late) < seconds:
                page = get(f"/v3/messages?status=delivered&page_size=100&page={len(late) // 100 + 1}")["messages"]
                assert isinstance(page, list)
                late += [float(str(get(f"/v3/messages/{m['id']}")["lateness_ms"])) for m in page]
    finally:
        sink.kill()
        sink.wait()
    return late


def main() -> None:
    """Print both stores' and the timer's."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        bare = runner.run(timers(min(seconds, 20)))
    print(f"bare timer: p50 {percentile(bare, 0.5):.1f} ms, p99 {percentile(bare, 0.99):.1f} ms")
    for kind in STORES:
        late = lateness(kind, seconds)
        print(
            f"{kind}: {seconds} mails, one a second, idle service: lateness p50 {percentile(late, 0.5):.1f} ms, "
            f"p99 {percentile(late, 0.99):.1f} ms (aim 10), max {max(late):.1f} ms"
        )
        print(f"{kind}: ratio p99 to the timer's: {percentile(late, 0.99) / max(0.1, percentile(bare, 0.99)):.1f}")


if __name__ == "__main__":
    main()
