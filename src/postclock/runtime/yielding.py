"""Threads that stand back: signing fills every core, and what must happen at its second must not queue behind it."""

import contextlib
import os
import threading
from typing import Final

NICE: Final = 10
"""Of a thread that signs. The others keep 0: they are woken, run for microseconds and wait again."""


def stand_back() -> None:
    """Lower the calling thread's own priority (Linux; elsewhere nothing happens)."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
