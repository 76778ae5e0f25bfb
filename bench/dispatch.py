"""How fast due mail leaves: rendered, signed (RSA-2048), with every promised write, to an SMTP sink on this machine.

The yardstick is the bare RSA-2048 signing rate of the machine, two threads, in the same run: nobody can sign faster than that.

Run: python -m bench.dispatch [count], on SQLite and on PostgreSQL one after the other.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from bench.load import request, run
from bench.receiver import receiver, subscribe
from bench.service import DOMAIN, STORES, Kind, service

LINK = '<p><a href="https://example.net/news?week=47&amp;from=mail">Read more</a></p>'
TRACKED = ("open_tracking=true", "click_tracking=true")
AHEAD = 8
"""Seconds until the mails are due: time enough to hand them all in."""


def signing_rate(seconds: float = 3.0, threads: int = 2) -> float:
    """RSA-2048 signatures a second."""
    key = rsa.generate_private_key(65537, 2048)
    done = [0] * threads
    until = time.perf_counter() + seconds

    def sign(n: int) -> None:
        padding, digest = PKCS1v15(), SHA256()
        while time.perf_counter() < until:
            key.sign(b"x" * 500, padding, digest)
            done[n] += 1

    workers = [threading.Thread(target=sign, args=(n,)) for n in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return sum(done) / seconds


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def body(first: int, due: int) -> bytes:
    """A thousand mails due at one second."""
    return json.dumps(
        {
            "personalizations": [
                {"to": [{"email": f"user{first + n}@example.net"}], "substitutions": {"-name-": f"User {first + n}"}}
                for n in range(1000)
            ],
            "from": {"email": f"hello@{DOMAIN}", "name": "Example"},
            "subject": "Your weekly digest, -name-",
            "content": [
                {
                    "type": "text/plain",
                    "value": "Hello -name-,\n\nthis is what happened this week.\n" + "A line of text. " * 12,
                },
                {
                    "type": "text/html",
                    "value": "<body><p>Hello -name-,</p><p>this is what happened.</p>"
                    + LINK * 4
                    + "<p>A line.</p>" * 8
                    + "</body>",
                },
            ],
            "send_at": due,
        }
    ).encode()


def dispatch(kind: Kind, count: int, *, told: bool = False, name: str = "") -> float:
    """Mails a second from one store, all due in one second; prints what it cost.

    ``told``: opens and clicks are tracked, and a webhook endpoint hears of every event.
    """
    sink = subprocess.Popen([sys.executable, "-m", "bench.sink", str(count)], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    port = int(sink.stdout.readline())
    try:
        with ExitStack() as stack:
            host, http, key, pid = stack.enter_context(
                service(
                    kind, tenant=TRACKED if told else (), courier=f"relay://127.0.0.1:{port}", settle_after="0s", webhook_allow="127.0.0.0/8",
                )
            )  # fmt: skip
            if told:
                subscribe(host, http, key, stack.enter_context(receiver()))
            due = int(time.time()) + AHEAD

            async def hand_in() -> None:
                for first in range(0, count, 1000):
                    await run(host, http, request(host, key, body(first, due)), connections=1, count=1)

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(hand_in())
            left = due - time.time()
            if left < 0:
                print(f"warning: handing in took {-left:.1f} s too long; the rate below is too low")
            else:
                time.sleep(max(0.0, left - 2.5))  # until just before the first is prepared
            used = cpu_seconds(pid), cpu_seconds(sink.pid)
            finished = float(sink.stdout.readline())
            used = cpu_seconds(pid) - used[0], cpu_seconds(sink.pid) - used[1]
    finally:
        sink.kill()
        sink.wait()
    rate = count / (finished - due)
    print(
        f"{kind}{name}: {count:,} mails due in one second, one tenant: {rate:,.0f}/s, the last {finished - due:.2f} s after its second; "
        f"CPU per mail: service {used[0] / count * 1e6:,.0f} us, sink {used[1] / count * 1e6:,.0f} us"
    )
    return rate


def main() -> None:
    """Print the rates and their ratios to the yardstick and to each other."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 15_000
    before = signing_rate()
    rates = {kind: dispatch(kind, count) for kind in STORES}
    after = signing_rate()
    bare = (before + after) / 2
    print(f"bare RSA-2048 signing, two threads: {before:,.0f}/s before, {after:,.0f}/s after")
    for kind, rate in rates.items():
        print(f"ratio dispatched / signed, {kind}: {rate / bare:.2f} (aim 0.60)")
    print(f"ratio PostgreSQL / SQLite: {rates['postgres'] / rates['sqlite']:.2f} (aim 0.75)")


if __name__ == "__main__":
    main()
