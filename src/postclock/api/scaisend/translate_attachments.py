"""Attachments from base64 to bytes: what the store keeps as blobs, and what the submission says of them."""

import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from postclock.api.findings import Findings
from postclock.api.header_line import line
from postclock.api.scaisend import wire
from postclock.api.scaisend.literals import mime_type
from postclock.core.message import Attachment

MAX_ATTACHMENTS: Final = 10
MAX_FILENAME: Final = 255  # what file systems take

_CONTENT_ID: Final = re.compile(
    r"[!-;=?-~]{1,255}"
)  # goes between angle brackets (RFC 2392): printable, no space, no <>
_WHITE_SPACE: Final = b" \t\r\n"


def attachments(
    given: Sequence[wire.Attachment], findings: Findings
) -> tuple[tuple[Attachment, ...], dict[str, bytes]]:
    """The attachments as the submission has them, and their bytes by SHA-256 (hex), each file once."""
    if len(given) > MAX_ATTACHMENTS:
        findings.add_unless_known("attachments", f"At most {MAX_ATTACHMENTS} attachments are taken.")
    files: dict[str, bytes] = {}
    told = []
    for n, each in enumerate(given[:MAX_ATTACHMENTS]):
        field = f"attachments.{n}"
        _check(each, field, findings)
        try:
            data = base64_bytes(each.content)
        except ValueError:
            findings.add_unless_known(f"{field}.content", "Not base64 (RFC 4648 section 4, with its padding).")
            continue
        if not data:
            findings.add_unless_known(f"{field}.content", "The attachment is empty: give its bytes in base64.")
        sha256 = hashlib.sha256(data).hexdigest()
        files[sha256] = data
        told.append(
            Attachment(
                sha256=sha256,
                size=len(data),
                filename=each.filename,
                type=(each.type or "application/octet-stream").lower(),
                disposition=each.disposition or "attachment",
                content_id=each.content_id or "",
            )
        )
    return tuple(told), files


def base64_bytes(text: str) -> bytes:
    """Decode base64, with or without white space in it; raises ValueError for anything else that is not of its alphabet."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return binascii.a2b_base64(text.encode("ascii").translate(None, _WHITE_SPACE), strict_mode=True)


def _check(given: wire.Attachment, field: str, findings: Findings) -> None:
    if not given.filename:
        findings.add_unless_known(f"{field}.filename", "The file name is empty.")
    line(given.filename, f"{field}.filename", MAX_FILENAME, findings)
    if given.type is not None:
        mime_type(given.type, f"{field}.type", findings)
    if given.content_id:
        if not _CONTENT_ID.fullmatch(given.content_id):
            message = "A content_id has 1 to 255 printable ASCII characters, without spaces and angle brackets."
            findings.add_unless_known(f"{field}.content_id", message)
    elif given.disposition == "inline":
        message = "An inline attachment needs a content_id, by which the HTML refers to it (cid:)."
        findings.add_unless_known(f"{field}.content_id", message)
