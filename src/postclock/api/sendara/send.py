"""POST /v1/send, one of the hot endpoints: one message, accepted durably before the answer (Sendara's documentation, sending).

What one item of a batch goes through is the same, so it stands here as well (``SendOne``).
"""

import asyncio
from typing import Final

import msgspec
from starlette.types import Scope

from postclock.api.failures import failure_of
from postclock.api.fingerprint import fingerprint
from postclock.api.hot_endpoint import HeaderLines, HotEndpoint
from postclock.api.intake import Intake
from postclock.api.limits import Limits
from postclock.api.sendara.failures import VOICE, Told, told
from postclock.api.sendara.statuses import Status, status_of
from postclock.api.sendara.translate import WINDOW, SendRequest, parse_send
from postclock.api.sendara.wire import SendAnswer
from postclock.api.shape import THREAD_FROM
from postclock.core.account import Principal
from postclock.core.clock import Clock
from postclock.core.errors import PostclockError
from postclock.core.ids import public_message_id
from postclock.core.when import iso
from postclock.runtime.entropy import Entropy, Marks
from postclock.runtime.log import get_logger
from postclock.runtime.metrics import Metrics
from postclock.service.messages import Messages
from postclock.service.principal import Authenticator
from postclock.service.submit import Handed, Submit

PATH: Final = "/v1/send"
STATUS: Final = 201
KEY_OCTETS: Final = 10
"""Of chance in a key that we make: nobody meets it by accident."""
REPLAYED: Final = (b"idempotency-replayed", b"true")

_log: Final = get_logger("api")
_encode: Final = msgspec.json.Encoder().encode


class SendOne:
    """One request for one message, from its JSON to the answer."""

    def __init__(self, *, submit: Submit, messages: Messages, clock: Clock, entropy: Entropy, metrics: Metrics) -> None:
        self._submit = submit
        self._messages = messages
        self._clock = clock
        self._marks = Marks(entropy)
        self._accepted = metrics.accepted.labels("sendara")

    async def parse(self, who: Principal, body: bytes) -> tuple[SendRequest, bytes]:
        """The request and its fingerprint. Raises Invalid, TooLarge."""
        default_from = who.tenant.settings.default_from
        if len(body) < THREAD_FROM:
            return parse_send(body, default_from), fingerprint(body)
        asked = await asyncio.to_thread(parse_send, body, default_from)
        return asked, await asyncio.to_thread(fingerprint, body)

    async def send(
        self, who: Principal, asked: SendRequest, print_: bytes, *, bulk: bool = False
    ) -> tuple[SendAnswer, bool]:
        """The answer, and whether it is an earlier call's. Raises what Submit does."""
        key = asked.idempotency_key
        if key is None:
            # The time first: keys that rise are written beside each other, in one page of the index and not in as many as there are keys.
            key = f"auto_{self._clock.now_ms():012x}{self._marks.hex(KEY_OCTETS)}"
        taken = await self._submit.send(
            who,
            Handed(
                submission=msgspec.structs.replace(asked.submission, idempotency_key=key),
                personalizations=(asked.personalization,),
                dialect="sendara",
                idempotency=(key, print_),
                key_is_fresh=asked.idempotency_key is None,
                window=WINDOW,
                simulate=True,
                validate_recipient=asked.validate_recipient,
                refuse_suppressed=True,
                bulk=bulk,
            ),
        )
        ident = public_message_id(*taken.ids[0])
        if taken.replayed:
            return await self._earlier(who, ident, key), True
        self._accepted.inc()
        status: Status = "scheduled" if taken.scheduled else "queued"
        return SendAnswer(ident, status, "email", key, iso(taken.created_at)), False

    async def _earlier(self, who: Principal, ident: str, key: str) -> SendAnswer:
        found = await self._messages.detail(who, ident)
        row = found.detail.row
        status = status_of(
            row.state,
            row.shown,
            due_at=row.due_at,
            asked=row.due_at > row.created_at,
            now=self._clock.now_ms(),
        )
        return SendAnswer(ident, status, "email", key, iso(row.created_at))


class Send(HotEndpoint):
    """The endpoint as an ASGI app."""

    path = PATH
    voice = VOICE

    def __init__(self, *, send_one: SendOne, authenticator: Authenticator, limits: Limits, intake: Intake) -> None:
        super().__init__(authenticator, limits, intake)
        self._send_one = send_one

    async def answer(self, who: Principal, scope: Scope, body: bytes) -> tuple[int, bytes, HeaderLines]:
        """See HotEndpoint."""
        asked, print_ = await self._send_one.parse(who, body)
        answer, replayed = await self._send_one.send(who, asked, print_)
        return STATUS, _encode(answer), [REPLAYED] if replayed else []


def told_of(error: Exception) -> Told:
    """What an item's caller is told of the failure in hand; what is a fault of ours is told to people as well."""
    if not isinstance(error, PostclockError):
        _log.exception("an item of a batch failed unexpectedly")
    return told(failure_of(error))
