"""A webhook receiver in a process of its own: says 200 to everything. Run by the benchmarks, never beside real mail."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvloop


@contextmanager
def receiver() -> Iterator[str]:
    """Its URL, while the block runs."""
    process = subprocess.Popen([sys.executable, "-m", "bench.receiver"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/events"
    finally:
        process.kill()
        process.wait()


def subscribe(host: str, port: int, key: str, url: str) -> None:
    """Have the service tell ``url`` of every event."""
    answer = httpx.post(
        f"http://{host}:{port}/v3/user/webhooks",
        headers={"Authorization": f"Bearer {key}"},
        content=json.dumps({"url": url, "enabled_events": ["*"]}),
    )
    assert answer.status_code == 201, answer.text


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, limit=1 << 24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
