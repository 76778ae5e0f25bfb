"""From an exception to what a caller may know of it: a status, a sentence, the bad fields, headers. Never a stack trace.

Every answer that is no success comes from here; each dialect writes the same ``Failure`` in its own shape.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.exceptions import HTTPException

from postclock.core.errors import (
    Busy,
    Conflict,
    FieldError,
    Forbidden,
    FromNotVerified,
    Invalid,
    InvalidRecipient,
    KeyReused,
    Limited,
    MissingVariable,
    NotFound,
    RecipientSuppressed,
    RecipientUndeliverable,
    SpendCapExceeded,
    TooLarge,
    Unauthorized,
    Unprocessable,
    ValidationNotConfigured,
)

UNPROCESSABLE: Final[dict[type[Unprocessable], str]] = {
    Unprocessable: "unprocessable",
    InvalidRecipient: "invalid_recipient",
    RecipientUndeliverable: "recipient_undeliverable",
    MissingVariable: "missing_variable",
}
Headers = tuple[tuple[str, str], ...]

UNEXPECTED: Final = "Internal error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What is told: ``errors`` has at least one entry; entries with a field name what is wrong with the request."""

    status: int
    errors: tuple[FieldError, ...]
    headers: Headers = field(default=())
    code: str = ""
    """/v1's name for this kind of failure, where it has one of its own; empty: the status says it."""
    code_status: int = 0
    """/v1's status for it, where it is another; 0: the same."""

    @property
    def message(self) -> str:
        """The whole of it as one sentence."""
        return "; ".join(error.message for error in self.errors)


FailureBody = Callable[[str, Failure], bytes]
"""A dialect's way to write a failure as JSON: (path of the request, failure)."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How a dialect reads and answers where both share the code."""

    failure_body: FailureBody
    code_statuses: bool = False
    """Whether it answers with ``Failure.code_status`` where a failure has one."""
    empty_list_is_absent: bool = False
    """Whether ``[]`` where an optional object belongs counts as absent (what PHP makes of an empty map)."""

    def status_of(self, failure: Failure) -> int:
        """The HTTP status of the failure in this dialect."""
        return failure.code_status if self.code_statuses and failure.code_status else failure.status


def failure_of(error: Exception) -> Failure:
    """What a caller is told of ``error``; of what is not ours only that it happened (500)."""
    match error:
        case Invalid():
            return Failure(status=400, errors=error.errors)
        case Unauthorized():
            return _plain(401, str(error), ("WWW-Authenticate", "Bearer"))
        case FromNotVerified():
            return Failure(
                status=403, errors=(FieldError(str(error), error.field),), code="from_not_verified", code_status=422
            )
        case SpendCapExceeded():
            return Failure(status=403, errors=(FieldError(str(error)),), code="spend_cap_exceeded", code_status=402)
        case Forbidden():
            return Failure(status=403, errors=(FieldError(str(error), error.field),))
        case NotFound():
            return _plain(404, str(error) or "Not found")
        case KeyReused():
            return Failure(status=422, errors=(FieldError(str(error)),), code="idempotency_key_reused", code_status=409)
        case RecipientSuppressed():
            return Failure(status=409, errors=(FieldError(str(error)),), code="recipient_suppressed")
        case Unprocessable():
            return Failure(status=422, errors=(FieldError(str(error), error.field),), code=UNPROCESSABLE[type(error)])
        case ValidationNotConfigured():
            return Failure(status=503, errors=(FieldError(str(error)),), code="validation_not_configured")
        case Conflict():
            return _plain(409, str(error))
        case TooLarge():
            return _plain(413, str(error))
        case Limited():
            return Failure(
                status=429,
                errors=(FieldError(str(error)),),
                headers=(
                    ("Retry-After", str(error.retry_after)),
                    *limit_headers(error.limit, error.remaining, error.reset_at),
                ),
            )
        case Busy():
            return _plain(error.status, str(error), ("Retry-After", str(error.retry_after)))
        case HTTPException():
            return _plain(
                error.status_code, HTTPStatus(error.status_code).phrase.capitalize(), *_sorted(error.headers or {})
            )
        case _:
            return _plain(500, UNEXPECTED)


def limit_headers(limit: int, remaining: int, reset_at: int) -> Headers:
    """The three headers about a ceiling (ScaiSend's documentation, rate limits); ``reset_at`` in Unix seconds."""
    return (
        ("X-RateLimit-Limit", str(limit)),
        ("X-RateLimit-Remaining", str(remaining)),
        ("X-RateLimit-Reset", str(reset_at)),
    )


def plain_body(path: str, failure: Failure) -> bytes:
    """``{"detail": "…"}``: the body where no dialect has its own."""
    return msgspec.json.encode({"detail": failure.message})


PLAIN: Final = Voice(plain_body)
"""Of the paths that no dialect owns."""


def _plain(status: int, message: str, *headers: tuple[str, str]) -> Failure:
    return Failure(status=status, errors=(FieldError(message),), headers=headers)


def _sorted(headers: Mapping[str, str]) -> Headers:
    """The headers, with the methods of an Allow in a fixed order."""
    return tuple(
        (name, ", ".join(sorted(value.split(", "))) if name == "Allow" else value) for name, value in headers.items()
    )
