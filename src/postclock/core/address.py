"""Addresses: what is a mail address, how two are compared, where they are written.

Addresses are compared in lower case with the domain in IDNA form and are sent as given (a domain in IDNA form, because DNS
and SMTP without SMTPUTF8 know no other).
"""

import re
from functools import lru_cache
from typing import Final

import idna
import msgspec

MAX_ADDRESS: Final = 254  # RFC 5321 4.5.3.1.3: a path of 256 octets, less its angle brackets
MAX_LOCAL_PART: Final = 64  # RFC 5321 4.5.3.1.1

# The usual case, decided by one match: dot-atom at ASCII labels (RFC 5321 4.1.2).
_PLAIN: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,63}){0,31}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,16}[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# RFC 6531 3.3: UTF-8 joins atext and qtext; controls and the specials stay out.
_ATOM: Final = re.compile(r"[^\x00-\x20\x7f-\x9f()<>\[\]:;@\\,.\"\u2028\u2029\s]+")
_QUOTED: Final = re.compile(r'"(?:[^\x00-\x1f\x7f-\x9f"\\\u2028\u2029]|\\[\x20-\x7e])*"')


class Mailbox(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An address with the display name that stands before it (empty when there is none)."""

    email: str
    name: str = ""


def problem(address: str) -> str | None:
    """Why ``address`` cannot be a mailbox, as a sentence; None when it can (RFC 5321 4.1.2, RFC 6531 3.3)."""
    if len(address) <= MAX_ADDRESS and _PLAIN.fullmatch(address) and address.find("@") <= MAX_LOCAL_PART:
        return None
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        return "is not an email address: it needs a local part, an @ and a domain"
    if len(address) > MAX_ADDRESS:  # before anything that looks at each character
        return f"is not an email address: longer than {MAX_ADDRESS} octets"
    if any(0xD800 <= ord(c) <= 0xDFFF for c in address):
        return "is not an email address: it holds a lone surrogate"
    if len(address.encode()) > MAX_ADDRESS:
        return f"is not an email address: longer than {MAX_ADDRESS} octets"
    if len(local.encode()) > MAX_LOCAL_PART:
        return f"is not an email address: the part before the @ is longer than {MAX_LOCAL_PART} octets"
    atoms = local.split(".")
    if not all(_ATOM.fullmatch(a) for a in atoms) and not _QUOTED.fullmatch(local):
        return "is not an email address: the part before the @ has characters that cannot stand there"
    try:
        ascii_domain(domain)
    except ValueError:
        return "is not an email address: the domain is not one"
    return None


@lru_cache(maxsize=8192)
def ascii_domain(domain: str) -> str:
    """The domain in lower case, IDNA form, without a final dot; raises ValueError when it is none (RFC 5890)."""
    plain = domain.rstrip(".")
    if plain.isascii():
        ascii_form = plain.lower()
    else:
        try:
            ascii_form = idna.encode(plain, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError) as error:
            raise ValueError(f"{domain!r} is not a domain") from error
    labels = ascii_form.split(".")
    if len(labels) < 2 or len(ascii_form) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{domain!r} is not a domain")
    return ascii_form


def domain_of(address: str) -> str:
    """The domain of an address, in the form it is compared and looked up by; raises ValueError when it is none."""
    return ascii_domain(address.rpartition("@")[2])


def compared(address: str) -> str:
    """The form two addresses are compared in: lower case, the domain in IDNA form without a final dot."""
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address.rstrip(".").lower()
    return f"{local.lower()}@{ascii_domain(domain)}"


def on_the_wire(address: str) -> str:
    """The address as it is sent: local part as given, domain in IDNA form, without a final dot (RFC 5321 4.1.2 has none)."""
    local, _, domain = address.rpartition("@")
    return address.rstrip(".") if domain.isascii() else f"{local}@{ascii_domain(domain)}"


def needs_smtputf8(address: str) -> bool:
    """Whether the address can only travel by SMTPUTF8 (RFC 6531): a local part beyond ASCII."""
    return not address.rpartition("@")[0].isascii()
