"""Test recipients as their tenants keep them: named here, confirmed by their owners, and from then on sent to for nothing.

The owner confirms by a link in a mail that goes the way of all mail, from the tenant's default sender. Test mail never leaves, so a
test key has no test recipients.
"""

from typing import Final

from postclock.core.account import Principal
from postclock.core.address import Mailbox, compared, problem
from postclock.core.clock import Clock
from postclock.core.errors import Conflict, Forbidden, FromNotVerified, Invalid, Limited, NotFound
from postclock.core.free_recipient import MOST, RESEND_MS, FreeRecipient
from postclock.core.ids import IdSource, parse_id, public_id
from postclock.core.message import Content, Personalization, Recipient, Submission
from postclock.service.confirmation_token import ConfirmationTokens
from postclock.service.submit import Handed, Submit
from postclock.store.metering import Metering

TEST_RECIPIENT: Final = "tr_"
CONFIRM: Final = "/t/r/"
"""Where the link in the mail leads, below the public URL; the token follows."""
_MISSING: Final = "Test recipient not found"
_TEXT: Final = """\
{tenant} would like to send test mail to {email}.

If this is your inbox and you agree, open this page within seven days and confirm there:

{url}

If not, there is nothing to do: without your confirmation nothing changes.
"""


class FreeRecipients:
    """The test recipients of every tenant. ``public_url`` is where this service is reached, without a slash at its end."""

    def __init__(
        self,
        store: Metering,
        submit: Submit,
        clock: Clock,
        ids: IdSource,
        tokens: ConfirmationTokens,
        public_url: str,
    ) -> None:
        self._store = store
        self._submit = submit
        self._clock = clock
        self._ids = ids
        self._tokens = tokens
        self._public_url = public_url

    async def all(self, who: Principal) -> list[FreeRecipient]:
        """The tenant's, oldest first; none for a test key."""
        return [] if who.mode == "test" else await self._store.testers(who.tenant.id)

    async def add(self, who: Principal, email: str) -> FreeRecipient:
        """Name one, and mail its owner.

        Raises Invalid (email), Forbidden (test key), FromNotVerified (no default sender, or its domain is not verified), Conflict
        (there already), Unprocessable (too many), Busy.
        """
        if who.mode == "test":
            raise Forbidden("A test key has no test recipients: its mail never leaves.")
        wrong = problem(email)
        if wrong is not None:
            raise Invalid(f"The address {wrong}.", "email")
        _sender(who)
        now = self._clock.now_ms()
        made = FreeRecipient(
            id=self._ids.next(),
            tenant=who.tenant.id,
            email=email,
            address=compared(email),
            created_at=now,
            mailed_at=now,
        )
        await self._store.add_tester(made, MOST)
        try:
            await self._mail(who, made)
        except Exception:
            await self._store.drop_tester(made.tenant, made.id)  # nobody was asked: the call may be made again
            raise
        return made

    async def resend(self, who: Principal, ident: str) -> None:
        """Mail the owner once more. Raises NotFound, Conflict (has confirmed), FromNotVerified, Limited (a minute has to pass)."""
        there = await self._store.tester(who.tenant.id, self._known(who, ident))
        if there.verified_at is not None:
            raise Conflict("This test recipient is verified already.")
        _sender(who)
        now = self._clock.now_ms()
        noted = await self._store.mail_tester(who.tenant.id, there.id, now, now - RESEND_MS)
        if noted.mailed_at != now or there.mailed_at == now:
            free_at = noted.mailed_at + RESEND_MS
            raise Limited(
                limit=1, remaining=0, reset_at=-(-free_at // 1000), retry_after=max(1, -(-(free_at - now) // 1000))
            )
        await self._mail(who, noted)

    async def remove(self, who: Principal, ident: str) -> None:
        """Mail to it is counted again. Raises NotFound."""
        await self._store.drop_tester(who.tenant.id, self._known(who, ident))

    async def asked(self, token: str) -> FreeRecipient:
        """Whom a link in a confirmation mail stands for. Raises NotFound when it is not ours, too old, or there is nobody any more."""
        ident = self._tokens.read(token, self._clock.now_ms())
        if ident is None:
            raise NotFound(_MISSING)
        return await self._store.tester(None, ident)

    async def confirm(self, token: str) -> FreeRecipient:
        """The owner agrees; again: no change. Raises NotFound as ``asked`` does."""
        there = await self.asked(token)
        return await self._store.verify_tester(there.id, self._clock.now_ms())

    async def _mail(self, who: Principal, to: FreeRecipient) -> None:
        url = f"{self._public_url}{CONFIRM}{self._tokens.make(to.id, self._clock.now_ms())}"
        text = _TEXT.format(tenant=who.tenant.name, email=to.email, url=url)
        submission = Submission(
            from_=Mailbox(_sender(who)),
            subject=f"Test mail from {who.tenant.name}: please confirm",
            contents=(Content("text/plain", text),),
            open_tracking=False,
            click_tracking=False,
            click_text=False,
            free=True,
        )
        person = Personalization(recipients=(Recipient("to", to.email),))
        await self._submit.send(who, Handed(submission=submission, personalizations=(person,), dialect="sendara"))

    @staticmethod
    def _known(who: Principal, ident: str) -> int:
        try:
            if who.mode == "test":
                raise NotFound(_MISSING)
            return parse_id(TEST_RECIPIENT, ident)
        except NotFound:
            raise NotFound(_MISSING) from None


def public_recipient_id(recipient: FreeRecipient) -> str:
    """A test recipient's id as callers know it."""
    return public_id(TEST_RECIPIENT, recipient.id)


def _sender(who: Principal) -> str:
    sender = who.tenant.settings.default_from
    if not sender:
        raise FromNotVerified("The account has no default sender, from which test recipients are asked to confirm.")
    return sender
