"""Whether a URL may be a webhook's: https, no credentials, and no host that is plainly inside.

Looked at when a webhook is made, so that its owner learns at once. A name may lead anywhere, and elsewhere tomorrow: the addresses it
leads to are judged again at each post.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

from postclock.courier.post_targets import MAX_URL, Address, Network, is_inside, is_public, literal

_WRITTEN: Final = re.compile(
    r"[!-\[\]-~]+"
)  # printable ASCII: a line break would reach into the headers, and some take \ for /
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LOOPBACK: Final[tuple[Address, ...]] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_HTTPS: Final = "Must begin with https://: http is for networks that the operator allowed."


def problem(url: str, allowed: Sequence[Network]) -> str | None:
    """Why this cannot be a webhook's URL, as a sentence; None when it can. ``allowed``: networks an operator opened."""
    if not url or len(url) > MAX_URL:
        return f"Must be a URL of at most {MAX_URL} characters."
    if _WRITTEN.fullmatch(url) is None:
        return "Must be a URL in ASCII, without blanks and backslashes."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "Must be a URL, such as https://example.com/hook."
    if parts.scheme not in ("https", "http") or not host or port == 0:
        return "Must be a URL that begins with https://."
    if "@" in parts.netloc:
        return "Must not hold a user name or password."
    if "#" in url:
        return "Must not have a fragment: it would never be sent."
    return _host_problem(host, allowed, plain=parts.scheme == "http")


def _host_problem(host: str, allowed: Sequence[Network], *, plain: bool) -> str | None:
    addresses = _addresses(host)
    if addresses is None:
        if not _is_name(host):
            return "Must have a host name or an IP address as its host."
        # A name without TLS is for development: it has to lead into a network that the operator opened, whichever it turns out.
        return _HTTPS if plain and not allowed else None
    if any(is_inside(address, allowed) for address in addresses):
        return None
    if plain:
        return _HTTPS
    return None if all(is_public(address) for address in addresses) else "Must not lead to a private address."


def _addresses(host: str) -> tuple[Address, ...] | None:
    """The addresses that a host is without asking the DNS; None for a name that has to be asked for."""
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):  # RFC 6761 6.3
        return _LOOPBACK
    found = None if "%" in bare else literal(bare)  # a zone means something on this machine alone
    return None if found is None else (found,)


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    # What ends in a number is an address in one of its old forms (127.1, 0x7f000001), which resolvers take and nobody means.
    if _NUMBER.fullmatch(labels[-1]) is not None or len(host) > 253:
        return False
    return all(_NAME.fullmatch(label) for label in labels)
