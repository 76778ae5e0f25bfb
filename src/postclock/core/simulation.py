"""What becomes of a test message that is sent by a /v1 test key: the recipient's local part says it (Sendara's documentation, testing).

Nothing is handed off. The events are those of real mail, and a simulated bounce or complaint suppresses the address for test mail.
"""

from dataclasses import dataclass
from typing import Final

from postclock.core.lifecycle import Shown
from postclock.core.suppression import SuppressionList


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """One outcome: the event of the timeline, what /v1 shows, and the list the address is put on, if any."""

    event: str
    shown: Shown
    list: SuppressionList | None = None
    reply: str = ""


DELIVERED: Final = Simulated(event="delivered", shown=Shown.delivered, reply="250 2.0.0 simulated")
BOUNCED: Final = Simulated(
    event="bounce", shown=Shown.bounced, list="bounces", reply="550 5.1.1 simulated: no such mailbox"
)
COMPLAINED: Final = Simulated(
    event="spam_report", shown=Shown.complained, list="spam_reports", reply="simulated complaint"
)

BY_LOCAL_PART: Final[dict[str, Simulated]] = {
    "delivered": DELIVERED,
    "bounced": BOUNCED,
    "bounce": BOUNCED,
    "complained": COMPLAINED,
    "complaint": COMPLAINED,
}


def simulated(address: str) -> Simulated:
    """The outcome for an address in compared form: delivered, unless its local part asks for something else."""
    return BY_LOCAL_PART.get(address.rpartition("@")[0], DELIVERED)
