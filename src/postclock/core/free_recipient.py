"""Test recipients: a handful of a tenant's own inboxes that get real mail for nothing, once their owners have agreed."""

from typing import Final, Literal

import msgspec

MOST: Final = 20
"""Of one tenant: every departure reads the verified ones, and they are meant for a team's own inboxes."""
RESEND_MS: Final = 60_000
"""Between two confirmation mails to one address: anybody's address can be named, and nobody wants more of them."""


class FreeRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """One test recipient. ``address`` is the compared form of ``email``; times are UTC milliseconds.

    ``verified_at`` None: its owner has not confirmed yet. ``mailed_at``: when the last confirmation mail was asked for.
    """

    id: int
    tenant: int
    email: str
    address: str
    created_at: int
    mailed_at: int
    verified_at: int | None = None

    @property
    def status(self) -> Literal["pending", "verified"]:
        """Sendara's word for it."""
        return "pending" if self.verified_at is None else "verified"
