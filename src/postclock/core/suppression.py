"""Suppressions: addresses that a tenant's mail no longer goes to."""

from typing import Final, Literal, get_args

import msgspec

SuppressionList = Literal["bounces", "spam_reports", "unsubscribes"]
LISTS: Final[tuple[SuppressionList, ...]] = get_args(SuppressionList)
BounceType = Literal["hard", "soft", "block"]


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """One entry; ``address`` in compared form, ``created_at`` in UTC milliseconds."""

    address: str
    list: SuppressionList
    created_at: int
    reason: str = ""
    bounce_type: str = ""
    status: str = ""
