"""Submit: a parsed call becomes durable mail, or is refused whole.

The order is fixed: a replay of an idempotency key is answered before anything that can refuse today; what is wrong with the
request (400) is told before what the key may not do (403).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from postclock.core import ids
from postclock.core.account import Dialect, Principal, Scope
from postclock.core.address import compared, domain_of
from postclock.core.clock import Clock
from postclock.core.errors import FieldError, Forbidden, Invalid, NotFound
from postclock.core.message import Personalization, Submission
from postclock.core.template import TemplateVersion
from postclock.store.interface import Ledger, Messages
from postclock.store.interface import Templates as TemplateStore
from postclock.store.records import (
    BULK_FROM,
    POLICY_NUMBERS,
    Acceptance,
    Accepted,
    IdempotencyKey,
    NewMessage,
    TenantContext,
    mode_number,
)

MAX_KNOWN: Final = 1000
"""Tenants whose context is kept; beyond that it starts anew."""
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A call as a dialect hands it over. ``batch_id`` is public; ``idempotency`` is (key, fingerprint of the body)."""

    submission: Submission
    personalizations: tuple[Personalization, ...]
    files: Mapping[str, bytes]
    batch_id: str | None
    sandbox: bool
    needs_schedule: bool
    idempotency: tuple[str, bytes] | None
    dialect: Dialect


class Submit:
    """Takes calls. ``has_room`` raises Busy when the disk is nearly full; ``on_point`` is for the kill tests."""

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
    ) -> None:
        self._messages = messages
        self._ledger = ledger
        self._templates = templates
        self._clock = clock
        self._ids = make_id
        self._has_room = has_room
        self._on_point = on_point
        self._contexts: dict[int, TenantContext] = {}

    async def send(self, who: Principal, call: Handed) -> Accepted:
        """The ids of the messages, once they are durable.

        Raises Invalid (all bad fields), Forbidden (scope, sender domain), KeyReused, Busy. Nothing is stored then.
        """
        tenant, mode = who.tenant.id, mode_number(who.mode)
        key = None
        if call.idempotency is not None:
            key = IdempotencyKey(dialect=call.dialect, key=call.idempotency[0], fingerprint=call.idempotency[1])
            earlier = await self._messages.replay(tenant, mode, key)
            if earlier is not None:
                return earlier
        self._has_room()
        sandbox = call.sandbox or who.mode == "test"
        submission = await self._checked(who, call, sandbox=sandbox)
        now = self._clock.now_ms()
        if call.files:
            await self._messages.put_blobs(tenant, call.files, now)
        acceptance = self._acceptance(who, call, submission, key, now, sandbox=sandbox)
        accepted = await self._messages.accept(acceptance)
        self._on_point("accept_committed")
        return accepted

    async def _checked(self, who: Principal, call: Handed, *, sandbox: bool) -> Submission:
        """The submission with its template version; raises what the store knows against it."""
        submission = call.submission
        domains = {
            domain_of(a.email)
            for a in (submission.from_, *(p.from_ for p in call.personalizations if p.from_ is not None))
        }
        context = await self._context(who)
        wanted = submission.template_id
        if (not sandbox and not domains <= context.keys.keys()) or (
            wanted is not None and context.templates.get(wanted) is None
        ):
            context = await self._read(who.tenant.id)  # it may have been added this very second
        errors: list[FieldError] = []
        version: TemplateVersion | None = None
        if wanted is not None:
            version = context.templates.get(wanted)
            if version is None:
                errors.append(FieldError(await self._template_error(who, wanted), "template_id"))
        forbidden = self._forbidden(who, call, domains, context, sandbox=sandbox)
        batch = None if call.batch_id is None else _batch_number(call.batch_id)
        if call.batch_id is not None and (errors or forbidden is not None or batch is None):
            errors.extend(await self._batch_errors(who, batch))
        if errors:
            raise Invalid(errors)
        if forbidden is not None:
            raise forbidden
        return submission if version is None else msgspec.structs.replace(submission, template_version=version.id)

    def _forbidden(
        self, who: Principal, call: Handed, domains: set[str], context: TenantContext, *, sandbox: bool
    ) -> Forbidden | None:
        if call.needs_schedule and Scope.mail_schedule not in who.key.scopes:
            return Forbidden(f"Missing required scope: {Scope.mail_schedule}", "send_at")
        unverified = domains - context.keys.keys()
        if unverified and not sandbox:
            return Forbidden(f"Sender domain not verified: {', '.join(sorted(unverified))}", "from")
        return None

    async def _template_error(self, who: Principal, ident: str) -> str:
        try:
            template = await self._templates.template(who.tenant.id, ident)
        except NotFound:
            return f"Template not found: {ident}"
        if template.generation != "dynamic":
            return f"The template {ident} is not dynamic: only dynamic templates can be sent."
        return f"The template {ident} has no active version: activate one first."

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
        submission: Submission,
        key: IdempotencyKey | None,
        now: int,
        *,
        sandbox: bool,
    ) -> Acceptance:
        n = len(call.personalizations)
        fresh = self._ids.take(n + 1)
        batch = None if call.batch_id is None else _batch_number(call.batch_id)
        bulk = batch is not None or n > BULK_FROM
        week = ids.week_of(now)
        messages = []
        for ident, p in zip(fresh[1:], call.personalizations, strict=True):
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
            idempotency=key,
        )


def _batch_number(text: str) -> int | None:
    try:
        return ids.parse_id("bat_", text)
    except NotFound:
        return None
