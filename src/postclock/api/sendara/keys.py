"""/v1/keys: the keys of the caller's tenant, each with one scope (Sendara's documentation, authentication).

Keys of /v3 are listed, rotated and revoked here as well; their ``scope`` is null unless it comes to one of the three words.
"""

from typing import Any, Final, Literal

import msgspec

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.limits import Ceiling
from postclock.core.account import SENDARA_SCOPES, ApiKey, Scope
from postclock.core.when import iso
from postclock.service.accounts import ApiKeys, KeyMade, public_key_id

BASE: Final = "/v1/keys"
ONE: Final = BASE + "/{key_id}"
DEFAULT_SCOPE: Final = "send"

Word = Literal["send", "read", "admin"]


class KeyItem(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    id: str
    key_prefix: str
    scope: str | None
    test_mode: bool
    created_at: str


class KeyPage(msgspec.Struct, frozen=True):
    """All keys in force, oldest first."""

    keys: list[KeyItem]


class KeyShown(KeyItem, frozen=True, kw_only=True):
    """A key right after it was made or rotated: the only time its secret is shown."""

    key: str


class NewKey(msgspec.Struct, kw_only=True):
    """The body of a new key; without ``test_mode`` it is of its maker's mode."""

    scope: Word | None = None
    test_mode: bool | None = None


def key_endpoints(keys: ApiKeys) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def listed(call: Call) -> Reply:
        return Reply(KeyPage([KeyItem(**_fields(key)) for key in await keys.keys(call.principal)]))

    async def create(call: Call) -> Reply:
        new = call.body(NewKey)
        is_test = call.principal.mode == "test" if new.test_mode is None else new.test_mode
        made = await keys.create_with_word(
            call.principal, word=new.scope or DEFAULT_SCOPE, environment="test" if is_test else "live"
        )
        return Reply(_shown(made))

    async def rotate(call: Call) -> Reply:
        return Reply(_shown(await keys.rotate(call.principal, call.path("key_id"))))

    async def revoke(call: Call) -> Reply:
        await keys.revoke(call.principal, call.path("key_id"))
        return Reply()

    admin = (Scope.admin_api_keys,)
    return (
        Endpoint(method="GET", path=BASE, summary="List API keys", answer=listed, scopes=admin, gives=KeyPage),
        Endpoint(
            method="POST", path=BASE, summary="Make an API key; its secret is shown this once", answer=create, scopes=admin,
            ceiling=Ceiling.new_keys, takes=NewKey, gives=KeyShown, status=201, refuses=(400,),
        ),
        Endpoint(
            method="POST", path=ONE + "/rotate", summary="Give an API key a new secret; the old one is dead at once",
            answer=rotate, scopes=admin, gives=KeyShown, refuses=(400, 404),
        ),
        Endpoint(method="DELETE", path=ONE, summary="Revoke an API key", answer=revoke, scopes=admin, status=204, refuses=(404,)),
    )  # fmt: skip


def scope_word(key: ApiKey) -> str | None:
    """The one word for what a key may do; None when no word says exactly that."""
    return next((word for word, scopes in SENDARA_SCOPES.items() if scopes == key.scopes), None)


def _shown(made: KeyMade) -> KeyShown:
    return KeyShown(key=made.secret, **_fields(made.key))


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": public_key_id(key),
        "key_prefix": key.prefix,
        "scope": scope_word(key),
        "test_mode": key.environment == "test",
        "created_at": iso(key.created_at),
    }
