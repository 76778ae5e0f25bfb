"""Personalizations from the wire to the core: each makes one message. The loop that runs a thousand times a call.

Paths of fields are built only when something is wrong.
"""

from collections.abc import Sequence
from typing import Final

from postclock.api.findings import Findings
from postclock.api.header_line import MAX_SUBJECT, line
from postclock.api.json_body import nests_too_deep
from postclock.api.scaisend import wire
from postclock.api.scaisend.literals import (
    address,
    headers,
    moment,
    report_address,
    sound,
    strings,
)
from postclock.api.shape import collect_json
from postclock.core.address import compared, problem
from postclock.core.message import Personalization, Recipient, RecipientKind

MAX_PERSONALIZATIONS: Final = 1_000
MAX_RECIPIENTS: Final = 1_000  # of one personalization: each of to, cc and bcc, and all three together

_DATA_DEPTH: Final = 4  # body, personalizations, personalization, dynamic_template_data


def personalizations(given: wire.MailSend, now_ms: int, findings: Findings) -> tuple[Personalization, ...]:
    """Every personalization of the call as the core has it; ``send_at_ms`` is the call's where it has none of its own."""
    if not given.personalizations:
        findings.add_unless_known(
            "personalizations", "At least one personalization is required: each makes one message."
        )
    elif len(given.personalizations) > MAX_PERSONALIZATIONS:
        findings.add_unless_known(
            "personalizations", f"At most {MAX_PERSONALIZATIONS:,} personalizations are taken in one call."
        )
    call_at = moment(given.send_at, "send_at", now_ms, findings)
    shared = given.custom_args or {}
    return tuple([
        _personalization(each, n, call_at, shared, now_ms, findings)
        for n, each in enumerate(given.personalizations[:MAX_PERSONALIZATIONS])
    ])  # fmt: skip


def _personalization(
    given: wire.Personalization, n: int, call_at: int | None, shared: dict[str, str], now_ms: int, findings: Findings
) -> Personalization:
    to = given.to
    if len(to) == 1 and not given.cc and not given.bcc:
        email, name = to[0].email, to[0].name or ""
        if not sound(email, name):
            report_address(to[0], f"personalizations.{n}.to.0", findings)
        recipients: tuple[Recipient, ...] = (Recipient("to", email, name),)
    else:
        recipients = _recipients(given, f"personalizations.{n}", findings)
    data = given.dynamic_template_data
    if data and nests_too_deep(data, _DATA_DEPTH):
        collect_json(data, f"personalizations.{n}.dynamic_template_data", _DATA_DEPTH, findings)
    if given.subject or given.headers or given.substitutions or given.custom_args or given.from_:
        return _with_extras(given, n, call_at, shared, recipients, now_ms, findings)
    at = call_at if given.send_at is None else moment(given.send_at, f"personalizations.{n}.send_at", now_ms, findings)
    return Personalization(recipients=recipients, template_data=data or {}, send_at_ms=at)


def _with_extras(
    given: wire.Personalization,
    n: int,
    call_at: int | None,
    shared: dict[str, str],
    recipients: tuple[Recipient, ...],
    now_ms: int,
    findings: Findings,
) -> Personalization:
    path = f"personalizations.{n}"
    if given.subject:
        line(given.subject, f"{path}.subject", MAX_SUBJECT, findings)
    if given.headers:
        headers(given.headers, f"{path}.headers", findings)
    if given.substitutions:
        strings(given.substitutions, f"{path}.substitutions", "substitutions", findings)
    if given.custom_args:
        strings(shared | given.custom_args, f"{path}.custom_args", "custom_args, with those of the call,", findings)
    return Personalization(
        recipients=recipients,
        from_=None if given.from_ is None else address(given.from_, f"{path}.from", findings),
        subject=given.subject or None,
        headers=given.headers or {},
        substitutions=given.substitutions or {},
        template_data=given.dynamic_template_data or {},
        custom_args=given.custom_args or {},
        send_at_ms=call_at if given.send_at is None else moment(given.send_at, f"{path}.send_at", now_ms, findings),
    )


def _recipients(given: wire.Personalization, path: str, findings: Findings) -> tuple[Recipient, ...]:
    kinds: tuple[tuple[RecipientKind, Sequence[wire.Address]], ...] = (
        ("to", given.to),
        ("cc", given.cc or ()),
        ("bcc", given.bcc or ()),
    )
    if not given.to:
        findings.add_unless_known(f"{path}.to", "At least one recipient is required in to.")
    too_many = [kind for kind, addresses in kinds if len(addresses) > MAX_RECIPIENTS]
    for kind in too_many:
        findings.add_unless_known(f"{path}.{kind}", f"At most {MAX_RECIPIENTS:,} addresses are taken here.")
    if not too_many and sum(len(addresses) for _, addresses in kinds) > MAX_RECIPIENTS:
        message = f"At most {MAX_RECIPIENTS:,} recipients are taken in one personalization, to, cc and bcc together."
        findings.add_unless_known(path, message)
    recipients = []
    seen = set()
    for kind, addresses in kinds:
        for n, each in enumerate(addresses[:MAX_RECIPIENTS]):
            email, name = each.email, each.name or ""
            if not sound(email, name):
                report_address(each, f"{path}.{kind}.{n}", findings)
            recipients.append(Recipient(kind, email, name))
            form = email if problem(email) else compared(email)
            if form in seen:
                message = "The address is in this personalization twice: to, cc and bcc must not share one."
                findings.add_unless_known(f"{path}.{kind}.{n}.email", message)
            seen.add(form)
    return tuple(recipients)
