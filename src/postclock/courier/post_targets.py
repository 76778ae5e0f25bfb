"""Where a webhook may lead: callers name the targets, so that nothing of the operator's own network may be among them.

Every address is looked at, at the moment it is connected to: the name that led to it says nothing.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL: Final = 2_048
"""Characters: what servers and proxies take everywhere."""
_CLOSED_4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private (RFC 1918)
        "100.64.0.0/10",  # shared by carriers (RFC 6598)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local (RFC 3927); clouds serve credentials there
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",  # documentation (RFC 5737)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)  # fmt: skip
_OPEN_6: Final = IPv6Network("2000::/3")
"""All that is given out for the public internet; loopback, link-local, unique local and multicast lie outside."""
_CLOSED_6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo (RFC 4380) among them: it carries an IPv4 address
        "2001:db8::/32", "3fff::/20",  # documentation (RFC 3849, RFC 9637)
        "2002::/16",  # 6to4 (RFC 3056): it carries an IPv4 address, and is no longer used
    )
)  # fmt: skip
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""An IPv4 address in its last 32 bits (RFC 6052): what a machine with IPv6 alone reaches the rest by."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of POSTCLOCK_WEBHOOK_ALLOW. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def plain(address: Address) -> Address:
    """The address without a wrapping that the machine itself takes off: IPv4 in IPv6 (``::ffff:…``), and a zone."""
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def is_inside(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether the operator named a network that the address lies in."""
    inner = plain(address)
    return any(inner.version == network.version and inner in network for network in allowed)


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet's, in every reading of it."""
    inner = plain(address)
    if isinstance(inner, IPv4Address):
        return not any(inner in network for network in _CLOSED_4)
    if inner in _NAT64:
        return is_public(IPv4Address(int(inner) & 0xFFFFFFFF))
    return inner in _OPEN_6 and not any(inner in network for network in _CLOSED_6)


def literal(host: str) -> Address | None:
    """The address that a URL's host is, or None when it is a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def fault_of(url: str, allowed: Sequence[Network]) -> str | None:
    """What is wrong with a webhook's URL as far as it says so itself; None when nothing is. Names are looked up at each post."""
    if len(url) > MAX_URL:
        return f"must have {MAX_URL} characters at most"
    if any(c <= " " or c == "\x7f" for c in url):
        return "must not have blanks or control characters"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("https", "http") or not host or port == 0:
        return "must be an https:// URL"
    if parts.username is not None or parts.password is not None:
        return "must not name a user or a password"
    address = literal(host)
    if parts.scheme == "http" and not allowed:
        return "must be an https:// URL"
    if address is None:
        return None
    if is_inside(address, allowed):
        return None
    if not is_public(address):
        return f"leads to {host}, which is not on the public internet"
    return "must be an https:// URL" if parts.scheme == "http" else None
