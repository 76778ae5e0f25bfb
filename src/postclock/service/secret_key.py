"""The one secret key: where it is kept, how a store knows it again, and how everything is wrapped under a new one.

The operator gives it (``given``), or it lies in the data folder, made at the first start.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from postclock.core.errors import PostclockError
from postclock.core.sealing import DKIM as DKIM
from postclock.runtime.entropy import Entropy
from postclock.runtime.key_file import make_key, move_key, read_key, write_key
from postclock.runtime.seal import Seal
from postclock.store.interface import Store

KEY_FILE: Final = "secret.key"
NEXT_KEY_FILE: Final = "secret.key.next"
KEY_CHECK: Final = "key_check"
MAIL_KEY: Final = "mail_key"
"""The store's note that keeps the first secret key's part in mails, sealed; there from the first rotation on."""


class ForeignKey(PostclockError):
    """The store was written under another secret key."""


class Notes(Protocol):
    """A store's own notes, read before there is an event loop."""

    def note(self, key: str) -> str | None:
        """The note, or None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A secret key was changed. ``key`` is the new one when the operator keeps it, ``kept_in`` the file that holds it now."""

    rewrapped: int
    key: bytes | None
    kept_in: Path


def secret_key(data: Path, given: bytes, entropy: Entropy) -> bytes:
    """The operator's key, or the data folder's, made when there is none (0600). Raises BadKeyFile, OSError."""
    if given:
        return given
    path = data / KEY_FILE
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return read_key(path) if path.exists() else make_key(path, entropy.secret_bytes(32))


def opening_key(data: Path, given: bytes, store: Notes, entropy: Entropy) -> bytes:
    """``secret_key`` for an opened store; finishes a rotation that was cut short after its commit."""
    fresh = data / NEXT_KEY_FILE
    if not given and fresh.exists() and store.note(KEY_CHECK) == Seal(read_key(fresh)).check_value():
        move_key(fresh, data / KEY_FILE)
    return secret_key(data, given, entropy)


def mail_key(seal: Seal, store: Notes) -> bytes:
    """What signs the links and return paths of mails: 32 octets that outlive a rotation, because the mail that was sent keeps them."""
    return _mail_key(seal, store.note(MAIL_KEY))


def _mail_key(seal: Seal, kept: str | None) -> bytes:
    return seal.sub_key(MAIL_KEY) if kept is None else seal.open(MAIL_KEY, bytes.fromhex(kept))


async def check_key(store: Store, seal: Seal) -> None:
    """A new store takes the key of whoever comes first; raises ForeignKey when it was written under another one."""
    if await store.meta_once(KEY_CHECK, seal.check_value()) != seal.check_value():
        raise ForeignKey(
            "the secret key is not the one this store was written under (POSTCLOCK_SECRET_KEY, or secret.key in the data folder)"
        )


async def rotate(data: Path, *, given: bool, key: bytes, store: Store, entropy: Entropy) -> Rotation:
    """Wrap everything that was sealed under ``key`` under a new one. Nobody may work beside. Raises ForeignKey.

    The new key is on the disk before the store needs it, so that no moment of a crash loses it.
    """
    old, made = Seal(key), entropy.secret_bytes(32)
    await check_key(store, old)
    new, fresh = Seal(made), data / NEXT_KEY_FILE
    write_key(fresh, made)
    in_mails = _mail_key(old, await store.meta(MAIL_KEY))
    rewrapped = await store.domains.reseal(
        lambda purpose, sealed: new.seal(purpose, old.open(purpose, sealed)),
        {KEY_CHECK: new.check_value(), MAIL_KEY: new.seal(MAIL_KEY, in_mails).hex()},
    )
    if given:
        return Rotation(rewrapped=rewrapped, key=made, kept_in=fresh)
    move_key(fresh, data / KEY_FILE)
    return Rotation(rewrapped=rewrapped, key=None, kept_in=data / KEY_FILE)
