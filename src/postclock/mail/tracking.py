"""Open and click tracking: the pixel and the links that a mail gets at its hand-off, and the tokens that they are known by again.

After rendering, before the composer. Everything is derived from message, key and address, so that a retry builds the same octets.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from html import escape
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

import msgspec

from postclock.mail.links import MAX_LINK, Replace, replace_links, replace_links_in_text

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

MAX_LINKS: Final = 5_000
"""Tracked in one body: each grows by a hundred octets, and what is all links would be seven times as large and take seconds."""
PIXELS: Final = "/t/o/"
CLICKS: Final = "/t/c/"

Kind = Literal["open", "click"]

# Control characters, white space and backslashes are read differently by different programs; an address with a user name
# may hold a password, which does not belong into our log.
_TARGET: Final = re.compile(
    r"[hH][tT][tT][pP][sS]?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?(?:[/?#][^\s\\\x00-\x20\x7f-\x9f\ud800-\udfff]*)?"
)
_PLACEHOLDER: Final = re.compile(r"\{\{|<%|\[%|%asm_|\[unsubscribe|%unsubscribe", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_BLOCK_OCTETS: Final = 64  # of SHA-256 (FIPS 180-4)
_MAC_OCTETS: Final = 12  # 96 bits: a forged one would need 2^95 tries over HTTP
_PAYLOAD_OCTETS: Final = 12  # message 8, week 2, recipient 2
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_IMAGE: Final = '<img src="{}" alt="" width="1" height="1" style="width:1px;height:1px;border:0">'


class Named(msgspec.Struct, frozen=True):
    """What a token names. ``recipient`` is a place among the message's recipients; None when it went to several."""

    message: int
    week: int
    recipient: int | None


def is_target(url: str) -> bool:
    """Whether an address may be led to: absolute, http or https, a plain host, at most ``MAX_LINK`` characters."""
    return len(url) <= MAX_LINK and _TARGET.fullmatch(url) is not None


def location(url: str) -> str:
    """A target as a Location header holds it: ASCII alone (RFC 9110 section 10.2.2; what is beyond it in UTF-8, percent-encoded)."""
    return url if url.isascii() else quote(url, safe=_VISIBLE)


class Tokens:
    """Makes and reads tokens under one key (16 to 64 octets, a sub-key of the secret key).

    32 characters: what they name, and HMAC-SHA256 (RFC 2104) of kind, that, and for a click its address, cut to 96 bits.
    """

    def __init__(self, key: bytes) -> None:
        if not 16 <= len(key) <= _BLOCK_OCTETS:
            raise ValueError("the key of tracking is too short or too long")
        # Both ends of the HMAC are begun once: a third of the time of one call of the hmac module, for each link of a mail.
        padded = key.ljust(_BLOCK_OCTETS, b"\x00")
        self._inner = sha256(bytes(octet ^ 0x36 for octet in padded))
        self._outer = sha256(bytes(octet ^ 0x5C for octet in padded))

    def make(self, kind: Kind, named: Named, url: str = "") -> str:
        """The token; the same for the same arguments."""
        return self.maker(kind, named)(url)

    def maker(self, kind: Kind, named: Named) -> Callable[[str], str]:
        """``make`` for many addresses of one mail."""
        payload = (
            named.message.to_bytes(8, "big")
            + named.week.to_bytes(2, "big")
            + (0 if named.recipient is None else named.recipient + 1).to_bytes(2, "big")
        )
        begun = self._begun(kind, payload)
        names = urlsafe_b64encode(payload)
        return lambda url: (names + urlsafe_b64encode(self._check(begun, url))).decode("ascii")

    def read(self, kind: Kind, token: str, url: str = "") -> Named | None:
        """What a token of this kind and address names; None when it was not made under this key."""
        if _TOKEN.fullmatch(token) is None:
            return None
        octets = urlsafe_b64decode(token)
        payload = octets[:_PAYLOAD_OCTETS]
        if not compare_digest(octets[_PAYLOAD_OCTETS:], self._check(self._begun(kind, payload), url)):
            return None
        recipient = int.from_bytes(payload[10:], "big")
        return Named(
            int.from_bytes(payload[:8], "big"),
            int.from_bytes(payload[8:10], "big"),
            recipient - 1 if recipient else None,
        )

    def _begun(self, kind: Kind, payload: bytes) -> "Hash":
        begun = self._inner.copy()
        begun.update(kind.encode() + b"\x00" + payload)
        return begun

    def _check(self, begun: "Hash", url: str) -> bytes:
        inner, outer = begun.copy(), self._outer.copy()
        inner.update(url.encode())
        outer.update(inner.digest())
        return outer.digest()[:_MAC_OCTETS]


class Tracking:
    """Puts the pixel and the tracked links into bodies. ``public_url``: where /t/ is reached from outside, without a slash at its end."""

    def __init__(self, tokens: Tokens, public_url: str) -> None:
        self._tokens = tokens
        self._url = public_url
        self._pixels = public_url + PIXELS
        self._clicks = public_url + CLICKS
        self._own = (public_url + "/t/").lower()

    def html(self, html: str, named: Named, *, opens: bool, clicks: bool, tag: str = "") -> str:
        """The HTML with its links tracked and its pixel; the pixel takes the place of ``tag`` where that stands.

        A ``tag`` goes whether opens are tracked or not, so that nobody reads it.
        """
        if clicks:
            html = replace_links(html, self._clicked(named))
        if tag and tag in html:
            before, _, after = html.partition(tag)
            return before + (self._image(named) if opens else "") + after.replace(tag, "")
        return before_close(html, self._image(named)) if opens else html

    def text(self, text: str, named: Named) -> str:
        """The plain text with its links tracked."""
        return replace_links_in_text(text, self._clicked(named))

    def _image(self, named: Named) -> str:
        return _IMAGE.format(escape(f"{self._pixels}{self._tokens.make('open', named)}.gif"))

    def _clicked(self, named: Named) -> Replace:
        token = self._tokens.maker("click", named)
        left = MAX_LINKS

        def by(url: str) -> str | None:
            nonlocal left
            quoted = _quoted(url) if left else ""
            if not quoted or url[: len(self._own)].lower() == self._own:
                return None
            left -= 1
            return f"{self._clicks}{token(url)}?u={quoted}"

        return by


@lru_cache(maxsize=1024)  # a newsletter has the same links for everybody; at worst some 12 MB
def _quoted(url: str) -> str:
    """A link that is tracked, percent-encoded; empty for one that is not."""
    if not is_target(url) or _PLACEHOLDER.search(url) is not None:
        return ""
    quoted = quote(url, safe="")
    return (
        quoted if len(quoted) <= 3 * MAX_LINK else ""
    )  # request lines of 8,000 octets pass everywhere (RFC 9112 section 3)


def before_close(html: str, addition: str) -> str:
    """The HTML with something more at the end of its body: before the last ``</body>``, or else at the end."""
    at = html.rfind("</")
    while at >= 0:
        if html[at + 2 : at + 6].lower() == "body" and html[at + 6 : at + 7] in _AFTER_NAME:
            return html[:at] + addition + html[at:]
        at = html.rfind("</", 0, at)
    return html + addition


_AFTER_NAME: Final = frozenset(" \t\r\n\f/>")
