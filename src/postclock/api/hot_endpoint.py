"""What the endpoints share that take mail: raw ASGI, because dispatch in a framework costs as much as all of their work.

Credential, scope and ceiling come before the body is read; each dialect says what becomes of a body.
"""

from abc import ABC, abstractmethod
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from postclock.api.failures import Headers, Voice, failure_of
from postclock.api.intake import Intake
from postclock.api.limits import Ceiling, Limits
from postclock.core.account import Principal
from postclock.core.account import Scope as KeyScope
from postclock.core.errors import PostclockError, Unauthorized
from postclock.service.principal import Authenticator

HeaderLines = list[tuple[bytes, bytes]]

_JSON: Final = (b"content-type", b"application/json")


class HotEndpoint(ABC):
    """An endpoint as an ASGI app: it needs ``mail.send`` and counts against the ceiling of sends."""

    path: str
    voice: Voice

    def __init__(self, authenticator: Authenticator, limits: Limits, intake: Intake) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._intake = intake

    @abstractmethod
    async def answer(self, who: Principal, scope: Scope, body: bytes) -> tuple[int, bytes, HeaderLines]:
        """(status, JSON, headers beside the usual) for a call that was let in. Raises what the voice can tell of."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raises only what is a fault of ours."""
        headers: Headers = ()
        try:
            authorization = _authorization(scope)
            who = self._authenticator.cached(authorization) or await self._authenticator.authenticate(authorization)
            if KeyScope.mail_send not in who.key.scopes:
                headers = self._limits.look(who, Ceiling.sends).headers()
                who.needs(KeyScope.mail_send)
            headers = self._limits.take(who, Ceiling.sends).headers()
            async with self._intake.body(scope, receive) as body:
                status, answer, more = await self.answer(who, scope, body)
        except ClientDisconnect:
            return
        except PostclockError as error:
            failure = failure_of(error)
            status, answer, more = self.voice.status_of(failure), self.voice.failure_body(self.path, failure), []
            told = {name for name, _ in failure.headers}
            headers = (*failure.headers, *(pair for pair in headers if pair[0] not in told))
        lines = [
            _JSON,
            (b"content-length", b"%d" % len(answer)),
            *((name.lower().encode(), value.encode("latin-1")) for name, value in headers),
            *more,
        ]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": answer})


def _authorization(scope: Scope) -> str | None:
    """The credential as it came; raises Unauthorized for two of them."""
    found: str | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None:
                raise Unauthorized("Invalid API key")
            found = value.decode("latin-1")
    return found
