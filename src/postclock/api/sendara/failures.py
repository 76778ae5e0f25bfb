"""How /v1 writes a failure: ``{"error": {"code", "message", "status"}}`` (Sendara's documentation, errors).

``code`` is what clients branch on and never changes; the sentence may. In a batch the inner object stands alone.
"""

from typing import Final

import msgspec

from postclock.api.failures import Failure, Voice


class Told(msgspec.Struct, frozen=True):
    """One failure: the stable code, a sentence, the HTTP status."""

    code: str
    message: str
    status: int


class ErrorBody(msgspec.Struct, frozen=True):
    """The envelope."""

    error: Told


BY_STATUS: Final[dict[int, str]] = {
    400: "invalid_request",
    401: "unauthorized",
    402: "spend_cap_exceeded",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    500: "internal_error",
    503: "unavailable",
    507: "unavailable",
}
"""The code of a failure whose kind has none of its own."""

_encode: Final = msgspec.json.Encoder().encode


def told(failure: Failure) -> Told:
    """The failure in /v1's words; every bad field is named in the sentence."""
    sentences = [f"{e.field}: {e.message}" if e.field else e.message for e in failure.errors]
    text = " ".join([*(_ended(sentence) for sentence in sentences[:-1]), *sentences[-1:]])
    status = failure.code_status or failure.status
    return Told(failure.code or BY_STATUS.get(status, "internal_error"), text, status)


def _ended(sentence: str) -> str:
    """With a full stop, for another follows."""
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def failure_body(path: str, failure: Failure) -> bytes:
    """The failure as JSON."""
    return _encode(ErrorBody(told(failure)))


VOICE: Final = Voice(failure_body, code_statuses=True, empty_list_is_absent=True)
