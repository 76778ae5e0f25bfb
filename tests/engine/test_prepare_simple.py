"""Preparing mail from templates with plain variables, and the display name that a domain gives."""

import email
import email.policy
from email.message import EmailMessage
from typing import Any, Final

import msgspec
import pytest

from postclock.core.account import TenantSettings
from postclock.core.address import Mailbox
from postclock.core.lifecycle import State
from postclock.core.message import Content, Submission
from postclock.core.template import TemplateVersion, Variable
from postclock.engine.contexts import Context
from postclock.engine.prepare import Order, Prepared, Refused, prepare
from postclock.mail.dkim.key import load_key
from postclock.store.records import Claimed, PendingRecipient
from tests.engine.parts import person, private_key

DUE: Final = 1_800_000_000
DOMAIN: Final = "example.com"
TEMPLATE: Final = "tmpl_0000000000001"


def version(**texts: Any) -> TemplateVersion:
    return TemplateVersion(id=9, template=TEMPLATE, name="", plain_given=True, active=True, number=1, **texts)


def done(
    wanted: TemplateVersion | None = None,
    data: dict[str, Any] | None = None,
    *,
    from_names: dict[str, str] | None = None,
    personal_from: Mailbox | None = None,
    sender: Mailbox = Mailbox("hello@example.com", "Shop"),  # noqa: B008  (frozen)
) -> Prepared | Refused:
    personal = msgspec.structs.replace(person("ada@example.net"), template_data=data or {}, from_=personal_from)
    claimed = Claimed(
        5, 5, 2976, 1, 0, 1, None, 4, DUE * 1000, DUE * 1000, State.queued, 1, False, 0, 0, DUE * 1000, None, None,
        msgspec.msgpack.encode(personal), 1, (PendingRecipient(0, "ada@example.net"),),
    )  # fmt: skip
    context = Context(
        tenant=1,
        revision=7,
        settings=TenantSettings(),
        keys={DOMAIN: ((1, load_key(DOMAIN, "pc1", private_key())),)},
        templates={},
        from_names=from_names or {},
    )
    submission = Submission(
        from_=sender,
        subject="Digest",
        contents=() if wanted else (Content("text/plain", "Hello"),),
        template_id=TEMPLATE if wanted else None,
    )
    return prepare(
        Order(
            claimed=claimed, submission=submission, context=context, version=wanted, files={}, stamp=None, sent_at=DUE
        )
    )


def mail(told: Prepared | Refused) -> EmailMessage:
    assert isinstance(told, Prepared), told
    parsed = email.message_from_bytes(told.content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text_of(m: EmailMessage, kind: str) -> str:
    part = m.get_body((kind,))
    assert part is not None
    return str(part.get_content()).strip()


def test_each_text_gets_its_values() -> None:
    """Escaped in the HTML, verbatim in the plain text, on one line in the subject."""
    made = mail(
        done(
            version(subject="Hi {{name}}", html="<p>{{ name }}{{#if x}}</p>", plain="{{ name }}"),
            {"name": "<Ada>\r\nBcc: eve@example.com"},
        )
    )
    assert made["Subject"] == "Hi <Ada> Bcc: eve@example.com"
    assert made["Bcc"] is None
    assert text_of(made, "html").startswith("<p>&lt;Ada&gt;")
    assert text_of(made, "html").endswith("{{#if x}}</p>")
    assert text_of(made, "plain").splitlines() == ["<Ada>", "Bcc: eve@example.com"]


def test_a_template_without_a_text_makes_a_mail_without_that_part() -> None:
    """HTML alone stays alone; with neither there is an empty text, and an empty subject leaves the send's own."""
    html = mail(done(version(html="<p>x</p>")))
    assert html.get_content_type() == "text/html"
    assert html["Subject"] == "Digest"
    assert mail(done(version(subject="s"))).get_content_type() == "text/plain"


def test_a_missing_required_variable_is_a_reason_not_to_send() -> None:
    """It names the variable: a newer version may ask for more than the send gave."""
    told = done(version(plain="x", variables=(Variable("order_no", required=True),)))
    assert isinstance(told, Refused)
    assert not told.later
    assert told.reason == "template error: The template variable order_no is required."


def test_a_mail_that_grows_beyond_all_bounds_is_not_made() -> None:
    """All its texts count together."""
    told = done(version(html="{{x}}" * 100, plain="{{x}}" * 100), {"x": "x" * 60_000})
    assert isinstance(told, Refused)
    assert told.reason == "template error: the rendered template is too large"


@pytest.mark.parametrize(
    ("sender", "personal_from", "shown"),
    [
        (Mailbox("hello@example.com"), None, "Acme Receipts <hello@example.com>"),
        (Mailbox("hello@EXAMPLE.com"), None, "Acme Receipts <hello@EXAMPLE.com>"),
        (Mailbox("hello@example.com", "Shop"), None, "Shop <hello@example.com>"),
        (Mailbox("hello@example.com", "Shop"), Mailbox("ada@example.com"), "Acme Receipts <ada@example.com>"),
    ],
)
def test_a_from_without_a_name_gets_its_domains(sender: Mailbox, personal_from: Mailbox | None, shown: str) -> None:
    """A name that the send gives wins; a personalization's From is a From of its own."""
    names = {DOMAIN: "Acme Receipts", "example.net": "Other"}
    made = mail(done(from_names=names, sender=sender, personal_from=personal_from))
    assert str(made["From"]) == shown


def test_a_domain_without_a_name_gives_none() -> None:
    """The address stands alone."""
    assert str(mail(done(sender=Mailbox("hello@example.com")))["From"]) == "hello@example.com"
