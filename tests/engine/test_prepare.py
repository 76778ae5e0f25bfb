"""From a claim to signed bytes: the same ones for the same claim, and a reason when there cannot be any."""

import email
import email.policy
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from email.message import EmailMessage
from typing import Any, Final

import msgspec
import pytest

from postclock.core.account import TenantSettings
from postclock.core.address import Mailbox
from postclock.core.ids import public_message_id
from postclock.core.lifecycle import State
from postclock.core.message import Attachment, Content, Footer, Personalization, Recipient, Submission
from postclock.core.stamp import Stamp, unpack
from postclock.core.template import TemplateVersion
from postclock.engine.contexts import Context
from postclock.engine.prepare import Order, Prepared, Refused, prepare
from postclock.mail.dkim.key import generate_ed25519, generate_rsa, load_key
from postclock.store.records import POLICY_NUMBERS, Claimed, PendingRecipient
from tests.engine.parts import TEMPLATE, person, private_key, version

DUE: Final = 1_800_000_000
ADA: Final = person("ada@example.net")
PLAIN: Final = (Content("text/plain", "Hello"), Content("text/html", "<p>Hello</p>"))


def context(*keys: tuple[int, bytes], domain: str = "example.com", **more: Any) -> Context:
    loaded = tuple((ident, load_key(domain, f"pc{ident}", private)) for ident, private in keys)
    told: dict[str, Any] = {
        "tenant": 1,
        "revision": 7,
        "settings": TenantSettings(),
        "keys": {domain: loaded},
        "templates": {},
    }
    return Context(**(told | more))


def order(
    personal: Personalization = ADA,
    *,
    keys: tuple[tuple[int, bytes], ...] | None = None,
    stamp: Stamp | None = None,
    version: TemplateVersion | None = None,
    files: dict[str, bytes] | None = None,
    policy: int = 0,
    sent_at: int = DUE,
    pending: tuple[int, ...] | None = None,
    within: Context | None = None,
    **submission: Any,
) -> Order:
    """An order for the message of ``personal``."""
    told: dict[str, Any] = {"from_": Mailbox("hello@example.com", "Shop"), "subject": "Digest", "contents": PLAIN}
    places = range(len(personal.recipients)) if pending is None else pending
    claimed = Claimed(
        5, 5, 2976, 1, 0, 1, None, 4, DUE * 1000, DUE * 1000, State.queued, 1, False, policy, 0, DUE * 1000, None, None,
        msgspec.msgpack.encode(personal), len(personal.recipients),
        tuple(PendingRecipient(n, personal.recipients[n].email) for n in places),
    )  # fmt: skip
    return Order(
        claimed=claimed,
        submission=Submission(**(told | submission)),
        context=within or context(*(((1, private_key()),) if keys is None else keys)),
        version=version,
        files=files or {},
        stamp=stamp,
        sent_at=sent_at,
    )


def made(wanted: Order) -> Prepared:
    done = prepare(wanted)
    assert isinstance(done, Prepared), done
    return done


def parsed(done: Prepared) -> EmailMessage:
    message = email.message_from_bytes(done.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def read(wanted: Order) -> EmailMessage:
    return parsed(made(wanted))


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def made_elsewhere(rsa: bytes, ed25519: bytes) -> bytes:
    """What another process makes of the same order."""
    return made(order(keys=((1, rsa), (2, ed25519)))).content


def test_the_same_claim_gives_the_same_bytes_here_and_in_another_process() -> None:
    """Twice here, once in a process with another hash seed; RSA and Ed25519 alike."""
    rsa, ed25519 = generate_rsa(), generate_ed25519()
    first = made_elsewhere(rsa, ed25519)
    assert made_elsewhere(rsa, ed25519) == first
    assert first.count(b"DKIM-Signature:") == 2
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
        assert elsewhere.submit(made_elsewhere, rsa, ed25519).result(60) == first


def test_from_the_stamp_comes_the_same_mail_hours_later() -> None:
    """Date, signature time and bytes are those of the first hand-off; nothing is reissued."""
    first = made(order())
    again = made(order(stamp=unpack(first.stamp), sent_at=DUE + 7_200))
    assert again.content == first.content
    assert again.stamp == first.stamp
    assert not again.reissued
    assert made(order(sent_at=DUE + 7_200)).content != first.content


def test_message_id_and_date_are_derived() -> None:
    """The id is the message's public one at the sender's domain; the date is the second it is due at."""
    message = read(order())
    assert message["Message-ID"] == f"<{public_message_id(2976, 5)}@example.com>"
    assert int(message["Date"].datetime.timestamp()) == DUE
    assert f"t={DUE}" in str(message["DKIM-Signature"])


def test_the_stamp_names_what_the_bytes_are_made_from() -> None:
    """Second, template version, revision, keys."""
    stamp = unpack(made(order(version=version(9), template_id=TEMPLATE, contents=())).stamp)
    assert (stamp.sent_at, stamp.template_version, stamp.revision, stamp.keys) == (DUE, 9, 7, (1,))


def test_a_key_that_came_later_does_not_sign_what_was_handed_off_before() -> None:
    """The same bytes while the stamp's key lives."""
    first = made(order())
    again = made(order(keys=((1, private_key()), (2, generate_ed25519())), stamp=unpack(first.stamp)))
    assert again.content == first.content
    assert not again.reissued


def test_it_is_reissued_when_the_key_is_gone() -> None:
    """The key of today signs; Message-ID and Date stay."""
    first = made(order())
    again = made(order(keys=((2, generate_ed25519()),), stamp=unpack(first.stamp), sent_at=DUE + 60))
    assert again.reissued
    assert parsed(again)["Date"] == parsed(first)["Date"]
    assert parsed(again)["Message-ID"] == parsed(first)["Message-ID"]


def test_it_is_reissued_when_the_template_version_is_gone() -> None:
    """Another version gives another body, and the timeline has to say so."""
    first = made(order(version=version(1), template_id=TEMPLATE, contents=()))
    again = made(
        order(version=version(2, html="<p>New</p>"), template_id=TEMPLATE, contents=(), stamp=unpack(first.stamp))
    )
    assert again.reissued
    assert not made(order(version=version(1), template_id=TEMPLATE, contents=(), stamp=unpack(first.stamp))).reissued


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (order(version=version(1, "{{#if}}"), template_id=TEMPLATE), "template error: "),
        (order(version=None, template_id=TEMPLATE), f"template {TEMPLATE} has no version to send"),
        (order(from_=Mailbox("hello@other.example")), "sender domain not verified: other.example"),
        (order(person("ada@example.net", from_=Mailbox("x@third.example"))), "sender domain not verified: third.example"),
        (order(attachments=(Attachment("ab" * 32, 3, "bill.pdf"),)), "attachment no longer stored: bill.pdf"),
    ],
    ids=["template", "no version", "domain", "own sender", "file"],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_with_a_reason(wanted: Order, reason: str) -> None:
    """Never an exception: somebody wrote it, somebody has to read why."""
    done = prepare(wanted)
    assert isinstance(done, Refused)
    assert done.reason.startswith(reason)
    assert not done.later


def test_each_text_gets_the_footer() -> None:
    """After the plain text, inside the HTML's body."""
    contents = (Content("text/plain", "Hello"), Content("text/html", "<html><body><p>Hi</p></body></html>"))
    message = read(order(contents=contents, footer=Footer("Bye", "<p>Bye</p>")))
    assert text_of(message).rstrip().replace("\r", "") == "Hello\n\nBye"
    assert "<p>Hi</p><p>Bye</p></body>" in text_of(message, "html")


def test_the_preheader_stands_hidden_at_the_head_of_the_html() -> None:
    """Right after the body's start tag, escaped."""
    with_one = msgspec.structs.replace(
        version(1, html="<html><body class=x><p>Hi</p></body></html>"), preheader="For {{name}}"
    )
    message = read(
        order(person("ada@example.net", template_data={"name": "A & B"}), version=with_one, template_id=TEMPLATE)
    )
    assert "<body class=x><div style=" in text_of(message, "html")
    assert "For A &amp; B</div><p>Hi" in text_of(message, "html")


def test_template_data_fills_subject_html_and_text() -> None:
    """Escaped in HTML alone; the subject of the send is used where the template has none."""
    ada = person("ada@example.net", template_data={"name": "<Ada>"})
    message = read(order(ada, version=version(1), template_id=TEMPLATE, contents=()))
    assert message["Subject"] == "Hi <Ada>"
    assert "&lt;Ada&gt;" in text_of(message, "html")
    assert read(order(ada, version=version(1, ""), template_id=TEMPLATE))["Subject"] == "Digest"


def test_substitutions_are_put_in_as_they_stand() -> None:
    """Subject, text and HTML."""
    ada = person("ada@example.net", substitutions={"-name-": "Ada"})
    contents = (Content("text/plain", "Dear -name-"), Content("text/html", "<b>-name-</b>"))
    message = read(order(ada, subject="For -name-", contents=contents))
    assert message["Subject"] == "For Ada"
    assert text_of(message).strip() == "Dear Ada"
    assert "<b>Ada</b>" in text_of(message, "html")


def test_a_personalization_overrides_sender_subject_and_headers() -> None:
    """Its own win, key by key; the others stay."""
    ada = person("ada@example.net", from_=Mailbox("bills@example.com", "Bills"), subject="Bill", headers={"X-A": "own"})
    message = read(order(ada, headers={"X-A": "shared", "X-B": "shared"}))
    assert str(message["From"]) == "Bills <bills@example.com>"
    assert (message["Subject"], message["X-A"], message["X-B"]) == ("Bill", "own", "shared")


def test_bcc_is_on_the_envelope_and_nowhere_in_the_mail() -> None:
    """To and Cc are shown, Bcc is not."""
    personal = Personalization(
        recipients=(
            Recipient("to", "ada@example.net", "Ada"), Recipient("cc", "bob@example.net"), Recipient("bcc", "cyd@example.org"),
        )
    )  # fmt: skip
    done = made(order(personal))
    assert done.wire == {0: "ada@example.net", 1: "bob@example.net", 2: "cyd@example.org"}
    message = parsed(done)
    assert (str(message["To"]), str(message["Cc"]), message["Bcc"]) == (
        "Ada <ada@example.net>",
        "bob@example.net",
        None,
    )
    assert b"cyd" not in done.content


def test_only_who_is_still_pending_is_on_the_wire() -> None:
    """The header names everybody all the same."""
    personal = person("ada@example.net", "bob@example.net")
    done = made(order(personal, pending=(1,)))
    assert done.wire == {1: "bob@example.net"}
    assert "ada@example.net" in str(parsed(done)["To"])


def test_an_address_beyond_ascii_asks_for_smtputf8() -> None:
    """A domain beyond ASCII does not: it travels in its IDNA form."""
    assert made(order(person("jürgen@example.net"))).smtputf8
    done = made(order(person("ada@bücher.example")))
    assert not done.smtputf8
    assert done.wire == {0: "ada@xn--bcher-kva.example"}


def test_the_policy_for_the_uncertain_is_the_sends_own_or_the_tenants() -> None:
    """The send's wins."""
    holding = context((1, private_key()), settings=TenantSettings(uncertain="hold"))
    assert made(order(within=holding)).uncertain == "hold"
    assert made(order(within=holding, policy=POLICY_NUMBERS["assume_sent"])).uncertain == "assume_sent"
    assert made(order()).uncertain == "resend"


def test_files_go_along() -> None:
    """Their bytes come from the store, by their hash."""
    sha = "cd" * 32
    message = read(
        order(attachments=(Attachment(sha, 3, "bill.pdf", "application/pdf"),), files={sha: b"\x00\x01\x02"})
    )
    (file,) = message.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("bill.pdf", b"\x00\x01\x02")


def test_an_order_is_not_changed_by_being_made() -> None:
    """So that it may be made again from the same records."""
    wanted = order(person("ada@example.net", headers={"X-A": "1"}), headers={"X-B": "2"})
    first = made(wanted)
    assert made(wanted).content == first.content
    assert wanted.submission.headers == {"X-B": "2"}
