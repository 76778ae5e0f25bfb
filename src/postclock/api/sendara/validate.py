"""POST /v1/validate: a look at one address (Sendara's documentation, validation)."""

from typing import Annotated, Final

import msgspec

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.core.account import Scope
from postclock.service.validate import Validation

PATH: Final = "/v1/validate"
MAX_EMAIL: Final = 1_000
"""Characters: four times what an address may have. The answer repeats them."""


class ValidateBody(msgspec.Struct):
    """What to look at."""

    email: Annotated[str, msgspec.Meta(max_length=MAX_EMAIL)]


class ValidateAnswer(msgspec.Struct, frozen=True):
    """The verdict; ``reason`` is empty when ``valid``."""

    email: str
    valid: bool
    reason: str


def validate_endpoints(validation: Validation) -> list[Endpoint]:
    """The endpoint."""

    async def validate(call: Call) -> Reply:
        email = call.body(ValidateBody).email
        verdict = await validation.check(email)
        return Reply(ValidateAnswer(email, verdict.valid, verdict.reason))

    return [
        Endpoint(
            method="POST", path=PATH, summary="Look at an address: its syntax, and whether its domain can get mail", answer=validate,
            scopes=(Scope.mail_send,), takes=ValidateBody, gives=ValidateAnswer, refuses=(400,),
        ),
    ]  # fmt: skip
