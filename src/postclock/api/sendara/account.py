"""/v1/account/verification: whether the account may send, and from what (Sendara's documentation, account).

There is no shared address to send from: an account sends once one of its domains is verified.
"""

from typing import Final, Literal

import msgspec

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.service.domains import Domains

PATH: Final = "/v1/account/verification"


class ChannelDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The sending domains, by name."""

    verified_domains: list[str]
    pending_domains: list[str]


class ChannelState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a channel is: unverified without a domain, pending while none of them is verified."""

    channel: Literal["email"]
    status: Literal["verified", "pending", "unverified"]
    verified: bool
    details: ChannelDetails


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """``sandbox_mode``: no domain is verified yet."""

    sandbox_mode: bool
    shared_email_sender: None
    channels: list[ChannelState]


def account_endpoints(domains: Domains) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def verification(call: Call) -> Reply:
        found = await domains.all(call.principal.tenant.id)
        verified = [d.domain for d in found if d.verified_at is not None]
        pending = [d.domain for d in found if d.verified_at is None]
        email = ChannelState(
            channel="email",
            status="verified" if verified else "pending" if pending else "unverified",
            verified=bool(verified),
            details=ChannelDetails(verified_domains=verified, pending_domains=pending),
        )
        return Reply(Verification(sandbox_mode=not verified, shared_email_sender=None, channels=[email]))

    return (
        Endpoint(
            method="GET",
            path=PATH,
            summary="Whether the account may send, and from what",
            answer=verification,
            gives=Verification,
        ),
    )
