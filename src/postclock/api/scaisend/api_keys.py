"""/v3/api_keys: the keys of the caller's tenant (ScaiSend's documentation, API keys)."""

from postclock.api.endpoint import Call, Endpoint, Parameter, Reply
from postclock.api.limits import Ceiling
from postclock.api.scaisend.shapes import KeyAnswer, KeyChange, KeyList, KeyMadeAnswer, NewKey
from postclock.core.account import ApiKey, Scope
from postclock.core.when import iso
from postclock.service.accounts import ApiKeys, KeyMade, public_key_id

BASE = "/v3/api_keys"
ONE = BASE + "/{key_id}"


def key_endpoints(keys: ApiKeys) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def listed(call: Call) -> Reply:
        include_revoked = call.query.flag("include_revoked")
        call.query.check()
        found = await keys.keys(call.principal, include_revoked=include_revoked)
        return Reply(KeyList([_answer(key) for key in found]))

    async def create(call: Call) -> Reply:
        new = call.body(NewKey)
        made = await keys.create(
            call.principal,
            name=new.name,
            environment=new.environment or call.principal.mode,
            scopes=new.scopes or [],
            read_messages=new.read_messages is not False,
            expires_at=new.expires_at,
        )
        return Reply(_made(made))

    async def one(call: Call) -> Reply:
        return Reply(_answer(await keys.get(call.principal, call.path("key_id"))))

    async def change(call: Call) -> Reply:
        asked = call.body(KeyChange)
        changed = await keys.change(
            call.principal,
            call.path("key_id"),
            name=asked.name,
            scopes=asked.scopes,
            read_messages=asked.read_messages,
        )
        return Reply(_answer(changed))

    async def rotate(call: Call) -> Reply:
        return Reply(_made(await keys.rotate(call.principal, call.path("key_id"))))

    async def revoke(call: Call) -> Reply:
        await keys.revoke(call.principal, call.path("key_id"))
        return Reply()

    admin = (Scope.admin_api_keys,)
    return (
        Endpoint(
            method="GET", path=BASE, summary="List API keys", answer=listed, scopes=admin, gives=KeyList, refuses=(400,),
            parameters=(Parameter("include_revoked", bool, "Revoked keys too."),),
        ),
        Endpoint(
            method="POST", path=BASE, summary="Make an API key; its secret is shown this once", answer=create, scopes=admin,
            ceiling=Ceiling.new_keys, takes=NewKey, gives=KeyMadeAnswer, status=201, refuses=(400,),
        ),
        Endpoint(
            method="GET", path=ONE, summary="Read an API key", answer=one, scopes=admin, gives=KeyAnswer, refuses=(404,),
        ),
        Endpoint(
            method="PATCH", path=ONE, summary="Rename an API key or change its scopes", answer=change, scopes=admin,
            takes=KeyChange, gives=KeyAnswer, refuses=(400, 404),
        ),
        Endpoint(
            method="POST", path=ONE + "/rotate", summary="Give an API key a new secret; the old one is dead at once",
            answer=rotate, scopes=admin, gives=KeyMadeAnswer, refuses=(400, 404),
        ),
        Endpoint(
            method="DELETE", path=ONE, summary="Revoke an API key", answer=revoke, scopes=admin, status=204, refuses=(404,),
        ),
    )  # fmt: skip


def _answer(key: ApiKey) -> KeyAnswer:
    return KeyAnswer(
        id=public_key_id(key),
        name=key.name,
        prefix=key.prefix,
        environment=key.environment,
        scopes=_scopes(key),
        created_at=iso(key.created_at),
        last_used_at=_iso(key.last_used_at),
        expires_at=_iso(key.expires_at),
        revoked_at=_iso(key.revoked_at),
    )


def _made(made: KeyMade) -> KeyMadeAnswer:
    key = made.key
    return KeyMadeAnswer(
        id=public_key_id(key),
        name=key.name,
        api_key=made.secret,
        prefix=key.prefix,
        environment=key.environment,
        scopes=_scopes(key),
        created_at=iso(key.created_at),
        expires_at=_iso(key.expires_at),
    )


def _scopes(key: ApiKey) -> list[str]:
    return [scope.value for scope in Scope if scope in key.scopes]


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
