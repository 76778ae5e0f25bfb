"""Ends the PostgreSQL servers of a test process that is gone, and removes their folder.

Started with one folder as its argument and a pipe as its standard input, whose other end only the test process holds: when that
ends, however it ends, the pipe is closed. A child that is about to become a server holds the pipe until it is one, so none is missed.
PR_SET_PDEATHSIG would not do: it fires when the thread that started the server ends, and that thread need not be the main one.
"""

import os
import select
import shutil
import signal
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

PATIENCE = 10.0
"""Seconds for an immediate shutdown; PostgreSQL itself kills its children after five."""


def of_folder(folder: str) -> list[int]:
    """The processes that were started with ``-D`` and a path in this folder; no other can be meant, its name is drawn at random."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if any(w == "-D" and path.startswith(folder + "/") for w, path in pairwise(words)):
                    found.append(int(entry.name))
    return found


def end(process: int) -> None:
    """Shut it down at once, or kill it when it takes too long."""
    with suppress(ProcessLookupError):
        ended = os.pidfd_open(process)
        try:
            signal.pidfd_send_signal(ended, signal.SIGQUIT)
            signal.pidfd_send_signal(ended, signal.SIGCONT)
            if not select.select([ended], [], [], PATIENCE)[0]:
                signal.pidfd_send_signal(ended, signal.SIGKILL)
                select.select([ended], [], [], PATIENCE)
        finally:
            os.close(ended)


def watch(folder: str) -> None:
    """Wait for the end of the pipe, then tidy up."""
    sys.stdin.buffer.read()
    while found := of_folder(folder):
        for process in found:
            end(process)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    watch(sys.argv[1])
