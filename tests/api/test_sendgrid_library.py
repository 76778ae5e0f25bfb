"""SendGrid's own Python library writes calls that we take: the bodies are built by its helpers, not by hand."""

import json

from sendgrid.helpers.mail import (
    Attachment,
    BatchId,
    Bcc,
    Category,
    Cc,
    ClickTracking,
    Content,
    ContentId,
    CustomArg,
    Disposition,
    FileContent,
    FileName,
    FileType,
    From,
    Header,
    HtmlContent,
    Mail,
    MailSettings,
    Personalization,
    PlainTextContent,
    ReplyTo,
    SandBoxMode,
    SendAt,
    Subject,
    TemplateId,
    To,
    TrackingSettings,
)

from postclock.api.scaisend.translate_send import SendRequest, parse_send
from postclock.core.message import Content as CoreContent
from postclock.core.message import Recipient

NOW = 1_800_000_000_000
SOON = 1_800_003_600


def parse(mail: Mail) -> SendRequest:
    return parse_send(json.dumps(mail.get()).encode(), NOW)


def test_the_quick_start() -> None:
    """The library's first example."""
    mail = Mail(
        "hello@mail.example.com", "ada@example.com", "Hello", PlainTextContent("Hello"), HtmlContent("<b>Hello</b>")
    )
    request = parse(mail)
    assert request.submission.contents == (CoreContent("text/plain", "Hello"), CoreContent("text/html", "<b>Hello</b>"))
    assert request.personalizations[0].recipients == (Recipient("to", "ada@example.com"),)


def test_a_template_with_data_for_each_recipient() -> None:
    """``is_multiple`` makes a personalization of each address, each with its own data."""
    tos = [
        To("ada@example.com", "Ada", dynamic_template_data={"n": 1}),
        To("bob@example.com", "Bob", dynamic_template_data={"n": 2}),
    ]
    mail = Mail(From("hello@mail.example.com", "Shop"), tos, is_multiple=True)
    mail.template_id = TemplateId("d-digest")
    request = parse(mail)
    assert request.submission.template_id == "d-digest"
    data = {each.recipients[0].email: each.template_data for each in request.personalizations}
    assert data == {"ada@example.com": {"n": 1}, "bob@example.com": {"n": 2}}


def test_everything_else_the_helpers_offer() -> None:
    """Attachments, batch, times, categories, arguments, headers, settings, copies."""
    mail = Mail(From("hello@mail.example.com"), subject=Subject("Hello"))
    mail.content = [Content("text/plain", "Hello")]
    mail.reply_to = ReplyTo("help@example.com", "Help")
    mail.attachment = Attachment(
        FileContent("SGVsbG8="), FileName("a.txt"), FileType("text/plain"), Disposition("inline"), ContentId("a")
    )
    mail.batch_id = BatchId("bat_1")
    mail.send_at = SendAt(SOON)
    mail.category = [Category("digest"), Category("daily")]
    mail.custom_arg = CustomArg("run", "5")
    mail.header = Header("X-Run", "5")
    mail.mail_settings = MailSettings(sandbox_mode=SandBoxMode(enable=True))
    tracking = TrackingSettings()
    tracking.click_tracking = ClickTracking(enable=False, enable_text=False)
    mail.tracking_settings = tracking
    for n in range(2):
        each = Personalization()
        each.add_to(To(f"to{n}@example.com"))
        each.add_cc(Cc(f"cc{n}@example.com"))
        each.add_bcc(Bcc(f"bcc{n}@example.com"))
        each.subject = f"Hello {n}"
        each.send_at = SOON + 60 * n
        each.add_custom_arg(CustomArg("n", str(n)))
        each.add_header(Header("X-N", str(n)))
        mail.add_personalization(each)
    request = parse(mail)
    assert request.sandbox
    assert request.needs_schedule
    assert (request.batch_id, list(request.files.values())) == ("bat_1", [b"Hello"])
    assert sorted(request.submission.categories) == ["daily", "digest"]
    assert (request.submission.custom_args, request.submission.headers) == ({"run": "5"}, {"X-Run": "5"})
    by_time = sorted(request.personalizations, key=lambda each: each.send_at_ms or 0)
    assert [each.send_at_ms for each in by_time] == [SOON * 1000, (SOON + 60) * 1000]
    assert [each.subject for each in by_time] == ["Hello 0", "Hello 1"]
    assert [each.custom_args for each in by_time] == [{"n": "0"}, {"n": "1"}]
    assert by_time[1].recipients == (
        Recipient("to", "to1@example.com"),
        Recipient("cc", "cc1@example.com"),
        Recipient("bcc", "bcc1@example.com"),
    )
