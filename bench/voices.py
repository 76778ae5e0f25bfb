"""What the second dialect and its company cost: /v1/send beside /v3/mail/send, and dispatch with tracking and webhooks beside without.

Run: python -m bench.voices [count], on the embedded store; both sides of each ratio take turns in the same run.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime

import uvloop

from bench.accept import body as v3_body
from bench.dispatch import dispatch
from bench.load import Load, request, run
from bench.service import DOMAIN, service

SECONDS = 5.0
ROUNDS = 3
CONNECTIONS = 64


def v1_body() -> bytes:
    """The same mail as bench.accept's, in /v1's words, due in an hour."""
    mail = json.loads(v3_body(1))
    return json.dumps(
        {
            "channel": "email",
            "destination": {"email": "user0@example.net"},
            "metadata": {"from_email": f"Example <hello@{DOMAIN}>"},
            "payload": {
                "subject": mail["subject"],
                "body_text": mail["content"][0]["value"],
                "body_html": mail["content"][1]["value"],
            },
            "scheduled_at": datetime.fromtimestamp(int(time.time()) + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    ).encode()


def measure(host: str, port: int, data: bytes) -> Load:
    """One run."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(host, port, data, connections=CONNECTIONS, seconds=SECONDS))


def accept() -> float:
    """/v1's rate by /v3's, the better of each over rounds in turn."""
    with service() as (host, port, key, _):
        calls = {
            "/v3/mail/send": request(host, key, v3_body(1)),
            "/v1/send": request(host, key, v1_body(), "/v1/send"),
        }
        best = dict.fromkeys(calls, 0.0)
        for _ in range(ROUNDS):
            for path, data in calls.items():
                load = measure(host, port, data)
                best[path] = max(best[path], load.rate)
                print(f"{path}: {load.rate:,.0f}/s, p99 {load.percentile(0.99):.1f} ms")
    return best["/v1/send"] / best["/v3/mail/send"]


def main() -> None:
    """Print both ratios."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"ratio /v1/send / /v3/mail/send: {accept():.2f} (aim 0.80)")
    plain = max(dispatch("sqlite", count), dispatch("sqlite", count))
    told = max(dispatch("sqlite", count, told=True, name=", told") for _ in range(2))
    print(f"ratio dispatched with tracking and webhooks / without: {told / plain:.2f} (aim above 0.75)")


if __name__ == "__main__":
    main()
