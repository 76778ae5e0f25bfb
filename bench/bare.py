"""The yardstick of accept: the same server and the same parsing, an answer, and nothing stored."""

import asyncio
import socket
import sys

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from postclock.api.intake import Intake
from postclock.api.scaisend.translate_send import parse_send
from postclock.core.ids import IdSource, public_message_id, week_of
from postclock.runtime.clock import SystemClock


async def main() -> None:
    """Serve until killed; prints its address."""
    clock, intake = SystemClock(), Intake()
    ids = IdSource(clock, 0)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async with intake.body(scope, receive) as body:
            now = clock.now_ms()
            asked = parse_send(body, now)
            made = [public_message_id(week_of(now), i) for i in ids.take(len(asked.personalizations))]
            text = b'{"message_ids":["%b"]}' % '","'.join(made).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    host, port = listener.getsockname()
    config = uvicorn.Config(
        answer, http="httptools", lifespan="off", access_log=False, log_config=None, server_header=False
    )
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
