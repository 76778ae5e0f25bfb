"""``POST /v3/mail/send`` from its bytes to what the service submits: all of the call's rules that need no store.

The first step of a message's path. Whether the batch and the template exist, the domain is verified and the key may schedule is the
service's to find out.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from postclock.api.findings import Findings
from postclock.api.header_line import MAX_SUBJECT, line
from postclock.api.scaisend import wire
from postclock.api.scaisend.literals import MAX_ID, address, headers, mime_type, strings
from postclock.api.scaisend.translate_attachments import attachments
from postclock.api.scaisend.translate_personalization import personalizations
from postclock.api.scaisend.translate_tracking import with_tracking
from postclock.api.shape import decode_partly
from postclock.core.address import Mailbox, compared, problem
from postclock.core.message import Content, Footer, Personalization, Submission

SLACK_MS: Final = 2_000  # ScaiSend's "a few seconds": so little ahead counts as now and needs no right to schedule
MAX_REPLY_TO: Final = 1_000
MAX_CONTENTS: Final = 10  # each MIME type once; beyond plain, HTML, AMP and a calendar entry there is no use
MAX_CATEGORIES: Final = 10
MAX_CATEGORY: Final = 255

_USUAL_TYPES: Final = frozenset({"text/plain", "text/html"})
_NOT_SUPPORTED: Final = "is not supported yet"


class SendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A call that can be taken, as far as it alone can tell."""

    submission: Submission
    personalizations: tuple[Personalization, ...]
    files: dict[str, bytes]
    """The attachments' bytes by their SHA-256 (hex)."""
    batch_id: str | None
    sandbox: bool
    """Whether ``mail_settings.sandbox_mode`` asks for a sandbox send."""
    needs_schedule: bool
    """Whether some message is to wait longer than ``SLACK_MS``, which takes the scope ``mail.schedule``."""


def parse_send(body: bytes, now_ms: int) -> SendRequest:
    """Parse, check and translate; ``now_ms`` is the service's time (UTC milliseconds).

    Raises Invalid with every bad field at once, TooLarge over the limit.
    """
    given, findings = decode_partly(body, wire.MailSend)
    if given is None:
        raise findings.invalid()
    messages = personalizations(given, now_ms, findings)
    _check_whole(given, findings)
    _check_unsupported(given, findings)
    told, files = attachments(given.attachments, findings) if given.attachments else ((), {})
    settings = given.mail_settings
    submission = Submission(
        from_=address(given.from_, "from", findings),
        reply_to=_reply_to(given, findings),
        subject=given.subject or "",
        contents=_contents(given.content, findings) if given.content else (),
        attachments=told,
        headers=given.headers or {},
        categories=tuple(given.categories) if given.categories else (),
        custom_args=given.custom_args or {},
        template_id=given.template_id,
        footer=_footer(settings.footer) if settings is not None else None,
        uncertain=given.postclock.uncertain if given.postclock is not None else None,
    )
    if given.tracking_settings is not None:
        submission = with_tracking(submission, given.tracking_settings, findings)
    if findings:
        raise findings.invalid()
    soon = now_ms + SLACK_MS
    return SendRequest(
        submission=submission,
        personalizations=messages,
        files=files,
        batch_id=given.batch_id,
        sandbox=settings is not None and _on(settings.sandbox_mode),
        needs_schedule=any(each.send_at_ms is not None and each.send_at_ms > soon for each in messages),
    )


def _check_whole(given: wire.MailSend, findings: Findings) -> None:
    """What the call says once: subject, template, content, headers, categories, custom_args, batch."""
    if given.template_id is not None:
        _check_template(given, findings)
    elif not findings.known("template_id"):
        if not given.content:
            findings.add_unless_known(
                "content", "The content is required unless a template_id is given: at least one part."
            )
        if not given.subject and any(
            not each.subject and not findings.known(f"personalizations.{n}.subject")
            for n, each in enumerate(given.personalizations)
        ):
            message = (
                "The subject is required unless a template_id is given or every personalization has its own subject."
            )
            findings.add_unless_known("subject", message)
    if given.subject:
        line(given.subject, "subject", MAX_SUBJECT, findings)
    if given.headers:
        headers(given.headers, "headers", findings)
    if given.custom_args:
        strings(given.custom_args, "custom_args", "custom_args", findings)
    if given.categories:
        _check_categories(given.categories, findings)
    if given.batch_id is not None and not 0 < len(given.batch_id) <= MAX_ID:
        findings.add_unless_known("batch_id", "Not a batch_id: take the one that POST /v3/mail/batch answered.")


def _check_template(given: wire.MailSend, findings: Findings) -> None:
    assert given.template_id is not None
    if not given.template_id.startswith("d-") or len(given.template_id) > MAX_ID:
        message = "The template_id must be the id of a dynamic template: it begins with d-."
        findings.add_unless_known("template_id", message)
    if given.content:
        findings.add_unless_known(
            "content", "The content must be left out when a template_id is given: the template has it."
        )


def _check_categories(given: list[str], findings: Findings) -> None:
    if len(given) > MAX_CATEGORIES:
        findings.add_unless_known("categories", f"At most {MAX_CATEGORIES} categories are taken.")
    seen = set()
    for n, category in enumerate(given[: MAX_CATEGORIES + 1]):
        if not 0 < len(category) <= MAX_CATEGORY:
            findings.add_unless_known(f"categories.{n}", f"A category has 1 to {MAX_CATEGORY} characters.")
        elif category in seen:
            findings.add_unless_known(f"categories.{n}", "The category is there twice: each may stand once.")
        seen.add(category)


def _contents(given: list[wire.Content], findings: Findings) -> tuple[Content, ...]:
    if len(given) > MAX_CONTENTS:
        findings.add_unless_known("content", f"At most {MAX_CONTENTS} parts are taken, each of another type.")
    seen = set()
    contents = []
    for n, part in enumerate(given[:MAX_CONTENTS]):
        kind = part.type.lower()
        if kind not in _USUAL_TYPES:
            mime_type(kind, f"content.{n}.type", findings)
        if kind in seen:
            findings.add_unless_known(f"content.{n}.type", f"There is more than one part of the type {kind}.")
        seen.add(kind)
        if not part.value:
            findings.add_unless_known(f"content.{n}.value", "The value is empty: a part needs at least one character.")
        contents.append(Content(kind, part.value))
    return tuple(contents)


def _reply_to(given: wire.MailSend, findings: Findings) -> tuple[Mailbox, ...]:
    one = () if given.reply_to is None else (address(given.reply_to, "reply_to", findings),)
    if not given.reply_to_list:
        return one
    if one:
        findings.add_unless_known("reply_to_list", "Give either reply_to or reply_to_list, not both.")
    if len(given.reply_to_list) > MAX_REPLY_TO:
        findings.add_unless_known("reply_to_list", f"At most {MAX_REPLY_TO:,} addresses are taken here.")
    seen = set()
    mailboxes = []
    for n, each in enumerate(given.reply_to_list[:MAX_REPLY_TO]):
        mailboxes.append(address(each, f"reply_to_list.{n}", findings))
        form = each.email if problem(each.email) else compared(each.email)
        if form in seen:
            findings.add_unless_known(f"reply_to_list.{n}.email", "The address is in reply_to_list twice.")
        seen.add(form)
    return tuple(mailboxes)


def _footer(given: wire.Footer | None) -> Footer | None:
    if given is None or not given.enable or not (given.text or given.html):
        return None
    return Footer(given.text or "", given.html or "")


def _on(switch: wire.Switch | None) -> bool:
    return switch is not None and switch.enable is True


def _check_unsupported(given: wire.MailSend, findings: Findings) -> None:
    """Refuse by name what asks for something that would not happen."""
    if given.asm:
        findings.add("asm", f"asm (unsubscribe groups) {_NOT_SUPPORTED}.")
    if given.ip_pool_name:
        findings.add("ip_pool_name", f"ip_pool_name {_NOT_SUPPORTED}.")
    if given.sections:
        findings.add("sections", f"sections {_NOT_SUPPORTED}: use a dynamic template.")
    if given.mail_settings is not None or given.tracking_settings is not None:
        for field, switch in _refused_switches(given.mail_settings, given.tracking_settings):
            if _on(switch):
                findings.add(
                    field, f"{field.rpartition('.')[2]} {_NOT_SUPPORTED}: leave it out or set enable to false."
                )


def _refused_switches(
    mail: wire.MailSettings | None, tracking: wire.TrackingSettings | None
) -> Iterator[tuple[str, wire.Switch | None]]:
    if mail is not None:
        yield "mail_settings.bypass_list_management", mail.bypass_list_management
        yield "mail_settings.bypass_bounce_management", mail.bypass_bounce_management
        yield "mail_settings.bypass_spam_management", mail.bypass_spam_management
        yield "mail_settings.bypass_unsubscribe_management", mail.bypass_unsubscribe_management
        yield "mail_settings.bcc", mail.bcc
        yield "mail_settings.spam_check", mail.spam_check
    if tracking is not None:
        yield "tracking_settings.subscription_tracking", tracking.subscription_tracking
        yield "tracking_settings.ganalytics", tracking.ganalytics
