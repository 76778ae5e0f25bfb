"""``metadata.from_email``: a bare address, or a name and an address as they stand in a From header (RFC 5322 3.4, name-addr)."""

import re
from typing import Final

from postclock.api.findings import Findings
from postclock.api.header_line import MAX_NAME, line
from postclock.core.address import MAX_ADDRESS, Mailbox, problem

FIELD: Final = "metadata.from_email"
NOBODY: Final = Mailbox("")
"""Stands where no sender is known."""

_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_NO_NAME: Final = re.compile(r'["<>]')


def sender(given: object, findings: Findings) -> Mailbox:
    """The mailbox that is written there; ``NOBODY`` and a finding when it is none."""
    if not isinstance(given, str):
        findings.add_unless_known(FIELD, "Must be text: an address, or a name and an address in angle brackets.")
        return NOBODY
    if len(given) > MAX_NAME + MAX_ADDRESS:
        findings.add_unless_known(FIELD, f"Longer than {MAX_NAME + MAX_ADDRESS:,} characters.")
        return NOBODY
    text = given.strip()
    name, address = "", text
    if text.endswith(">"):
        before, opened, address = text[:-1].rpartition("<")
        name = before.strip()
        quoted = _QUOTED.fullmatch(name)
        if quoted is not None:
            name = _PAIR.sub(r"\1", quoted[1])
        elif not opened or _NO_NAME.search(name):
            findings.add_unless_known(FIELD, 'Must be one address, or one name and address such as "Acme" <a@b.com>.')
            return NOBODY
    reason = problem(address)
    if reason is not None:
        findings.add_unless_known(FIELD, f"The address {reason}.")
        return NOBODY
    line(name, FIELD, MAX_NAME, findings)
    return Mailbox(address, name)
