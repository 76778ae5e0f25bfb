"""What a month has counted, and whose mail is not counted: the store's side of usage and test recipients.

Usage is written by the ledger, in the transaction of each hand-off; here it is read.
"""

from collections.abc import Collection
from typing import Protocol

from postclock.core.free_recipient import FreeRecipient
from postclock.core.plan import Spent, UsageRow


class Metering(Protocol):
    """Usage rows and test recipients. Times are UTC milliseconds, months numbers such as 202611."""

    async def usage(self, tenant: int, month: int) -> list[UsageRow]:
        """A month's rows, by channel and message type; none for a month in which nothing was handed off."""
        ...

    async def spent(self, tenant: int, month: int) -> Spent:
        """A month's sums, and the costs that each key has caused."""
        ...

    async def add_tester(self, tester: FreeRecipient, most: int) -> FreeRecipient:
        """Raises Conflict when the tenant has the address already, Unprocessable when it has ``most`` of them."""
        ...

    async def testers(self, tenant: int) -> list[FreeRecipient]:
        """A tenant's test recipients, oldest first."""
        ...

    async def tester(self, tenant: int | None, ident: int) -> FreeRecipient:
        """One of a tenant, or with None of any. Raises NotFound."""
        ...

    async def verified(self, tenant: int, addresses: Collection[str]) -> frozenset[str]:
        """Which of these addresses (compared forms) are verified test recipients."""
        ...

    async def mail_tester(self, tenant: int, ident: int, now: int, last: int) -> FreeRecipient:
        """Note that a confirmation is mailed at ``now``, when the last one was at ``last`` or before.

        The record as it stands then: its ``mailed_at`` is another one when it was too soon. Raises NotFound.
        """
        ...

    async def verify_tester(self, ident: int, now: int) -> FreeRecipient:
        """Its owner has agreed; again: no change. Raises NotFound."""
        ...

    async def drop_tester(self, tenant: int, ident: int) -> None:
        """Raises NotFound."""
        ...
