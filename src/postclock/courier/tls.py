"""TLS towards servers: verified where something is at stake, else better than none.

``verified`` checks the certificate and its name against the system's authorities. ``opportunistic`` encrypts against
whoever only listens and proves nothing about the other end (RFC 7435), as mail between strangers has always done.
"""

import ssl
from enum import Enum
from functools import lru_cache


class Security(Enum):
    """What a connection must have before mail goes over it."""

    OPPORTUNISTIC = "STARTTLS when it is offered; the certificate is not looked at"
    VERIFIED = "STARTTLS, with a certificate that holds"
    IMPLICIT = "TLS from the first octet, with a certificate that holds"


@lru_cache(maxsize=1)
def verified() -> ssl.SSLContext:
    """A context for servers whose name must be proved; the system's authorities (SSL_CERT_FILE may name others)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@lru_cache(maxsize=1)
def opportunistic() -> ssl.SSLContext:
    """A context that encrypts and checks nothing."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
