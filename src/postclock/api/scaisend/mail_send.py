"""POST /v3/mail/send, the hot endpoint: raw ASGI, because dispatch in a framework costs as much as all of its work.

Credential, scope and ceiling come before the body is read; the answer comes after the commit.
"""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from postclock.api.failures import Failure, failure_of, limit_headers
from postclock.api.fingerprint import fingerprint
from postclock.api.intake import Intake
from postclock.api.limits import Ceiling, Limits
from postclock.api.scaisend.failures import failure_body
from postclock.api.scaisend.translate_send import SendRequest, parse_send
from postclock.api.shape import THREAD_FROM
from postclock.core.account import Scope as KeyScope
from postclock.core.clock import Clock
from postclock.core.errors import Invalid, PostclockError, Unauthorized
from postclock.core.ids import public_message_id
from postclock.runtime.metrics import Metrics
from postclock.service.principal import Authenticator
from postclock.service.submit import Handed, Submit

PATH: Final = "/v3/mail/send"
MAX_KEY: Final = 255
_JSON: Final = (b"content-type", b"application/json")


class MailSend:
    """The endpoint as an ASGI app."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        limits: Limits,
        intake: Intake,
        submit: Submit,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._intake = intake
        self._submit = submit
        self._clock = clock
        self._accepted = metrics.accepted.labels("scaisend")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: tuple[tuple[str, str], ...] = ()
        try:
            authorization, given = _headers(scope)
            who = self._authenticator.cached(authorization) or await self._authenticator.authenticate(authorization)
            who.needs(KeyScope.mail_send)
            left = self._limits.take(who, Ceiling.sends)
            headers = limit_headers(left.limit, left.remaining, left.reset_at)
            key = _key(given)
            async with self._intake.body(scope, receive) as body:
                asked = await _parsed(body, self._clock.now_ms())
                accepted = await self._submit.send(
                    who,
                    Handed(
                        submission=asked.submission,
                        personalizations=asked.personalizations,
                        files=asked.files,
                        batch_id=asked.batch_id,
                        sandbox=asked.sandbox,
                        needs_schedule=asked.needs_schedule,
                        idempotency=None if key is None else (key, await _fingerprint(body)),
                        dialect="scaisend",
                    ),
                )
        except ClientDisconnect:
            return
        except PostclockError as error:
            await _refuse(send, failure_of(error), headers)
            return
        ids = [public_message_id(week, ident) for week, ident in accepted.ids]
        if not accepted.replayed:
            self._accepted.inc(len(ids))
        answer = (
            b'{"message_id":"%b"}' % ids[0].encode()
            if len(ids) == 1
            else b'{"message_ids":["%b"]}' % '","'.join(ids).encode()
        )
        told = [
            _JSON,
            (b"content-length", b"%d" % len(answer)),
            (b"x-message-id", ids[0].encode()),
            *((name.lower().encode(), value.encode()) for name, value in headers),
        ]
        if accepted.replayed:
            told.append((b"idempotency-replayed", b"true"))
        await send({"type": "http.response.start", "status": 202, "headers": told})
        await send({"type": "http.response.body", "body": answer})


async def _parsed(body: bytes, now_ms: int) -> SendRequest:
    if len(body) < THREAD_FROM:
        return parse_send(body, now_ms)
    return await asyncio.to_thread(parse_send, body, now_ms)


async def _fingerprint(body: bytes) -> bytes:
    return fingerprint(body) if len(body) < THREAD_FROM else await asyncio.to_thread(fingerprint, body)


def _headers(scope: Scope) -> tuple[str | None, str | None]:
    """(Authorization, Idempotency-Key) as they came; raises Unauthorized for two credentials."""
    authorization: str | None = None
    key: str | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if authorization is not None:
                raise Unauthorized("Invalid API key")
            authorization = value.decode("latin-1")
        elif name == b"idempotency-key":
            key = value.decode("latin-1").strip()
    return authorization, key


def _key(given: str | None) -> str | None:
    """The idempotency key; raises Invalid for one that nobody can mean. A stranger is told that he is one before."""
    if given is not None and not 0 < len(given) <= MAX_KEY:
        raise Invalid(f"The Idempotency-Key header has 1 to {MAX_KEY} characters.", "Idempotency-Key")
    return given


async def _refuse(send: Send, failure: Failure, headers: tuple[tuple[str, str], ...]) -> None:
    body = failure_body(PATH, failure)
    told = {name for name, _ in failure.headers}
    pairs = (*failure.headers, *(pair for pair in headers if pair[0] not in told))
    lines = [
        _JSON,
        (b"content-length", b"%d" % len(body)),
        *((n.lower().encode(), v.encode("latin-1")) for n, v in pairs),
    ]
    await send({"type": "http.response.start", "status": failure.status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
