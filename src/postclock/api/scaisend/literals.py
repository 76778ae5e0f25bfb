"""The rules for what a caller writes literally: mailboxes, header lines, MIME types, maps of strings, times.

Each check notes what it finds under the field's path; all of it ends up in the header of a mail or beside it in the store.
"""

import re
from collections.abc import Mapping
from typing import Final

from postclock.api.findings import Findings
from postclock.api.header_line import MAX_NAME, breaks_line, line
from postclock.api.scaisend import wire
from postclock.core.address import Mailbox, problem

MAX_ID: Final = 255  # ids of batches and templates are looked up in indexes
MAX_MAP_BYTES: Final = 10_000  # SendGrid's limit for custom_args and substitutions; headers get the same
MAX_HEADER_NAME: Final = 78  # RFC 5322 2.1.1: a line's length; a name cannot be folded
MAX_AHEAD_MS: Final = 5 * 366 * 86_400_000  # five years, leap days and all

RESERVED_HEADERS: Final = frozenset({
    "bcc",
    "cc",
    "content-transfer-encoding",
    "content-type",
    "date",
    "dkim-signature",
    "from",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
    "x-sg-eid",
    "x-sg-id",
})  # fmt: skip
"""Headers that the composer writes itself, or that would lie about the mail's way; in lower case."""

_HEADER_NAME: Final = re.compile(r"[!-9;-~]+")  # RFC 5322 3.6.8 (optional-field)
_MIME_TYPE: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
)  # RFC 6838 4.2


def address(given: wire.Address, field: str, findings: Findings) -> Mailbox:
    """The mailbox of a wire address."""
    name = given.name or ""
    if not sound(given.email, name):
        report_address(given, field, findings)
    return Mailbox(given.email, name)


def sound(email: str, name: str) -> bool:
    """Whether address and display name can be used: the quick look; ``report_address`` tells what is wrong."""
    return problem(email) is None and (not name or (len(name) <= MAX_NAME and not breaks_line(name)))


def report_address(given: wire.Address, field: str, findings: Findings) -> None:
    """Note what is wrong with an address that is not ``sound``."""
    reason = problem(given.email)
    if reason is not None:
        findings.add_unless_known(f"{field}.email", f"The address {reason}.")
    line(given.name or "", f"{field}.name", MAX_NAME, findings)


def mime_type(text: str, field: str, findings: Findings) -> None:
    """A MIME type without parameters."""
    if not _MIME_TYPE.fullmatch(text):
        findings.add_unless_known(field, "Not a MIME type: write type/subtype, such as text/plain, without parameters.")


def headers(given: Mapping[str, str], field: str, findings: Findings) -> None:
    """Custom headers: names that RFC 5322 allows and that are not ours, values of one line, bounded together."""
    for name, value in given.items():
        inner = f"{field}.{name}"
        if not _HEADER_NAME.fullmatch(name):
            findings.add_unless_known(inner, "Not a header name: use letters, digits and hyphens.")
        elif len(name) > MAX_HEADER_NAME:
            findings.add_unless_known(inner, f"A header name has at most {MAX_HEADER_NAME} characters.")
        elif name.lower() in RESERVED_HEADERS:
            findings.add_unless_known(inner, f"The header {name} is reserved: it is written for you and cannot be set.")
        line(value, inner, MAX_MAP_BYTES, findings)
    strings(given, field, "headers", findings)


def strings(given: Mapping[str, str], field: str, what: str, findings: Findings) -> None:
    """A map of strings: names and values together at most ``MAX_MAP_BYTES`` octets in UTF-8."""
    if sum(len(name.encode()) + len(value.encode()) for name, value in given.items()) > MAX_MAP_BYTES:
        findings.add_unless_known(field, f"The {what} are larger than {MAX_MAP_BYTES:,} bytes together.")


def moment(seconds: int | None, field: str, now_ms: int, findings: Findings) -> int | None:
    """``send_at`` in UTC milliseconds; None when none was given or it cannot be."""
    if seconds is None:
        return None
    if seconds < 0:
        findings.add_unless_known(field, "send_at is in Unix seconds and cannot be negative.")
        return None
    if seconds * 1000 > now_ms + MAX_AHEAD_MS:
        findings.add_unless_known(
            field, "send_at is more than five years ahead; it is in Unix seconds, not milliseconds."
        )
        return None
    return seconds * 1000
