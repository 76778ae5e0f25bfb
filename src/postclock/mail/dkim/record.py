"""The DNS record of a DKIM key: the TXT value to publish, and whether a published one lets receivers verify (RFC 6376 3.6.1)."""

import re
from base64 import b64decode
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postclock.mail.dkim.key import SigningKey

MAX_RECORD: Final = 4096  # characters: several times a 4096-bit key; DNS answers come from strangers

_TAG_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FOLDING: Final = re.compile(r"[ \t\r\n]+")


def txt_record(key: SigningKey) -> str:
    """The TXT value to publish at ``key.record_name``; beyond 255 octets DNS wants it in several strings, joined as they are."""
    return f"v=DKIM1; k={_key_type(key)}; p={key.public}"


def record_matches(txt: str, key: SigningKey) -> bool:
    """Whether a receiver that finds this TXT value accepts the key's signatures.

    As tolerant as receivers have to be: white space, unknown tags, tags left at their defaults, an RSA key in PKCS #1 form.
    A revoked key (empty ``p=``), one for another service than mail or without SHA-256 does not match.
    """
    tags = _tags(txt)
    if tags is None or tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        return False
    if tags.get("k", "rsa") != _key_type(key):
        return False
    if "h" in tags and "sha256" not in _listed(tags["h"]):
        return False
    if "s" in tags and not {"*", "email"} & set(_listed(tags["s"])):
        return False
    try:
        published = b64decode(_FOLDING.sub("", tags.get("p", "")), validate=True)
    except ValueError:
        return False
    return published in _public_forms(key)


def _tags(txt: str) -> dict[str, str] | None:
    """The tags in order (RFC 6376 3.2); None when it is no tag list or names one twice."""
    if len(txt) > MAX_RECORD:
        return None
    tags: dict[str, str] = {}
    fields = txt.split(";")
    if not fields[-1].strip():
        fields.pop()
    for field in fields:
        name, equals, value = field.partition("=")
        name = name.strip(" \t\r\n")
        if not equals or not _TAG_NAME.fullmatch(name) or name in tags:
            return None
        tags[name] = value.strip(" \t\r\n")
    return tags


def _listed(value: str) -> list[str]:
    return [item.strip(" \t\r\n") for item in value.split(":")]


def _key_type(key: SigningKey) -> str:
    return key.algorithm.partition("-")[0]


def _public_forms(key: SigningKey) -> tuple[bytes, ...]:
    published = b64decode(key.public)
    if isinstance(key.private, RSAPrivateKey):
        return published, key.private.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return (published,)
