"""/v1/test-recipients: inboxes that get real mail for nothing, once their owners agree (Sendara's documentation, testing)."""

from typing import Final, Literal

import msgspec

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.limits import Ceiling
from postclock.core.account import Scope
from postclock.core.free_recipient import FreeRecipient
from postclock.core.when import iso
from postclock.service.test_recipients import FreeRecipients, public_recipient_id

BASE: Final = "/v1/test-recipients"
ONE: Final = BASE + "/{recipient_id}"


class NewRecipient(msgspec.Struct, frozen=True):
    """The inbox to name."""

    email: str


class RecipientAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One test recipient; ``verified_at`` null: its owner has not confirmed yet."""

    id: str
    email: str
    status: Literal["pending", "verified"]
    verified_at: str | None
    created_at: str


class RecipientList(msgspec.Struct, frozen=True):
    """All of the account's, oldest first."""

    recipients: list[RecipientAnswer]


def recipient_endpoints(recipients: FreeRecipients) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def listed(call: Call) -> Reply:
        return Reply(RecipientList([_answer(r) for r in await recipients.all(call.principal)]))

    async def create(call: Call) -> Reply:
        return Reply(_answer(await recipients.add(call.principal, call.body(NewRecipient).email)))

    async def resend(call: Call) -> Reply:
        await recipients.resend(call.principal, call.path("recipient_id"))
        return Reply()

    async def remove(call: Call) -> Reply:
        await recipients.remove(call.principal, call.path("recipient_id"))
        return Reply()

    admin = (Scope.admin_settings,)
    return (
        Endpoint(
            method="GET", path=BASE, summary="List test recipients, oldest first", answer=listed, scopes=admin,
            gives=RecipientList,
        ),
        Endpoint(
            method="POST", path=BASE, summary="Name a test recipient; its owner is mailed a link to confirm",
            answer=create, scopes=admin, ceiling=Ceiling.confirmations, takes=NewRecipient, gives=RecipientAnswer, status=201,
            refuses=(400, 409, 422, 507),
        ),
        Endpoint(
            method="POST", path=ONE + "/resend", summary="Mail the link once more", answer=resend, scopes=admin,
            ceiling=Ceiling.confirmations, status=204, refuses=(404, 409, 422, 507),
        ),
        Endpoint(
            method="DELETE", path=ONE, summary="Remove a test recipient", answer=remove, scopes=admin, status=204,
            refuses=(404,),
        ),
    )  # fmt: skip


def _answer(recipient: FreeRecipient) -> RecipientAnswer:
    return RecipientAnswer(
        id=public_recipient_id(recipient),
        email=recipient.email,
        status=recipient.status,
        verified_at=None if recipient.verified_at is None else iso(recipient.verified_at),
        created_at=iso(recipient.created_at),
    )
