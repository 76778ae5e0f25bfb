"""A lean SMTP sink in a process of its own: takes everything, counts, and says when it has so many; at SIGUSR1, how many."""

import asyncio
import signal
import socket
import sys
import time
from typing import cast

import uvloop

EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 50000000\r\n"


class _Session(asyncio.Protocol):
    def __init__(self, count: list[int], wanted: int) -> None:
        self._count, self._wanted = count, wanted
        self._buffer = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        out = []
        while True:
            if self._in_data:
                end = self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    break
                self._buffer = self._buffer[end + 5 :]
                self._in_data = False
                self._count[0] += 1
                out.append(b"250 ok\r\n")
                if self._count[0] == self._wanted:
                    sys.stdout.write(f"{time.time()}\n")
                    sys.stdout.flush()
                continue
            line, separator, rest = self._buffer.partition(b"\r\n")
            if not separator:
                break
            self._buffer = rest
            verb = line[:4].upper()
            if verb == b"EHLO":
                out.append(EHLO)
            elif verb == b"DATA":
                self._in_data = True
                out.append(b"354 go\r\n")
            elif verb == b"QUIT":
                out.append(b"221 bye\r\n")
            else:
                out.append(b"250 ok\r\n")
        if out:
            self._transport.write(b"".join(out))


async def main(wanted: int) -> None:
    """Listen, print the port, then the time at which ``wanted`` mails were there."""
    count = [0]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()

    def tell() -> None:
        sys.stdout.write(f"{count[0]}\n")
        sys.stdout.flush()

    loop.add_signal_handler(signal.SIGUSR1, tell)
    await loop.create_server(lambda: _Session(count, wanted), sock=listener, backlog=512)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
