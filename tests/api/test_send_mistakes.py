"""``POST /v3/mail/send``: every mistake is refused by the name of its field, all of them at once, whatever was sent."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.api.header_line import MAX_NAME, MAX_SUBJECT
from postclock.api.scaisend.literals import MAX_AHEAD_MS, RESERVED_HEADERS
from postclock.api.scaisend.translate_send import parse_send
from postclock.core.errors import Invalid, TooLarge
from tests.support.sends import NOW, SOON, file, good, outcome, parse, people, person, told

NOT_BASE64 = ["SGVsbG8", "SGVsbG8=x", "SGVs*G8=", "SGVsbG8==", "====", "é", "_-_-", "SGVs\u2003bG8=", "A"]

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"personalizations": None}, "personalizations"),
    ({"personalizations": []}, "personalizations"),
    ({"personalizations": {}}, "personalizations"),
    ({"personalizations": person() * 1001}, "personalizations"),
    ({"personalizations": [1]}, "personalizations.0"),
    ({"personalizations": [{}]}, "personalizations.0.to"),
    ({"personalizations": [{"to": []}]}, "personalizations.0.to"),
    ({"personalizations": [{"to": "ada@example.com"}]}, "personalizations.0.to"),
    ({"personalizations": [{"to": ["ada@example.com"]}]}, "personalizations.0.to.0"),
    ({"personalizations": [{"to": [{}]}]}, "personalizations.0.to.0.email"),
    ({"personalizations": [{"to": [{"email": "ada"}]}]}, "personalizations.0.to.0.email"),
    ({"personalizations": [{"to": [*people(2), {"email": "a b@example.com"}]}]}, "personalizations.0.to.2.email"),
    ({"personalizations": [{"to": [{"email": "a@example.com\r\nBcc: b"}]}]}, "personalizations.0.to.0.email"),
    ({"personalizations": [{"to": [{"email": "a@example.com", "name": "A\nB"}]}]}, "personalizations.0.to.0.name"),
    ({"personalizations": [{"to": [{"email": "a@example.com", "name": "N" * (MAX_NAME + 1)}]}]}, "personalizations.0.to.0.name"),
    ({"personalizations": [{"to": people(1001)}]}, "personalizations.0.to"),
    ({"personalizations": person(cc=people(1001))}, "personalizations.0.cc"),
    ({"personalizations": person(bcc=people(1001))}, "personalizations.0.bcc"),
    ({"personalizations": person(cc=people(600), bcc=[{"email": f"b{n}@example.com"} for n in range(400)])}, "personalizations.0"),
    ({"personalizations": person(cc=[{"email": "ADA@Example.com"}])}, "personalizations.0.cc.0.email"),
    ({"personalizations": [{"to": [{"email": "a@bücher.example"}, {"email": "A@xn--bcher-kva.example"}]}]}, "personalizations.0.to.1.email"),
    ({"personalizations": person(bcc=[{"email": "x"}])}, "personalizations.0.bcc.0.email"),
    ({"personalizations": person(from_={"email": "x"})}, "personalizations.0.from.email"),
    ({"personalizations": person(subject="a\r\nb")}, "personalizations.0.subject"),
    ({"personalizations": person(subject=5)}, "personalizations.0.subject"),
    ({"personalizations": person(headers={"Subject": "x"})}, "personalizations.0.headers.Subject"),
    ({"personalizations": person(headers={"X-A": 1})}, "personalizations.0.headers.X-A"),
    ({"personalizations": person(substitutions={"a": "x" * 10_000})}, "personalizations.0.substitutions"),
    ({"personalizations": person(substitutions={"a": 1})}, "personalizations.0.substitutions.a"),
    ({"personalizations": person(custom_args={"a": 1})}, "personalizations.0.custom_args.a"),
    ({"personalizations": person(custom_args={"a": "x" * 6_000}), "custom_args": {"b": "x" * 6_000}}, "personalizations.0.custom_args"),
    ({"personalizations": person(dynamic_template_data=[])}, "personalizations.0.dynamic_template_data"),
    ({"personalizations": person(dynamic_template_data="x")}, "personalizations.0.dynamic_template_data"),
    ({"personalizations": person(dynamic_template_data={"a": ["\x00"]})}, "personalizations.0.dynamic_template_data.a.0"),
    ({"personalizations": person(dynamic_template_data={"a": {"b": 2**64}})}, "personalizations.0.dynamic_template_data.a.b"),
    ({"personalizations": person(dynamic_template_data={"a": -(2**63) - 1})}, "personalizations.0.dynamic_template_data.a"),
    ({"personalizations": person(dynamic_template_data={"a": float("nan")})}, "personalizations.0.dynamic_template_data.a"),
    ({"personalizations": person(dynamic_template_data={"a": "\ud800"})}, "personalizations.0.dynamic_template_data.a"),
    ({"personalizations": person(send_at=True)}, "personalizations.0.send_at"),
    ({"personalizations": person(send_at=SOON + 0.5)}, "personalizations.0.send_at"),
    ({"personalizations": person(send_at=str(SOON))}, "personalizations.0.send_at"),
    ({"personalizations": person(send_at=-1)}, "personalizations.0.send_at"),
    ({"personalizations": person(send_at=SOON * 1000)}, "personalizations.0.send_at"),
    ({"from_": None}, "from"),
    ({"from_": "hello@mail.example.com"}, "from"),
    ({"from_": {"name": "Shop"}}, "from.email"),
    ({"from_": {"email": "hello"}}, "from.email"),
    ({"from_": {"email": "hello@mail.example.com", "name": "a\x00b"}}, "from.name"),
    ({"from_": {"email": "hello@mail.example.com", "name": "a\rb"}}, "from.name"),
    ({"reply_to": {"email": "x"}}, "reply_to.email"),
    ({"reply_to": {"email": "a@example.com"}, "reply_to_list": people(1)}, "reply_to_list"),
    ({"reply_to_list": [{"email": "a@example.com"}, {"email": "A@EXAMPLE.COM"}]}, "reply_to_list.1.email"),
    ({"reply_to_list": people(1001)}, "reply_to_list"),
    ({"subject": None}, "subject"),
    ({"subject": ""}, "subject"),
    ({"subject": "a\nb"}, "subject"),
    ({"subject": "\ud83d"}, "subject"),
    ({"subject": "x" * (MAX_SUBJECT + 1)}, "subject"),
    ({"content": None}, "content"),
    ({"content": []}, "content"),
    ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
    ({"content": [{"type": "text/plain"}]}, "content.0.value"),
    ({"content": [{"type": "", "value": "x"}]}, "content.0.type"),
    ({"content": [{"type": "text/html; charset=utf-8", "value": "x"}]}, "content.0.type"),
    ({"content": [{"type": "text/html\r\nX: y", "value": "x"}]}, "content.0.type"),
    ({"content": [{"type": "text/plain", "value": "x"}, {"type": "TEXT/plain", "value": "y"}]}, "content.1.type"),
    ({"content": [{"type": f"text/x{n}", "value": "x"} for n in range(11)]}, "content"),
    ({"template_id": "d-1"}, "content"),
    ({"template_id": "digest", "content": None}, "template_id"),
    ({"template_id": "", "content": None}, "template_id"),
    ({"template_id": "d-" + "x" * 300, "content": None}, "template_id"),
    ({"template_id": 5, "content": None, "subject": None}, "template_id"),
    ({"attachments": [file()] * 11}, "attachments"),
    ({"attachments": [file(content="")]}, "attachments.0.content"),
    *(({"attachments": [file(), file(content=text)]}, "attachments.1.content") for text in NOT_BASE64),
    ({"attachments": [file(filename="")]}, "attachments.0.filename"),
    ({"attachments": [file(filename="x" * 256)]}, "attachments.0.filename"),
    ({"attachments": [file(filename="a\nb")]}, "attachments.0.filename"),
    ({"attachments": [{"content": "SGVsbG8="}]}, "attachments.0.filename"),
    ({"attachments": [file(type="pdf")]}, "attachments.0.type"),
    ({"attachments": [file(type="text/csv; charset=utf-8")]}, "attachments.0.type"),
    ({"attachments": [file(disposition="inside")]}, "attachments.0.disposition"),
    ({"attachments": [file(disposition="inline")]}, "attachments.0.content_id"),
    ({"attachments": [file(content_id="<logo>")]}, "attachments.0.content_id"),
    ({"headers": {"X-Foo": "a\r\nBcc: b@example.com"}}, "headers.X-Foo"),
    ({"headers": {"X Foo": "a"}}, "headers.X Foo"),
    ({"headers": {"X:Foo": "a"}}, "headers.X:Foo"),
    ({"headers": {"X-" + "a" * 77: "a"}}, "headers.X-" + "a" * 77),
    ({"headers": {"X-Foo": None}}, "headers.X-Foo"),
    ({"headers": {"X-A": "x" * 6_000, "X-B": "x" * 6_000}}, "headers"),
    *(({"headers": {name.title(): "x"}}, f"headers.{name.title()}") for name in sorted(RESERVED_HEADERS)),
    ({"categories": [f"c{n}" for n in range(11)]}, "categories"),
    ({"categories": ["a", "b", "a"]}, "categories.2"),
    ({"categories": ["a", "x" * 256]}, "categories.1"),
    ({"categories": [""]}, "categories.0"),
    ({"categories": [1]}, "categories.0"),
    ({"categories": "digest"}, "categories"),
    ({"custom_args": {"a": 5}}, "custom_args.a"),
    ({"custom_args": {"a": "é" * 5_000}}, "custom_args"),
    ({"send_at": False}, "send_at"),
    ({"send_at": 1e9}, "send_at"),
    ({"send_at": -5}, "send_at"),
    ({"send_at": 2**70}, "send_at"),
    ({"send_at": (NOW + MAX_AHEAD_MS) // 1000 + 1}, "send_at"),
    ({"batch_id": 5}, "batch_id"),
    ({"batch_id": ""}, "batch_id"),
    ({"batch_id": "b" * 256}, "batch_id"),
    ({"asm": {"group_id": 1}}, "asm"),
    ({"ip_pool_name": "pool"}, "ip_pool_name"),
    ({"sections": {":a:": "b"}}, "sections"),
    ({"mail_settings": {"sandbox_mode": {"enable": "true"}}}, "mail_settings.sandbox_mode.enable"),
    ({"mail_settings": {"bypass_list_management": {"enable": True}}}, "mail_settings.bypass_list_management"),
    ({"mail_settings": {"bypass_bounce_management": {"enable": True}}}, "mail_settings.bypass_bounce_management"),
    ({"mail_settings": {"bypass_spam_management": {"enable": True}}}, "mail_settings.bypass_spam_management"),
    ({"mail_settings": {"bypass_unsubscribe_management": {"enable": True}}}, "mail_settings.bypass_unsubscribe_management"),
    ({"mail_settings": {"bcc": {"enable": True}}}, "mail_settings.bcc"),
    ({"mail_settings": {"spam_check": {"enable": True}}}, "mail_settings.spam_check"),
    ({"tracking_settings": {"click_tracking": {"enable": "yes"}}}, "tracking_settings.click_tracking.enable"),
    ({"tracking_settings": {"open_tracking": {"substitution_tag": "x" * 101}}}, "tracking_settings.open_tracking.substitution_tag"),
    ({"tracking_settings": {"subscription_tracking": {"enable": True}}}, "tracking_settings.subscription_tracking"),
    ({"tracking_settings": {"ganalytics": {"enable": True}}}, "tracking_settings.ganalytics"),
    ({"postclock": {"uncertain": "never"}}, "postclock.uncertain"),
    ({"unknown": "\x00"}, "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), MISTAKES, ids=[f"{field}-{n}" for n, (_, field) in enumerate(MISTAKES)])
def test_a_mistake_is_refused_by_the_name_of_its_field(change: dict[str, Any], field: str) -> None:
    """One mistake, one error, whoever finds it: the shape or the meaning."""
    assert told(good(**change)) == [field]


def test_mistakes_in_several_personalizations_are_all_told() -> None:
    """The shape's and the meaning's together, each once."""
    body = good(
        personalizations=[
            person(send_at="tomorrow")[0],
            person()[0],
            {"to": [{"email": "bob@example.com"}, {"email": "no"}], "send_at": -1},
            {"to": [{"name": "Nobody"}]},
        ],
        subject=None,
        categories=["a", 5],
        content=[{"type": "text/plain", "value": ""}],
    )
    assert sorted(str(field) for field in told(body)) == [
        "categories.1",
        "content.0.value",
        "personalizations.0.send_at",
        "personalizations.2.send_at",
        "personalizations.2.to.1.email",
        "personalizations.3.to.0.email",
        "subject",
    ]


def test_a_thousand_mistakes_are_counted() -> None:
    """A hundred are listed, the rest has a number."""
    with pytest.raises(Invalid) as refused:
        parse(good(personalizations=[{"to": [{"email": "no"}]}] * 1000))
    assert len(refused.value.errors) == 101
    assert refused.value.errors[-1].message == "\u2026and 900 more."


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'"x"'])
def test_what_is_no_json_object_is_refused_as_a_whole(body: bytes) -> None:
    """There is no field to name."""
    assert told(body) == [None]


@pytest.mark.parametrize("levels", [62, 500, 50_000])
@pytest.mark.parametrize(
    ("opening", "closing"), [('{"d":', "}"), ('{"s":"}","d":', ',"t":"{"}')], ids=["plain", "hidden"]
)
def test_deep_template_data_is_refused_by_name(levels: int, opening: str, closing: str) -> None:
    """Beyond sixty-four levels, the body included; brackets in strings hide nothing."""
    body = json.dumps(good(personalizations=person(dynamic_template_data="DATA")))
    (field,) = told(body.replace('"DATA"', opening * levels + "1" + closing * levels).encode())
    assert field is not None
    assert field.startswith("personalizations.0.dynamic_template_data.d" if levels < 200 else "personalizations")


def test_a_call_over_the_limit_is_too_large() -> None:
    """The documented 20 MB."""
    with pytest.raises(TooLarge):
        parse_send(b" " * (20 * 1024 * 1024 + 1), NOW)


SCRAPS: st.SearchStrategy[Any] = st.sampled_from([
    None, True, 0, -1, 1.5, 2**70, "", "x", "\x00", "\ud800", "d-1", "a@example.com", "a\r\nb", [], {}, [None], {"email": 1},
    {"enable": True}, [{"email": "a@example.com"}], {"a": {"b": []}}, float("nan"),
])  # fmt: skip

FULL = good(
    personalizations=[
        {
            "to": [{"email": "ada@example.com", "name": "Ada"}, {"email": "eve@example.com"}],
            "cc": people(2),
            "subject": "s",
            "headers": {"X-A": "1"},
            "substitutions": {"a": "b"},
            "dynamic_template_data": {"a": [1, {"b": "c"}]},
            "custom_args": {"a": "b"},
            "send_at": SOON,
            "from": {"email": "a@example.com"},
        },
        {"to": [{"email": "bob@example.com"}]},
    ],
    reply_to={"email": "a@example.com"},
    attachments=[file(disposition="inline", content_id="a", type="text/plain")],
    headers={"X-B": "2"},
    categories=["a"],
    custom_args={"c": "d"},
    send_at=SOON,
    batch_id="bat_1",
    mail_settings={"sandbox_mode": {"enable": False}, "footer": {"enable": True, "text": "x"}},
    tracking_settings={"click_tracking": {"enable": False}},
    postclock={"uncertain": "hold"},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(places(FULL)[1:]), SCRAPS | st.just("DELETE")), min_size=1, max_size=4))
def test_any_damage_is_taken_or_refused_with_a_reason(damage: list[tuple[tuple[Any, ...], Any]]) -> None:
    """No body raises anything but Invalid, and Invalid never comes without a sentence."""
    body = copy.deepcopy(FULL)
    for path, scrap in damage:
        spot: Any = body
        try:
            for key in path[:-1]:
                spot = spot[key]
            if scrap == "DELETE":
                del spot[path[-1]]
            else:
                spot[path[-1]] = copy.deepcopy(scrap)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier piece of damage took the place away
    result = outcome(json.dumps(body).encode())
    if isinstance(result, Invalid):
        assert result.errors
        assert all(error.message and (error.field is None or error.field.isprintable()) for error in result.errors)
        json.dumps([[error.field, error.message] for error in result.errors], ensure_ascii=False).encode()
    else:
        msgspec.msgpack.encode((result.submission, result.personalizations))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_bytes_are_taken_or_refused(draw: st.DataObject) -> None:
    """The same for bytes that are cut, doubled and overwritten."""
    body = bytearray(json.dumps(FULL).encode())
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, len(body)))
        junk = draw.draw(
            st.sampled_from([b"", b"\x00", b"\xff", b'"', b"[", b"}", b",", b"\\u0000", b"\\ud800", b"9" * 25, b"null"])
        )
        body[at : at + draw.draw(st.integers(0, 4))] = junk
    result = outcome(bytes(body))
    assert not isinstance(result, Invalid) or result.errors
