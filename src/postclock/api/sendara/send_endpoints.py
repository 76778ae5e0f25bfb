"""How /v1/send and /v1/send/batch stand in the document; they are served on the hot path (send.py, send_batch.py)."""

from typing import Annotated, Final

import msgspec

from postclock.api.endpoint import Endpoint
from postclock.api.limits import Ceiling
from postclock.api.sendara import send, send_batch
from postclock.api.sendara.wire import ItemAnswer, SendAnswer, SendBody
from postclock.core.account import Scope

SEND: Final = Endpoint(
    method="POST", path=send.PATH, summary="Send one message now, or at its second", answer=None, scopes=(Scope.mail_send,), ceiling=Ceiling.sends,
    takes=SendBody, gives=SendAnswer, status=send.STATUS, refuses=(400, 402, 404, 409, 422, 507),
)  # fmt: skip
SEND_BATCH: Final = Endpoint(
    method="POST", path=send_batch.PATH, summary="Send up to a thousand messages, each for itself", answer=None, scopes=(Scope.mail_send,),
    ceiling=Ceiling.sends, takes=Annotated[list[SendBody], msgspec.Meta(min_length=1, max_length=send_batch.MAX_ITEMS)], gives=list[ItemAnswer],
    status=send_batch.STATUS, refuses=(400, 507),
)  # fmt: skip
