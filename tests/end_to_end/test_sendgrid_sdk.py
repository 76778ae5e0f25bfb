"""SendGrid's own Python library against the running service: only the host and the key are ours."""

import base64
import email
import email.policy
import hashlib
from email.message import EmailMessage

import pytest
from python_http_client.exceptions import BadRequestsError, ForbiddenError, UnauthorizedError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import (
    Attachment,
    BatchId,
    Bcc,
    Category,
    Cc,
    Content,
    CustomArg,
    Header,
    HtmlContent,
    Mail,
    Personalization,
    PlainTextContent,
    ReplyTo,
    SendAt,
    Substitution,
    TemplateId,
    To,
)

from tests.end_to_end.parts import Ground, soon
from tests.support.sink import Mail as Taken

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FROM = ("hello@mail.example.com", "Shop")


@pytest.fixture(scope="module")
def client(shared: Ground) -> SendGridAPIClient:
    """The library's client, as its users make it."""
    return SendGridAPIClient(shared.caller.key, host=shared.service.url)


def parsed(ground: Ground, m: Taken) -> EmailMessage:
    """The mail as Python's own parser reads it, without defects and with a good signature."""
    assert ground.verifies(m)
    read = email.message_from_bytes(m.content, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    assert not [d for part in read.walk() for d in part.defects]
    return read


def body(message: EmailMessage, kind: str) -> str:
    """The text of the plain or the html part."""
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_the_quick_start(shared: Ground, client: SendGridAPIClient) -> None:
    """The first example of its documentation: 202, X-Message-Id, and both bodies arrive."""
    mail = Mail(
        FROM, "quick@example.com", "Sending is Fun", PlainTextContent("and easy"), HtmlContent("<b>anywhere</b> é")
    )
    answer = client.send(mail)
    assert answer.status_code == 202
    shared.caller.settles(answer.headers["X-Message-Id"], "delivered")
    read = parsed(shared, shared.wait_for("quick@example.com"))
    assert (read["Subject"], read["From"], read["To"]) == (
        "Sending is Fun",
        "Shop <hello@mail.example.com>",
        "quick@example.com",
    )
    assert body(read, "plain").rstrip("\n") == "and easy"
    assert "<b>anywhere</b> é" in body(read, "html")


def test_a_scheduled_batch(shared: Ground, client: SendGridAPIClient) -> None:
    """``client.mail.batch.post()``, and two mails of that batch at their second."""
    made = client.client.mail.batch.post()
    assert made.status_code == 201
    batch = made.to_dict["batch_id"]
    at = soon(2)
    for name in ("one", "two"):
        mail = Mail(FROM, f"batch-{name}@example.com", name, PlainTextContent(name))
        mail.send_at = SendAt(at)
        mail.batch_id = BatchId(batch)
        assert client.send(mail).status_code == 202
    shared.caller.batch_settles(batch, 2)
    assert min(m.data_at for m in shared.wait_for_all(["batch-one@example.com", "batch-two@example.com"])) >= at
    status = client.client.mail.batch._(batch).get()
    assert status.to_dict["status_counts"]["delivered"] == 2


def test_a_dynamic_template_for_several_people(shared: Ground, client: SendGridAPIClient) -> None:
    """A template made through the library; each personalization with its own data."""
    made = client.client.templates.post(request_body={"name": "greeting", "generation": "dynamic"})
    assert made.status_code == 201
    ident = made.to_dict["id"]
    version = {
        "template_id": ident, "active": 1, "name": "one", "subject": "Hi {{name}}",
        "html_content": "<p>{{#if vip}}Dear {{name}}{{else}}Hi {{name}}{{/if}} &lt; {{amount}}</p>",
    }  # fmt: skip
    assert client.client.templates._(ident).versions.post(request_body=version).status_code == 201
    mail = Mail(from_email=FROM)
    mail.template_id = TemplateId(ident)
    for name, vip in (("Ada", True), ("Bob", False)):
        person = Personalization()
        person.add_to(To(f"{name.lower()}-t@example.com", name))
        person.dynamic_template_data = {"name": name, "vip": vip, "amount": "<5>"}
        mail.add_personalization(person)
    assert client.send(mail).status_code == 202
    ada, bob = (parsed(shared, shared.wait_for(a)) for a in ("ada-t@example.com", "bob-t@example.com"))
    assert (ada["Subject"], bob["Subject"]) == ("Hi Ada", "Hi Bob")
    assert "<p>Dear Ada &lt; &lt;5&gt;</p>" in body(ada, "html")
    assert "Hi Bob < <5>" in body(bob, "plain")


def test_attachments_and_an_inline_image(shared: Ground, client: SendGridAPIClient) -> None:
    """A file of 300 kB arrives octet by octet; the inline image is beside the HTML that shows it."""
    report = hashlib.shake_256(b"report").digest(300_000)
    mail = Mail(FROM, "files@example.com", "Files", html_content='<img src="cid:logo">')
    mail.add_attachment(
        Attachment(base64.b64encode(report).decode(), "Bericht für März.bin", "application/octet-stream")
    )
    mail.add_attachment(Attachment(base64.b64encode(PIXEL).decode(), "logo.png", "image/png", "inline", "logo"))
    answer = client.send(mail)
    read = parsed(shared, shared.wait_for("files@example.com"))
    [file] = list(read.iter_attachments())
    assert (file.get_filename(), file.get_content_type(), file.get_content()) == (
        "Bericht für März.bin", "application/octet-stream", report,
    )  # fmt: skip
    [image] = [p for p in read.walk() if p.get_content_type() == "image/png"]
    assert (image["Content-ID"], image.get_content()) == ("<logo>", PIXEL)
    assert image.get_content_disposition() == "inline"
    notes = shared.caller.settles(answer.headers["X-Message-Id"], "delivered")["attachments"]
    assert {n["filename"]: n["size"] for n in notes} == {"Bericht für März.bin": 300_000, "logo.png": len(PIXEL)}


def test_everything_a_mail_can_carry(shared: Ground, client: SendGridAPIClient) -> None:
    """Names, cc, bcc, reply-to, headers, categories, custom arguments, substitutions: where they belong and nowhere else."""
    mail = Mail(FROM, subject="Order -no-")
    mail.add_content(Content("text/plain", "Order -no- is on its way"))
    mail.reply_to = ReplyTo("answers@example.com", "Answers")
    mail.add_header(Header("X-Shop", "all"))
    mail.add_category(Category("orders"))
    mail.add_category(Category("shipping"))
    mail.add_custom_arg(CustomArg("shop", "7"))
    person = Personalization()
    person.add_to(To("full@example.com", "Ada Löv, Countess"))
    person.add_cc(Cc("copy@example.com"))
    person.add_bcc(Bcc("blind@example.com"))
    person.add_header(Header("X-Order", "42"))
    person.add_custom_arg(CustomArg("order", "42"))
    person.add_substitution(Substitution("-no-", "42"))
    mail.add_personalization(person)
    answer = client.send(mail)
    taken = shared.wait_for("full@example.com")
    assert set(taken.rcpts) == {"full@example.com", "copy@example.com", "blind@example.com"}
    read = parsed(shared, taken)
    assert read["To"].addresses[0].display_name == "Ada Löv, Countess"
    assert (read["Cc"], read["Bcc"], read["Subject"]) == ("copy@example.com", None, "Order 42")
    assert (read["X-Shop"], read["X-Order"], read["Reply-To"]) == ("all", "42", "Answers <answers@example.com>")
    assert b"blind@example.com" not in taken.content
    assert body(read, "plain").rstrip("\n") == "Order 42 is on its way"
    shown = shared.caller.settles(answer.headers["X-Message-Id"], "delivered")
    assert (sorted(shown["categories"]), shown["custom_args"]) == (["orders", "shipping"], {"shop": "7", "order": "42"})
    assert {(r["email"], r["kind"], r["status"]) for r in shown["recipients"]} == {
        ("full@example.com", "to", "delivered"), ("copy@example.com", "cc", "delivered"), ("blind@example.com", "bcc", "delivered"),
    }  # fmt: skip


def test_the_library_understands_our_refusals(shared: Ground, client: SendGridAPIClient) -> None:
    """Its exceptions for 400, 401 and 403 carry the errors with their fields."""
    with pytest.raises(BadRequestsError) as bad:
        client.send(Mail(FROM, "ada@example..com", "Hello", PlainTextContent("Hello")))
    assert bad.value.to_dict["errors"][0]["field"] == "personalizations.0.to.0.email"
    with pytest.raises(ForbiddenError) as foreign:
        client.send(Mail("me@elsewhere.example", "ada@example.com", "Hello", PlainTextContent("Hello")))
    assert foreign.value.to_dict["errors"][0]["field"] == "from"
    with pytest.raises(UnauthorizedError):
        SendGridAPIClient("sg_live_nobody", host=shared.service.url).send(
            Mail(FROM, "ada@example.com", "Hi", PlainTextContent("Hi"))
        )
