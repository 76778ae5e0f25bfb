"""What can go wrong, in words every floor shares. A dialect turns them into its own answers."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field: ``field`` is a dotted path (``personalizations.3.send_at``) or None for the body as a whole."""

    message: str
    field: str | None = None


class PostclockError(Exception):
    """Base of everything a caller can be told."""


class Invalid(PostclockError):
    """The request cannot be taken; every bad field is listed. Nothing was stored."""

    def __init__(self, errors: Sequence[FieldError] | str, field: str | None = None) -> None:
        self.errors: tuple[FieldError, ...] = (FieldError(errors, field),) if isinstance(errors, str) else tuple(errors)
        super().__init__("; ".join(e.message for e in self.errors))


class Unauthorized(PostclockError):
    """No credential, or one that does not hold."""


class Forbidden(PostclockError):
    """The credential holds but does not reach this far (scope, suspended tenant, unverified domain)."""

    def __init__(self, message: str, field: str | None = None) -> None:
        self.field = field
        super().__init__(message)


class FromNotVerified(Forbidden):
    """The tenant may not send from this address: its domain is not verified, or none was given."""


class NotFound(PostclockError):
    """Not there, or another tenant's: the two look alike on purpose."""


class Conflict(PostclockError):
    """It exists already, or an idempotency key was used for something else."""


class KeyReused(Conflict):
    """An idempotency key came back with another body."""


class RecipientSuppressed(Conflict):
    """The recipient is on one of the tenant's suppression lists."""


class Unprocessable(PostclockError):
    """The request is well formed, but cannot be done; ``field`` names what stands against it."""

    def __init__(self, message: str, field: str | None = None) -> None:
        self.field = field
        super().__init__(message)


class InvalidRecipient(Unprocessable):
    """A test send to an address that is no verified test recipient."""


class RecipientUndeliverable(Unprocessable):
    """The caller asked for a look at the recipient, and its domain cannot receive mail."""


class MissingVariable(Unprocessable):
    """A template asks for a variable that was not given and has no default."""


class SpendCapExceeded(PostclockError):
    """What the plan includes, or the hard cap of the tenant or the key, is used up for this month."""


class ValidationNotConfigured(PostclockError):
    """A look at an address was asked for, and there is no DNS resolver to ask."""


class TooLarge(PostclockError):
    """The request is larger than we take."""


class Limited(PostclockError):
    """Over a rate limit.

    ``limit`` requests per window, ``remaining`` of them, ``reset_at`` (Unix seconds), ``retry_after`` (seconds, 1 or more).
    """

    def __init__(self, *, limit: int, remaining: int, reset_at: int, retry_after: int) -> None:
        self.limit, self.remaining, self.reset_at, self.retry_after = limit, remaining, reset_at, retry_after
        super().__init__("Rate limit exceeded")


class Busy(PostclockError):
    """Not now: memory, disk or the store is under pressure. Nothing was stored; try again after ``retry_after`` seconds."""

    def __init__(self, message: str, *, retry_after: int = 1, status: int = 503) -> None:
        self.retry_after = retry_after
        self.status = status
        super().__init__(message)
