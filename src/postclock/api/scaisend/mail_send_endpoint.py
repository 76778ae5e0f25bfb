"""How POST /v3/mail/send stands in the document; it is served on the hot path (mail_send.py)."""

from typing import Final

from postclock.api.endpoint import Endpoint, Parameter
from postclock.api.limits import Ceiling
from postclock.api.scaisend.mail_send import PATH
from postclock.api.scaisend.message_shapes import Sent
from postclock.api.scaisend.wire import MailSend as MailSendBody
from postclock.core.account import Scope

MAIL_SEND: Final = Endpoint(
    method="POST", path=PATH, summary="Send now, or at its second", answer=None, scopes=(Scope.mail_send,), ceiling=Ceiling.sends,
    takes=MailSendBody, gives=Sent, status=202, refuses=(400, 422, 507),
    parameters=(Parameter("Idempotency-Key", str, "1 to 255 characters: the same call with the same key makes its mail once.", place="header"),),
)  # fmt: skip
