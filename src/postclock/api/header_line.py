"""Texts that callers write literally and that end up in one header line of a mail: what both dialects ask of them.

Each check notes what it finds under the field's path.
"""

import re
from typing import Final

from postclock.api.findings import Findings

MAX_NAME: Final = 1_000  # a display name is words, and it is folded into a header of the mail
MAX_SUBJECT: Final = 10_000  # the same for a subject; far above any that is read

breaks_line: Final = re.compile(r"[\r\n\x00]").search


def line(text: str, field: str, limit: int, findings: Findings) -> None:
    """A text that goes into one header line: no line break, no NUL, at most ``limit`` characters."""
    if breaks_line(text):
        findings.add_unless_known(field, "Line breaks and NUL are not allowed here: they would end the header line.")
    elif len(text) > limit:
        findings.add_unless_known(field, f"Longer than {limit:,} characters.")
