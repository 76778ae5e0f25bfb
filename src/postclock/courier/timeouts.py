"""How long each step of a conversation may take: the minimums of RFC 5321 4.5.3.2, in one record so that tests shorten them."""

from dataclasses import dataclass
from typing import Final

CONNECT: Final = 30.0  # the RFC names none; a host that takes longer for a TCP handshake is not worth a slot
BANNER: Final = 300.0  # 4.5.3.2.1
COMMAND: Final = 300.0  # EHLO, RSET: not named; as for MAIL
HANDSHAKE: Final = 60.0  # TLS
AUTH: Final = 300.0
MAIL: Final = 300.0  # 4.5.3.2.2
RCPT: Final = 300.0  # 4.5.3.2.3
DATA: Final = 120.0  # 4.5.3.2.4
BLOCK: Final = 180.0  # 4.5.3.2.5
DOT: Final = 600.0  # 4.5.3.2.6
GOODBYE: Final = 5.0  # our patience with a close; nothing depends on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds for each step. ``block`` is the wait for room to write; ``dot`` the wait for the final reply."""

    connect: float = CONNECT
    banner: float = BANNER
    command: float = COMMAND
    handshake: float = HANDSHAKE
    auth: float = AUTH
    mail: float = MAIL
    rcpt: float = RCPT
    data: float = DATA
    block: float = BLOCK
    dot: float = DOT
    goodbye: float = GOODBYE
