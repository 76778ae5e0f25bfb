"""How fast mail is accepted: durably (fsync), against the same server that only parses and answers.

Run: python -m bench.accept, on SQLite and on PostgreSQL one after the other.
"""

import asyncio
import json
import subprocess
import sys
import time

import uvloop

from bench.load import Load, request, run
from bench.service import DOMAIN, STORES, Kind, service

SECONDS = 8.0
CONNECTIONS = 64


def body(personalizations: int) -> bytes:
    """A call with so many personalizations, due in an hour: it is stored and not sent."""
    return json.dumps(
        {
            "personalizations": [
                {
                    "to": [{"email": f"user{n}@example.net", "name": f"User {n}"}],
                    "dynamic_template_data": {"name": f"User {n}", "plan": "team"},
                }
                for n in range(personalizations)
            ],
            "from": {"email": f"hello@{DOMAIN}", "name": "Example"},
            "subject": "Your weekly digest",
            "content": [
                {
                    "type": "text/plain",
                    "value": "Hello,\n\nthis is what happened this week.\n" + "A line of text. " * 12,
                },
                {
                    "type": "text/html",
                    "value": "<p>Hello,</p><p>this is what happened this week.</p>" + "<p>A line.</p>" * 12,
                },
            ],
            "categories": ["digest"],
            "send_at": int(time.time()) + 3600,
        }
    ).encode()


def measure(host: str, port: int, key: str, n: int, connections: int) -> Load:
    """One run after a short warm-up."""

    async def go() -> Load:
        data = request(host, key, body(n))
        await run(host, port, data, connections=connections, seconds=1.0)
        return await run(host, port, data, connections=connections, seconds=SECONDS)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(go())


def main() -> None:
    """Print both figures and their ratio."""
    bare = subprocess.Popen([sys.executable, "-m", "bench.bare"], stdout=subprocess.PIPE, text=True)
    try:
        assert bare.stdout is not None
        host, _, port = bare.stdout.readline().strip().rpartition("/")[2].rpartition(":")
        parsed = measure(host, int(port), "none", 1, CONNECTIONS)
        parsed_bulk = measure(host, int(port), "none", 1000, 8)
    finally:
        bare.kill()
        bare.wait()
    say("single sends, parsed and answered only", parsed)
    print(f"1,000 personalizations a call, parsed only: {parsed_bulk.rate * 1000:,.0f} recipients/s")
    found: dict[Kind, tuple[float, float]] = {}
    for kind in STORES:
        with service(kind) as (host, real_port, key, _):
            accepted = measure(host, real_port, key, 1, CONNECTIONS)
        with service(kind) as (host, real_port, key, _):
            bulk = measure(host, real_port, key, 1000, 8)
        found[kind] = accepted.rate, bulk.rate
        say(f"{kind}: single sends, accepted, durable", accepted)
        print(f"{kind}: ratio accepted / parsed: {accepted.rate / parsed.rate:.2f} (aim 0.50)")
        print(f"{kind}: 1,000 personalizations a call, durable: {bulk.rate * 1000:,.0f} recipients/s (aim 40,000)")
        print(f"{kind}: ratio: {bulk.rate / parsed_bulk.rate:.2f}")
    single, many = (found["postgres"][i] / found["sqlite"][i] for i in (0, 1))
    print(f"ratio PostgreSQL / SQLite: single sends {single:.2f}, 1,000 personalizations {many:.2f} (aim 0.70)")


def say(name: str, load: Load) -> None:
    """One line."""
    print(f"{name}: {load.rate:,.0f}/s, p50 {load.percentile(0.5):.1f} ms, p99 {load.percentile(0.99):.1f} ms")


if __name__ == "__main__":
    main()
