"""Prepare: from a claim to signed bytes. Pure: it runs in threads, in chunks, ahead of the second.

What a person wrote wrongly (a template that cannot be rendered with its data) is a refusal with a reason, never an exception.
"""

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from postclock.core.address import Mailbox, domain_of, on_the_wire
from postclock.core.errors import MissingVariable, TooLarge
from postclock.core.ids import public_message_id
from postclock.core.message import Content, MessageType, Personalization, Submission, UncertainPolicy
from postclock.core.stamp import Stamp, pack
from postclock.core.template import TemplateVersion
from postclock.engine.contexts import Context
from postclock.mail.compose import COMPOSER_VERSION, Draft, File, compose
from postclock.mail.dkim.canonical import body_hash
from postclock.mail.dkim.sign import sign
from postclock.mail.message_id import message_id
from postclock.mail.simple_template import Values
from postclock.mail.substitution import substitute
from postclock.mail.template import Budget, Template, TemplateError, compile_template
from postclock.mail.tracking import Named, Tracking, before_close
from postclock.store.records import LIVE, POLICIES, Claimed

personalization = msgspec.msgpack.Decoder(Personalization).decode


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that preparing one claim needs, fetched beforehand. ``version`` is the template version to render, if any.

    Without ``tracking`` no mail is tracked, whatever was asked for.
    """

    claimed: Claimed
    submission: Submission
    context: Context
    version: TemplateVersion | None
    files: Mapping[str, bytes]
    stamp: Stamp | None
    sent_at: int
    tracking: Tracking | None = None


class Prepared(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Signed bytes, ready to depart. ``wire`` are the pending recipients as RCPT gets them, by their place."""

    claimed: Claimed
    content: bytes
    smtputf8: bool
    domain: str
    revision: int
    stamp: bytes
    reissued: bool
    wire: dict[int, str]
    uncertain: UncertainPolicy
    """What is done when the result is lost: the send's own policy, or the tenant's."""
    api_key: int = 0
    message_type: MessageType = "transactional"
    free: bool = False
    """These three are what it is charged by."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """It cannot be made: for good, or (``later``) by a fault of ours, so that it is tried again."""

    claimed: Claimed
    reason: str
    later: bool = False


def prepare(order: Order) -> Prepared | Refused:
    """The signed message of an order, or why there cannot be one."""
    c, s, context = order.claimed, order.submission, order.context
    p = personalization(c.personal)
    sender = p.from_ or s.from_
    domain = domain_of(sender.email)
    if not sender.name and domain in context.from_names:
        sender = Mailbox(sender.email, context.from_names[domain])
    keys = context.keys.get(domain)
    if keys is None:
        if c.mode == LIVE:
            return Refused(c, f"sender domain not verified: {domain}")
        keys = ()  # a test message goes nowhere: it needs no signature
    if s.template_id is not None and order.version is None:
        return Refused(c, f"template {s.template_id} has no version to send")
    for a in s.attachments:
        if a.sha256 not in order.files:
            return Refused(c, f"attachment no longer stored: {a.filename}")
    try:
        subject, text, html, others = _bodies(order, p)
    except (TemplateError, MissingVariable, TooLarge) as error:
        return Refused(c, f"template error: {error}")
    if order.tracking is not None:
        text, html = _tracked(order.tracking, order, p, text, html)
    headers = {**s.headers, **p.headers} if p.headers else s.headers
    stamp = order.stamp
    sent_at = order.sent_at if stamp is None else stamp.sent_at
    composed = compose(
        Draft(
            from_=sender,
            to=tuple(Mailbox(r.email, r.name) for r in p.recipients if r.kind == "to"),
            cc=tuple(Mailbox(r.email, r.name) for r in p.recipients if r.kind == "cc"),
            reply_to=s.reply_to,
            subject=subject,
            text=text,
            html=html,
            alternatives=others,
            files=tuple(
                File(
                    filename=a.filename,
                    content=order.files[a.sha256],
                    type=a.type,
                    disposition=a.disposition,
                    content_id=a.content_id,
                )
                for a in s.attachments
            ),
            headers=headers,
            message_id=message_id(public_message_id(c.week, c.message), domain),
            sent_at=sent_at,
        )
    )
    digest = body_hash(composed.body)
    signing = keys if stamp is None else tuple(k for k in keys if k[0] in stamp.keys) or keys
    fresh = Stamp(
        sent_at,
        None if order.version is None else order.version.id,
        context.revision,
        tuple(k[0] for k in signing),
        COMPOSER_VERSION,
        digest,
    )
    reissued = stamp is not None and (
        stamp.body_hash != digest or stamp.composer != COMPOSER_VERSION or stamp.keys != fresh.keys
    )
    signatures = [sign(key, composed.headers, composed.body, at=sent_at, body_hash=digest) for _, key in signing]
    wire = {r.n: on_the_wire(p.recipients[r.n].email) for r in c.recipients}
    return Prepared(
        claimed=c,
        content=composed.raw(signatures),
        smtputf8=composed.smtputf8 or not all(a.isascii() for a in wire.values()),
        domain=domain,
        revision=context.revision,
        stamp=pack(fresh),
        reissued=reissued,
        wire=wire,
        uncertain=POLICIES.get(c.policy) or context.settings.uncertain,
        api_key=s.api_key,
        message_type=s.message_type,
        free=s.free,
    )


def _bodies(order: Order, p: Personalization) -> tuple[str, str | None, str | None, tuple[Content, ...]]:
    """(subject, text, html, other bodies), rendered."""
    s = order.submission
    subject = s.subject if p.subject is None else p.subject
    text: str | None = None
    html: str | None = None
    others: tuple[Content, ...] = ()
    if order.version is not None and order.version.simple:
        version = order.version
        values = Values(version.variables, p.template_data)
        subject = values.line(version.subject) or subject
        html = values.html(version.html) if version.html else None
        text = values.text(version.plain) if version.plain or html is None else None
    elif order.version is not None:
        version = order.version
        budget = Budget()
        data = p.template_data
        subject = _compiled(version.subject, False).render(data, budget=budget) or subject
        html = _compiled(version.html, True).render(data, budget=budget) if version.html else None
        text = _compiled(version.plain, False).render(data, budget=budget) if version.plain or html is None else None
        if version.preheader and html is not None:
            html = _with_preheader(html, _compiled(version.preheader, True).render(data, budget=budget))
    else:
        for content in s.contents:
            value = substitute(content.value, p.substitutions) if p.substitutions else content.value
            match content.type.lower():
                case "text/plain":
                    text = value
                case "text/html":
                    html = value
                case _:
                    others = (*others, Content(content.type, value))
        if p.substitutions:
            subject = substitute(subject, p.substitutions)
    if s.footer is not None:
        if text is not None and s.footer.text:
            text = f"{text}\n\n{s.footer.text}"
        if html is not None and s.footer.html:
            html = before_close(html, s.footer.html)
    return subject, text, html, others


@lru_cache(maxsize=4096)
def _compiled(source: str, escape: bool) -> Template:
    return compile_template(source, escape=escape)


def _tracked(
    tracking: Tracking, order: Order, p: Personalization, text: str | None, html: str | None
) -> tuple[str | None, str | None]:
    """(text, html) with what the send asks for, or else the tenant."""
    s, tenant = order.submission, order.context.settings
    opens = tenant.open_tracking if s.open_tracking is None else s.open_tracking
    clicks = tenant.click_tracking if s.click_tracking is None else s.click_tracking
    # One mail for all its recipients: who of several it was cannot be told. Not the pending ones: a retry has the same links.
    named = Named(order.claimed.message, order.claimed.week, 0 if len(p.recipients) == 1 else None)
    if html is not None and (opens or clicks or s.open_tag):
        html = tracking.html(html, named, opens=opens, clicks=clicks, tag=s.open_tag)
    if text is not None and clicks and (tenant.click_text if s.click_text is None else s.click_text):
        text = tracking.text(text, named)
    return text, html


_HIDDEN = '<div style="display:none;max-height:0;overflow:hidden">{}</div>'


def _with_preheader(html: str, preheader: str) -> str:
    """The preview text, hidden, right after the body's start tag."""
    at = html.lower().find("<body")
    end = html.find(">", at) + 1 if at >= 0 else 0
    return html[:end] + _HIDDEN.format(preheader) + html[end:]
