"""``POST /v3/mail/send`` without a store: what is taken and what it becomes."""

import base64
import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.api.scaisend.literals import MAX_AHEAD_MS
from postclock.api.scaisend.translate_attachments import base64_bytes
from postclock.api.scaisend.translate_tracking import tracking_as_sent
from postclock.core.address import Mailbox
from postclock.core.message import Attachment, Content, Footer, Personalization, Recipient
from tests.support.sends import NOW, SOON, file, good, parse, people, person


def test_a_plain_call_becomes_a_submission_and_its_messages() -> None:
    """What the messages share stands once; each personalization has its recipients."""
    request = parse(good(batch_id="bat_1"))
    assert request.submission.from_ == Mailbox("hello@mail.example.com", "Shop")
    assert request.submission.subject == "Weekly digest"
    assert request.submission.contents == (Content("text/plain", "Hello"), Content("text/html", "<p>Hello</p>"))
    assert request.personalizations == (
        Personalization(recipients=(Recipient("to", "ada@example.com"),)),
        Personalization(recipients=(Recipient("to", "bob@example.com", "Bob"),)),
    )
    assert (request.batch_id, request.sandbox, request.needs_schedule, request.files) == ("bat_1", False, False, {})


def test_everything_a_call_may_say_arrives() -> None:
    """No field that is taken gets lost on the way."""
    request = parse(
        good(
            personalizations=person(
                cc=[{"email": "Carl@Example.com"}],
                bcc=[{"email": "dora@bücher.example", "name": "Dora"}],
                from_={"email": "you@mail.example.com"},
                subject="Yours",
                headers={"X-A": "1"},
                substitutions={"-name-": "Ada"},
                dynamic_template_data={"a": [1, {"b": None}]},
                custom_args={"order": "7"},
                send_at=SOON,
            ),
            reply_to={"email": "help@example.com", "name": "Help"},
            headers={"List-Unsubscribe": "<https://example.com/u>"},
            categories=["digest", "daily"],
            custom_args={"run": "5"},
            mail_settings={
                "sandbox_mode": {"enable": True},
                "footer": {"enable": True, "text": "bye", "html": "<p>bye</p>"},
            },
            postclock={"uncertain": "hold"},
        )
    )
    submission, (message,) = request.submission, request.personalizations
    assert submission.reply_to == (Mailbox("help@example.com", "Help"),)
    assert submission.headers == {"List-Unsubscribe": "<https://example.com/u>"}
    assert submission.categories == ("digest", "daily")
    assert submission.custom_args == {"run": "5"}
    assert submission.footer == Footer("bye", "<p>bye</p>")
    assert submission.uncertain == "hold"
    assert request.sandbox
    assert message == Personalization(
        recipients=(
            Recipient("to", "ada@example.com"),
            Recipient("cc", "Carl@Example.com"),
            Recipient("bcc", "dora@bücher.example", "Dora"),
        ),
        from_=Mailbox("you@mail.example.com"),
        subject="Yours",
        headers={"X-A": "1"},
        substitutions={"-name-": "Ada"},
        template_data={"a": [1, {"b": None}]},
        custom_args={"order": "7"},
        send_at_ms=SOON * 1000,
    )


def test_what_was_parsed_can_be_stored() -> None:
    """The store keeps both records as MessagePack, integers of 64 bits and data of all levels included."""
    data: Any = {"low": -(2**63), "high": 2**64 - 1, "fraction": 1.5}
    for _ in range(60):
        data = {"d": data}
    (message,) = parse(good(personalizations=person(dynamic_template_data=data))).personalizations
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Personalization) == message


def test_a_template_needs_neither_content_nor_subject() -> None:
    """The template has both."""
    request = parse(good(content=None, subject=None, template_id="d-digest"))
    assert request.submission.template_id == "d-digest"
    assert request.submission.contents == ()


def test_a_subject_of_each_personalization_is_enough() -> None:
    """Then the call needs none."""
    assert parse(good(subject=None, personalizations=person(subject="Yours"))).submission.subject == ""


OPTIONAL = [
    *(
        "reply_to",
        "reply_to_list",
        "template_id",
        "attachments",
        "headers",
        "categories",
        "custom_args",
        "send_at",
        "batch_id",
    ),
    *("asm", "ip_pool_name", "sections", "mail_settings", "tracking_settings", "postclock"),
]
MINE = ["cc", "bcc", "from_", "subject", "headers", "substitutions", "dynamic_template_data", "custom_args", "send_at"]


def test_null_is_as_good_as_absent() -> None:
    """SDKs send null for what was not set."""
    nothing = dict.fromkeys(OPTIONAL)
    mine = dict.fromkeys(MINE)
    switches = {"mail_settings": {"sandbox_mode": {"enable": None}, "footer": None}}
    assert parse(good(**nothing, personalizations=person(**mine))) == parse(good(personalizations=person()))
    assert parse(good(**switches)) == parse(good())


def test_unknown_fields_are_ignored() -> None:
    """SendGrid's libraries send more than we use."""
    more = {"unknown": {"a": [1]}, "mail_settings": {"new_thing": {"enable": True}}, "tracking_settings": {"other": 1}}
    assert parse(good(**more)) == parse(good())


@pytest.mark.parametrize(
    ("ahead_ms", "late"),
    [(-(10**12), False), (0, False), (2_000, False), (3_000, True), (86_400_000, True), (MAX_AHEAD_MS, True)],
)
def test_a_time_beyond_two_seconds_needs_the_right_to_schedule(ahead_ms: int, late: bool) -> None:
    """What lies in the past or almost now is sent now; the moment asked for is kept as it was given."""
    request = parse(good(send_at=(NOW + ahead_ms) // 1000))
    assert request.needs_schedule is late
    assert [each.send_at_ms for each in request.personalizations] == [NOW + ahead_ms] * 2


def test_a_personalization_has_its_own_time_before_the_calls() -> None:
    """The call's time is for those that have none."""
    both = [person(send_at=SOON + 60)[0], person()[0]]
    request = parse(good(personalizations=both, send_at=SOON))
    assert [each.send_at_ms for each in request.personalizations] == [(SOON + 60) * 1000, SOON * 1000]


def test_a_call_time_that_nobody_uses_needs_no_right() -> None:
    """Every personalization goes at once, so nothing is scheduled."""
    assert not parse(good(personalizations=person(send_at=1), send_at=SOON)).needs_schedule


def test_an_attachment_is_known_by_the_hash_of_its_bytes() -> None:
    """Equal files are kept once; type and disposition have their defaults."""
    line = base64.b64encode(b"x" * 100).decode()
    folded = f"{line[:76]}\r\n{line[76:]}\n"
    inline = file(content=line, filename="x.PNG", type="image/PNG", disposition="inline", content_id="logo")
    request = parse(good(attachments=[file(), file(content=folded, filename="x.bin"), inline]))
    hello, many = hashlib.sha256(b"Hello").hexdigest(), hashlib.sha256(b"x" * 100).hexdigest()
    assert request.files == {hello: b"Hello", many: b"x" * 100}
    assert request.submission.attachments == (
        Attachment(hello, 5, "hello.txt", "application/octet-stream", "attachment", ""),
        Attachment(many, 100, "x.bin"),
        Attachment(many, 100, "x.PNG", "image/png", "inline", "logo"),
    )


@given(st.binary(max_size=200), st.data())
@settings(deadline=None)
def test_base64_comes_back_with_white_space_anywhere(data: bytes, draw: st.DataObject) -> None:
    """As the standard library writes it, however it was folded."""
    text = base64.b64encode(data).decode()
    for _ in range(3):
        at = draw.draw(st.integers(0, len(text)))
        text = text[:at] + draw.draw(st.sampled_from([" ", "\t", "\r\n"])) + text[at:]
    assert base64_bytes(text) == data


ALLOWED: list[dict[str, Any]] = [
    {"personalizations": person() * 1000},
    {"personalizations": [{"to": people(1000)}]},
    {"personalizations": [person()[0], person()[0]]},
    {"personalizations": person(custom_args={"a": "x" * 6_000}), "custom_args": {"a": "y" * 6_000}},
    {"personalizations": person(substitutions={"a": "x" * 9_999})},
    {"content": [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "y"}]},
    {"content": [{"type": "text/x-amp-html", "value": "x"}]},
    {"content": [], "template_id": "d-1"},
    {"attachments": [file()] * 10},
    {"attachments": [file(filename="x" * 255, type=None, disposition=None, content_id=None)]},
    {"attachments": []},
    {"reply_to_list": people(1000)},
    {"reply_to_list": [], "reply_to": {"email": "a@example.com"}},
    {"headers": {"X-Foo": "", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "X-\u0041": "é"}},
    {"categories": [f"{n}" * 255 for n in range(10)]},
    {"custom_args": {"a": "x" * 9_999}},
    {"subject": "Grüße 😀"},
    {"asm": {}, "ip_pool_name": "", "sections": {}},
    {"mail_settings": {"bypass_list_management": {"enable": False}, "footer": {"enable": False, "text": "x"}}},
    {"tracking_settings": {"click_tracking": {"enable": False, "enable_text": True}, "open_tracking": {}}},
    {"postclock": {}},
]


@pytest.mark.parametrize("change", ALLOWED, ids=range(len(ALLOWED)))
def test_what_is_within_the_limits_is_taken(change: dict[str, Any]) -> None:
    """The limits themselves are inside, and what asks for nothing is ignored."""
    assert parse(good(**change)).personalizations


@pytest.mark.parametrize("change", ALLOWED, ids=range(len(ALLOWED)))
def test_the_fast_and_the_careful_way_give_the_same(change: dict[str, Any]) -> None:
    """An ignored field with an escaped backslash before u0000 looks suspicious and sends the body the careful way."""
    assert parse(good(**change, ignored="\\u0000")) == parse(good(**change))


def test_a_footer_without_enable_is_none() -> None:
    """Only an enabled footer is appended."""
    assert parse(good(mail_settings={"footer": {"enable": False, "text": "x"}})).submission.footer is None


def test_what_is_tracked_is_said_or_left_to_the_tenant() -> None:
    """Each switch alone; what is left out, or null, the tenant decides at hand-off."""
    said = parse(
        good(
            tracking_settings={
                "click_tracking": {"enable": True, "enable_text": False},
                "open_tracking": {"enable": False, "substitution_tag": "%open%"},
            }
        )
    ).submission
    assert (said.click_tracking, said.click_text, said.open_tracking, said.open_tag) == (True, False, False, "%open%")
    assert tracking_as_sent(said) == {
        "click_tracking": {"enable": True, "enable_text": False},
        "open_tracking": {"enable": False, "substitution_tag": "%open%"},
    }
    silent = parse(good(tracking_settings={"click_tracking": {"enable": None}, "open_tracking": {}})).submission
    assert silent == parse(good()).submission
    assert tracking_as_sent(silent) == {}
