"""Submit: a parsed call becomes durable mail, or is refused whole.

The order is fixed: a replay of an idempotency key is answered whatever the checks would say today; what is wrong with the
request (400) is told before what the key may not do (403), and that before what stands against this recipient.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, get_args

import msgspec

from postclock.core import ids
from postclock.core.account import Dialect, Principal, Scope
from postclock.core.address import compared, domain_of
from postclock.core.clock import Clock
from postclock.core.errors import (
    FieldError,
    Forbidden,
    FromNotVerified,
    Invalid,
    InvalidRecipient,
    NotFound,
    PostclockError,
    RecipientSuppressed,
    RecipientUndeliverable,
    SpendCapExceeded,
    Unprocessable,
)
from postclock.core.message import Personalization, Submission
from postclock.core.suppression import SuppressionList
from postclock.core.template import TemplateVersion
from postclock.core.when import Window
from postclock.service import template_variables
from postclock.store.interface import Ledger, Messages
from postclock.store.records import BULK_FROM as BULK_FROM
from postclock.store.records import POLICY_NUMBERS, Acceptance, IdempotencyKey, NewMessage, mode_number
from postclock.store.registers import Suppressions
from postclock.store.registers import Templates as TemplateStore
from postclock.store.views import TenantContext

SENDER: Final = "metadata.from_email"
RECIPIENT: Final = "destination.email"
"""Where /v1 says them."""
NO_DOMAIN: Final = ""
"""That of a sender who is not there."""
MAX_KNOWN: Final = 1000
"""Tenants whose context is kept; beyond that it starts anew."""
_encode = msgspec.msgpack.Encoder().encode


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """A call as a dialect hands it over. ``batch_id`` is public; ``idempotency`` is (key, fingerprint of the body).

    /v1 asks for more than /v3: ``window`` is what it makes of a moment, ``simulate`` that test mail runs the whole way,
    ``key_is_fresh`` that nobody can have used the key,
    ``refuse_suppressed`` that a recipient on a list is told of, ``bulk`` that it came with many others.
    """

    submission: Submission
    personalizations: tuple[Personalization, ...]
    dialect: Dialect
    idempotency: tuple[str, bytes] | None = None
    key_is_fresh: bool = False
    files: Mapping[str, bytes] = msgspec.field(default_factory=dict)
    batch_id: str | None = None
    sandbox: bool = False
    needs_schedule: bool = False
    window: Window | None = None
    simulate: bool = False
    validate_recipient: bool = False
    refuse_suppressed: bool = False
    bulk: bool = False


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The (week, id) of each message; ``replayed`` when a key answered with an earlier call's.

    ``created_at`` and ``scheduled`` (whether it waits for a moment that was asked for) are those of a new one.
    """

    ids: tuple[tuple[int, int], ...]
    replayed: bool
    created_at: int = 0
    scheduled: bool = False


LookAtRecipient = Callable[[str], Awaitable[str]]
"""Why an address cannot get mail, as a sentence; empty when it can."""
IsTestRecipient = Callable[[int, str], Awaitable[bool]]
"""Whether an address in compared form is one of the tenant's verified test recipients."""
TestRecipientsAmong = Callable[[int, Collection[str]], Awaitable[Collection[str]]]
"""Which of these addresses in compared form are verified test recipients of the tenant."""
MaySpend = Callable[[Principal, Submission, int], Awaitable[None]]
"""Raises SpendCapExceeded when so many recipients more may not be sent to now."""


async def _deliverable(_: str) -> str:
    return ""


async def _no_test_recipient(_: int, __: str) -> bool:
    return False


async def _no_test_recipients(_: int, __: Collection[str]) -> Collection[str]:
    return ()


async def _free(_: Principal, __: Submission, ___: int) -> None:
    return None


class Submit:
    """Takes calls. ``has_room`` raises Busy when the disk is nearly full; ``on_point`` is for the kill tests.

    ``suppressions`` is asked only to tell of a suppression before a spend cap.
    """

    def __init__(
        self,
        *,
        messages: Messages,
        ledger: Ledger,
        templates: TemplateStore,
        clock: Clock,
        make_id: ids.IdSource,
        has_room: Callable[[], None],
        on_point: Callable[[str], None],
        suppressions: Suppressions | None = None,
        look_at_recipient: LookAtRecipient = _deliverable,
        is_test_recipient: IsTestRecipient = _no_test_recipient,
        test_recipients_among: TestRecipientsAmong = _no_test_recipients,
        may_spend: MaySpend = _free,
    ) -> None:
        self._messages = messages
        self._ledger = ledger
        self._templates = templates
        self._clock = clock
        self._ids = make_id
        self._has_room = has_room
        self._on_point = on_point
        self._suppressions = suppressions
        self._look_at_recipient = look_at_recipient
        self._is_test_recipient = is_test_recipient
        self._test_recipients_among = test_recipients_among
        self._may_spend = may_spend
        self._contexts: dict[int, TenantContext] = {}

    async def send(self, who: Principal, call: Handed) -> Taken:
        """The ids of the messages, once they are durable.

        Raises Invalid (all bad fields), NotFound (a template of /v1), Forbidden (scope, sender domain), MissingVariable,
        RecipientUndeliverable, InvalidRecipient, RecipientSuppressed, SpendCapExceeded, KeyReused, Busy. Nothing is stored then.
        """
        key = None
        if call.idempotency is not None:
            text, fingerprint = call.idempotency
            key = IdempotencyKey(dialect=call.dialect, key=text, fingerprint=fingerprint, fresh=call.key_is_fresh)
            if call.files or call.validate_recipient:  # what takes long is not begun for a replay
                earlier = await self._replay(who, key)
                if earlier is not None:
                    return earlier
        try:
            acceptance, scheduled = await self._checked_call(who, call, key)
        except PostclockError:
            # The store looks the key up before it takes anything, so only a refusal has to be held against it here.
            earlier = None if key is None else await self._replay(who, key)
            if earlier is None:
                raise
            return earlier
        accepted = await self._messages.accept(acceptance)
        self._on_point("accept_committed")
        return Taken(
            ids=accepted.ids, replayed=accepted.replayed, created_at=acceptance.created_at, scheduled=scheduled
        )

    async def _replay(self, who: Principal, key: IdempotencyKey) -> Taken | None:
        earlier = await self._messages.replay(who.tenant.id, mode_number(who.mode), key)
        return None if earlier is None else Taken(ids=earlier.ids, replayed=True)

    async def _checked_call(self, who: Principal, call: Handed, key: IdempotencyKey | None) -> tuple[Acceptance, bool]:
        """What the store is asked to take, and whether it is due later; raises what stands against it."""
        self._has_room()
        now = self._clock.now_ms()
        people, needs_schedule = _held(call, now)
        sandbox = call.sandbox or (who.mode == "test" and not call.simulate)
        submission = await self._checked(who, call, needs_schedule, lenient=sandbox or who.mode == "test")
        if call.validate_recipient or submission.test_send:
            await self._check_recipients(who, call)
        scheduled = any(p.send_at_ms is not None and p.send_at_ms > now for p in people)
        if not (scheduled or sandbox or who.mode == "test"):
            await self._check_spending(who, call, submission)
        if call.files:
            await self._messages.put_blobs(who.tenant.id, call.files, now)
        return self._acceptance(who, call, people, submission, key, now, sandbox=sandbox), scheduled

    async def _checked(self, who: Principal, call: Handed, needs_schedule: bool, *, lenient: bool) -> Submission:
        """The submission with its key and template version; raises what the store knows against it. ``lenient``: any domain will do."""
        submission = call.submission
        domains = {
            domain_of(a.email) if a.email else NO_DOMAIN
            for a in (submission.from_, *(p.from_ for p in call.personalizations if p.from_ is not None))
        }
        context = await self._context(who)
        wanted = submission.template_id
        if (not lenient and not domains <= context.keys.keys()) or (
            wanted is not None and context.templates.get(wanted) is None
        ):
            context = await self._read(who.tenant.id)  # it may have been added this very second
        errors: list[FieldError] = []
        version: TemplateVersion | None = None
        if wanted is not None:
            version = context.templates.get(wanted)
            if version is None:
                errors.append(FieldError(await self._template_error(who, wanted, call.dialect), "template_id"))
        forbidden = self._forbidden(who, needs_schedule, call.window, domains, context, lenient=lenient)
        batch = None if call.batch_id is None else _batch_number(call.batch_id)
        if call.batch_id is not None and (errors or forbidden is not None or batch is None):
            errors.extend(await self._batch_errors(who, batch))
        if errors:
            raise Invalid(errors)
        if forbidden is not None:
            raise forbidden
        if version is None:
            return msgspec.structs.replace(submission, api_key=who.key.id)
        for p in call.personalizations:
            template_variables.check(version, p.template_data)
        return msgspec.structs.replace(submission, api_key=who.key.id, template_version=version.id)

    async def _check_recipients(self, who: Principal, call: Handed) -> None:
        for p in call.personalizations:
            for recipient in p.recipients:
                if call.validate_recipient:
                    reason = await self._look_at_recipient(recipient.email)
                    if reason:
                        raise RecipientUndeliverable(f"{recipient.email}: {reason}", RECIPIENT)
                if call.submission.test_send and not await self._is_test_recipient(
                    who.tenant.id, compared(recipient.email)
                ):
                    raise InvalidRecipient(f"{recipient.email} is not a verified test recipient.", RECIPIENT)

    async def _check_spending(self, who: Principal, call: Handed, submission: Submission) -> None:
        n = sum(len(p.recipients) for p in call.personalizations)
        try:
            await self._may_spend(who, submission, n)
        except SpendCapExceeded:
            free = await self._count_free(who, call)  # looked at only when it matters: most callers have no limits
            if free:
                await self._may_spend(who, submission, n - free)
                return
            if call.refuse_suppressed and self._suppressions is not None:
                for p in call.personalizations:
                    for recipient in p.recipients:
                        await self._check_suppressed(self._suppressions, who, compared(recipient.email))
            raise

    async def _count_free(self, who: Principal, call: Handed) -> int:
        to = [compared(recipient.email) for p in call.personalizations for recipient in p.recipients]
        free = await self._test_recipients_among(who.tenant.id, to)
        return sum(address in free for address in to)

    async def _check_suppressed(self, suppressions: Suppressions, who: Principal, address: str) -> None:
        for kind in get_args(SuppressionList):
            if await suppressions.suppression(who.tenant.id, mode_number(who.mode), kind, address) is not None:
                raise RecipientSuppressed(f"{address} is suppressed ({kind}): remove the suppression first.")

    def _forbidden(
        self,
        who: Principal,
        needs_schedule: bool,
        window: Window | None,
        domains: set[str],
        context: TenantContext,
        *,
        lenient: bool,
    ) -> Forbidden | None:
        when, sender = ("send_at", "from") if window is None else (window.field, SENDER)
        if needs_schedule and Scope.mail_schedule not in who.key.scopes:
            return Forbidden(f"Missing required scope: {Scope.mail_schedule}", when)
        if NO_DOMAIN in domains:
            return FromNotVerified(f"No sender: give {SENDER}, or set the tenant's default_from.", SENDER)
        unverified = domains - context.keys.keys()
        if unverified and not lenient:
            return FromNotVerified(f"Sender domain not verified: {', '.join(sorted(unverified))}", sender)
        return None

    async def _template_error(self, who: Principal, ident: str, dialect: Dialect) -> str:
        """Why it cannot be sent. Raises NotFound where /v1 names a template that is not there, Unprocessable for one that is not active."""
        try:
            template = await self._templates.template(who.tenant.id, ident)
        except NotFound:
            if dialect == "sendara":
                raise NotFound(f"Template not found: {ident}") from None
            return f"Template not found: {ident}"
        if template.generation == "legacy":
            return f"The template {ident} is not dynamic: only dynamic templates can be sent."
        inactive = f"The template {ident} has no active version: activate one first."
        if dialect == "sendara":
            raise Unprocessable(inactive, "template_id")
        return inactive

    async def _batch_errors(self, who: Principal, batch: int | None) -> list[FieldError]:
        unknown = FieldError("The batch_id is not one of yours: create it with POST /v3/mail/batch first.", "batch_id")
        if batch is None:
            return [unknown]
        try:
            status = await self._messages.batch(batch, who.tenant.id, mode_number(who.mode))
        except NotFound:
            return [unknown]
        if status.cancelled or status.sealed:
            word = "cancelled" if status.cancelled else "sealed"
            return [FieldError(f"The batch is {word}: it takes no more messages.", "batch_id")]
        return []

    async def _context(self, who: Principal) -> TenantContext:
        found = self._contexts.get(who.tenant.id)
        if found is None or found.revision < who.tenant.revision:
            return await self._read(who.tenant.id)
        return found

    async def _read(self, tenant: int) -> TenantContext:
        context = await self._ledger.context(tenant)
        if len(self._contexts) >= MAX_KNOWN:
            self._contexts.clear()
        self._contexts[tenant] = context
        return context

    def _acceptance(
        self,
        who: Principal,
        call: Handed,
        people: tuple[Personalization, ...],
        submission: Submission,
        key: IdempotencyKey | None,
        now: int,
        *,
        sandbox: bool,
    ) -> Acceptance:
        n = len(people)
        fresh = self._ids.take(n + 1)
        batch = None if call.batch_id is None else _batch_number(call.batch_id)
        bulk = call.bulk or batch is not None or n > BULK_FROM or submission.message_type == "marketing"
        week = ids.week_of(now)
        messages = []
        for ident, p in zip(fresh[1:], people, strict=True):
            due = now if p.send_at_ms is None or p.send_at_ms < now else p.send_at_ms
            messages.append(
                NewMessage(
                    week if due == now else ids.week_of(due),
                    ident,
                    due,
                    2 if bulk else 1 if due > now else 0,
                    tuple([compared(r.email) for r in p.recipients]),
                    _encode(p),
                    None if p.from_ is None else compared(p.from_.email),
                    p.subject,
                )
            )
        categories = submission.categories
        return Acceptance(
            tenant=who.tenant.id,
            mode=mode_number(who.mode),
            submission=fresh[0],
            week=max((m.week for m in messages), default=week),  # it is kept as long as the last of them
            content=_encode(submission),
            from_email=compared(submission.from_.email),
            subject=submission.subject,
            template=submission.template_id,
            categories="\x1f" + "\x1f".join(categories) + "\x1f" if categories else "",
            batch=batch,
            policy=POLICY_NUMBERS[submission.uncertain],
            sandbox=sandbox,
            created_at=now,
            messages=messages,
            refuse_suppressed=call.refuse_suppressed,
            idempotency=key,
            redact=submission.redact,
        )


def _held(call: Handed, now: int) -> tuple[tuple[Personalization, ...], bool]:
    """The personalizations with the moments they are held to, and whether that takes the scope to schedule. Raises Invalid."""
    window, people = call.window, call.personalizations
    if window is None:
        return people, call.needs_schedule
    held = [None if p.send_at_ms is None else window.held_until(p.send_at_ms, now) for p in people]
    told = tuple(
        p if p.send_at_ms == at else msgspec.structs.replace(p, send_at_ms=at)
        for p, at in zip(people, held, strict=True)
    )
    return told, any(at is not None for at in held)


def _batch_number(text: str) -> int | None:
    try:
        return ids.parse_id("bat_", text)
    except NotFound:
        return None
