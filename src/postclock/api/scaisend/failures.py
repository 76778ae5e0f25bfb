"""How /v3 writes a failure: ``errors`` under /v3/mail/, because SendGrid's clients read that, ``detail`` everywhere else.

``detail`` is a text, or an array of ``{loc, msg, type}`` when fields or query parameters are named (ScaiSend's documentation, errors).
"""

from typing import Final

import msgspec

from postclock.api.failures import Failure, Voice

MAIL: Final = "/v3/mail/"
WRONG_VALUE: Final = "value_error"


class MailError(msgspec.Struct, frozen=True):
    """One thing that is wrong, as SendGrid writes it; ``help`` is there for its clients and always null."""

    message: str
    field: str | None = None
    help: str | None = None


class MailErrors(msgspec.Struct, frozen=True):
    """The body of a failure under /v3/mail/."""

    errors: list[MailError]


class BadField(msgspec.Struct, frozen=True):
    """One bad field: ``loc`` is its path, list positions as numbers."""

    loc: list[str | int]
    msg: str
    type: str = WRONG_VALUE


class Detail(msgspec.Struct, frozen=True):
    """The body of a failure elsewhere in /v3."""

    detail: str | list[BadField]


_encode: Final = msgspec.json.Encoder().encode


def failure_body(path: str, failure: Failure) -> bytes:
    """The failure as JSON, in the shape of the family that ``path`` belongs to."""
    if path.startswith(MAIL):
        return _encode(MailErrors([MailError(error.message, error.field) for error in failure.errors]))
    if failure.status == 400 and any(error.field is not None for error in failure.errors):
        return _encode(Detail([BadField(_loc(error.field), error.message) for error in failure.errors]))
    return _encode(Detail(failure.message))


VOICE: Final = Voice(failure_body)


def _loc(field: str | None) -> list[str | int]:
    if field is None:
        return []
    return [int(part) if part.isdecimal() and part.isascii() else part for part in field.split(".")]
