"""The id of a request: random, in the header X-Request-Id of every answer and in the log lines of what went wrong.

It is given by the app before anything else happens, and means nothing but "this one call".
"""

from typing import Final

from postclock.runtime.entropy import Marks, SystemEntropy

REQUEST_ID: Final = "postclock.request_id"
"""Where it stands in the ASGI scope, as text."""
HEADER: Final = b"x-request-id"
OCTETS: Final = 12

_marks: Final = Marks(SystemEntropy())


def fresh_request_id() -> str:
    """A new one: ``req_`` and 24 hexadecimal digits."""
    return f"req_{_marks.hex(OCTETS)}"
