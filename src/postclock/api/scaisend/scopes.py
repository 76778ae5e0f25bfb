"""/v3/scopes: which scopes there are, and which of them the caller holds. Any key may ask."""

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.scaisend.shapes import ScopeList
from postclock.core.account import Scope


async def _scopes(call: Call) -> Reply:
    held = call.principal.key.scopes
    return Reply(ScopeList([scope.value for scope in Scope], [scope.value for scope in Scope if scope in held]))


def scope_endpoints() -> tuple[Endpoint, ...]:
    """The one endpoint."""
    return (Endpoint(method="GET", path="/v3/scopes", summary="List the scopes", answer=_scopes, gives=ScopeList),)
