"""Whether the machine's clock is kept right by somebody (NTP, PTP, a host): what the kernel itself says of it."""

import ctypes
from typing import Final

_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_OCTETS: Final = 512  # larger than struct timex anywhere; modes = 0 reads and sets nothing


def is_kept() -> bool | None:
    """Whether the kernel takes its clock for synchronized; None where it cannot be asked."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_OCTETS))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
