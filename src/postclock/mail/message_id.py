"""The Message-ID of a message: derived from its public id, never made anew.

Every attempt, and every copy that is composed again after a crash, carries the same one; so a receiver, a bounce and a
complaint can all be traced to the message, and a duplicate can be seen as one.
"""

from postclock.core.address import ascii_domain


def message_id(public_id: str, domain: str) -> str:
    """``<public_id@domain>`` (RFC 5322 3.6.4), the domain in lower case and IDNA form; raises ValueError when it is none."""
    return f"<{public_id}@{ascii_domain(domain)}>"
