"""POST /v3/mail/send, one of the hot endpoints: the answer comes after the commit."""

import asyncio
from typing import Final

from starlette.types import Scope

from postclock.api.fingerprint import fingerprint
from postclock.api.hot_endpoint import HeaderLines, HotEndpoint
from postclock.api.intake import Intake
from postclock.api.limits import Limits
from postclock.api.scaisend.failures import VOICE
from postclock.api.scaisend.translate_send import SendRequest, parse_send
from postclock.api.shape import THREAD_FROM
from postclock.core.account import Principal
from postclock.core.clock import Clock
from postclock.core.errors import Invalid
from postclock.core.ids import public_message_id
from postclock.runtime.metrics import Metrics
from postclock.service.principal import Authenticator
from postclock.service.submit import Handed, Submit

PATH: Final = "/v3/mail/send"
MAX_KEY: Final = 255


class MailSend(HotEndpoint):
    """The endpoint as an ASGI app."""

    path = PATH
    voice = VOICE

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
        super().__init__(authenticator, limits, intake)
        self._submit = submit
        self._clock = clock
        self._accepted = metrics.accepted.labels("scaisend")

    async def answer(self, who: Principal, scope: Scope, body: bytes) -> tuple[int, bytes, HeaderLines]:
        """See HotEndpoint."""
        key = _key(scope)
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
        ids = [public_message_id(week, ident) for week, ident in accepted.ids]
        if not accepted.replayed:
            self._accepted.inc(len(ids))
        answer = (
            b'{"message_id":"%b"}' % ids[0].encode()
            if len(ids) == 1
            else b'{"message_ids":["%b"]}' % '","'.join(ids).encode()
        )
        told = [(b"x-message-id", ids[0].encode())]
        if accepted.replayed:
            told.append((b"idempotency-replayed", b"true"))
        return 202, answer, told


async def _parsed(body: bytes, now_ms: int) -> SendRequest:
    if len(body) < THREAD_FROM:
        return parse_send(body, now_ms)
    return await asyncio.to_thread(parse_send, body, now_ms)


async def _fingerprint(body: bytes) -> bytes:
    return fingerprint(body) if len(body) < THREAD_FROM else await asyncio.to_thread(fingerprint, body)


def _key(scope: Scope) -> str | None:
    """The idempotency key, the last when there are several; raises Invalid for one that nobody can mean."""
    key: str | None = None
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            key = value.decode("latin-1").strip()
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise Invalid(f"The Idempotency-Key header has 1 to {MAX_KEY} characters.", "Idempotency-Key")
    return key
