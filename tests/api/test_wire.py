"""The shape of bodies against types: every bad field is named at once, and what is well formed survives."""

import json
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest

from postclock.api.findings import MAX_COUNTED, MAX_FIELD, MAX_LISTED
from postclock.api.scaisend.wire import MailSend
from postclock.api.shape import collect, decode, decode_partly
from postclock.core.errors import FieldError, Invalid


class Colour(Enum):
    RED = "red"


class Wheel(msgspec.Struct):
    size: int
    spokes: Annotated[int, msgspec.Meta(ge=1, le=40)] = 32


class Bicycle(msgspec.Struct, rename={"from_": "from"}):
    """A body of another endpoint, with one field of each kind."""

    wheels: Annotated[list[Wheel], msgspec.Meta(min_length=1, max_length=3)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
    from_: str | None = None
    colour: Colour = Colour.RED
    gears: Literal["hub", "chain"] | None = None
    price: float | int | None = None
    sold: bool = False
    tags: dict[str, str] | None = None
    note: str | int | None = None
    free: Any = None


GOOD: dict[str, Any] = {"wheels": [{"size": 28}], "name": "Swift"}


def told(body: Any) -> list[str | None]:
    with pytest.raises(Invalid) as refused:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode(), Bicycle)
    assert all(error.message for error in refused.value.errors)
    return [error.field for error in refused.value.errors]


def test_a_good_body_is_decoded() -> None:
    """Unknown fields are dropped."""
    assert decode(json.dumps(GOOD | {"bell": [1]}).encode(), Bicycle) == Bicycle([Wheel(28)], "Swift")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"wheels": None}, "wheels"),
        ({"wheels": {}}, "wheels"),
        ({"wheels": []}, "wheels"),
        ({"wheels": [{"size": 1}] * 4}, "wheels"),
        ({"wheels": [{"size": 28}, {"size": "28"}]}, "wheels.1.size"),
        ({"wheels": [{"size": 28}, {}]}, "wheels.1.size"),
        ({"wheels": [{"size": 28}, None]}, "wheels.1"),
        ({"wheels": [{"size": True}]}, "wheels.0.size"),
        ({"wheels": [{"size": 28.0}]}, "wheels.0.size"),
        ({"wheels": [{"size": 2**64}]}, "wheels.0.size"),
        ({"wheels": [{"size": 28, "spokes": 0}]}, "wheels.0.spokes"),
        ({"name": ""}, "name"),
        ({"name": "Lightning"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"from": []}, "from"),
        ({"colour": "blue"}, "colour"),
        ({"gears": "belt"}, "gears"),
        ({"gears": 1}, "gears"),
        ({"price": "1"}, "price"),
        ({"price": float("nan")}, "price"),
        ({"sold": 1}, "sold"),
        ({"tags": {"a": "x", "b": 2}}, "tags.b"),
        ({"tags": {"a": None}}, "tags.a"),
        ({"tags": []}, "tags"),
        ({"note": []}, "note"),
        ({"free": {"a": [1, 2**64]}}, "free.a.1"),
        ({"free": {"a": [float("inf")]}}, "free.a.0"),
        ({"free": {"a": "\x00"}}, "free.a"),
        ({"free": {"a": "\udc00"}}, "free.a"),
        ({"unknown": {"a": ["\x00"]}}, "unknown.a.0"),
        ({"unknown": {"a": ["\ud800"]}}, "unknown.a.0"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], field: str) -> None:
    """One mistake, one error, with the dotted path a person can follow."""
    assert told(GOOD | change) == [field]


@pytest.mark.parametrize(
    "change",
    [
        {"from": None, "gears": None, "price": None, "tags": None, "note": None},
        {"sold": None, "colour": None},
        {"price": 1, "note": 1, "free": [1, {"a": 2.5}, None]},
        {"note": "one", "gears": "hub", "colour": "red", "tags": {"": ""}},
        {"unknown": 2**70, "other": float(10**300)},
    ],
)
def test_what_is_allowed_is_taken(change: dict[str, Any]) -> None:
    """Null is as good as absent, and of what nothing keeps the size does not matter."""
    body = json.dumps(GOOD | change).encode()
    assert decode(body, Bicycle).name == "Swift"
    assert collect(json.loads(body), Bicycle) == []


def test_all_bad_fields_come_at_once() -> None:
    """Nobody has to mend a request one error at a time."""
    body = {"wheels": [{"size": "x"}, {"size": 1, "spokes": 41}], "sold": "no", "tags": {"k": 1}, "gears": "belt"}
    assert told(body) == ["wheels.0.size", "wheels.1.spokes", "sold", "tags.k", "gears", "name"]


def test_what_is_no_object_is_refused_as_a_whole() -> None:
    """There is no field to name."""
    for body in (b"[]", b"null", b'"x"', b"5"):
        assert told(body) == [None]


def test_nesting_beyond_the_limit_is_named_where_it_is() -> None:
    """Level 64 is taken, level 65 is not; also in fields that are ignored."""
    for field in ("free", "unknown"):
        value: Any = []
        for _ in range(62):
            value = [value]
        decode(json.dumps(GOOD | {field: value}).encode(), Bicycle)
        (named,) = told(GOOD | {field: [value]})
        assert named is not None
        assert named.startswith(f"{field}.0.0")


def test_an_empty_list_for_an_object_is_absent_where_asked_for() -> None:
    """PHP writes an empty map as a list; required objects and lists with something in them stay refused."""
    body = json.dumps(GOOD | {"tags": []}).encode()
    assert decode(body, Bicycle, empty_list_is_absent=True).tags is None
    with pytest.raises(Invalid):
        decode(json.dumps(GOOD | {"tags": ["x"]}).encode(), Bicycle, empty_list_is_absent=True)


def test_a_partly_good_body_keeps_its_places() -> None:
    """Bad items of a list have a stand-in, so that later ones keep their index; bad optional fields are absent."""
    body = {"wheels": ["x", {"size": 26}], "name": "Swift", "from": 5, "tags": {"a": 1, "b": "x"}}
    value, findings = decode_partly(json.dumps(body).encode(), Bicycle)
    assert value == Bicycle([Wheel(0), Wheel(26)], "Swift", tags={"b": "x"})
    assert [error.field for error in findings.errors()] == ["wheels.0", "from", "tags.a"]


def test_too_many_errors_are_counted() -> None:
    """At most a hundred are listed; one last entry says how many more there are."""
    body = json.dumps(GOOD | {"tags": {str(n): n for n in range(MAX_LISTED + 7)}}).encode()
    with pytest.raises(Invalid) as refused:
        decode(body, Bicycle)
    assert len(refused.value.errors) == MAX_LISTED + 1
    assert refused.value.errors[-1] == FieldError("\u2026and 7 more.")


def test_a_path_made_of_keys_from_outside_can_be_printed() -> None:
    """Controls and lone surrogates are replaced and the path is cut."""
    (short,) = told(GOOD | {"tags": {"a\r\n\ud800": 1}})[:1]
    assert short == "tags.a\ufffd\ufffd\ufffd"
    (long,) = told(GOOD | {"tags": {"k" * 5000: 1}})
    assert long is not None
    assert len(long) == MAX_FIELD


def test_the_rules_of_types_the_walk_does_not_know_are_told_by_the_decoder() -> None:
    """A pattern, a multiple, a date: msgspec refuses, and its path becomes ours."""

    class Odd(msgspec.Struct):
        items: list[Annotated[int, msgspec.Meta(multiple_of=2)]]

    with pytest.raises(Invalid) as refused:
        decode(b'{"items": [2, 3]}', Odd)
    assert [error.field for error in refused.value.errors] == ["items.1"]
    assert [error.field for error in collect({"items": [2, 3]}, Odd)] == ["items.1"]


def test_the_fast_and_the_careful_way_agree() -> None:
    """A body that only looks unusual (an escaped backslash before u0000) is taken like any other."""
    body = rb'{"wheels": [{"size": 28}], "name": "Swift", "from": "\\u0000"}'
    assert decode(body, Bicycle).from_ == "\\u0000"


def test_the_documented_call_has_the_shape() -> None:
    """The example of the documentation, with a field only SendGrid's own service knows."""
    body = {
        "personalizations": [{"to": [{"email": "ada@example.com"}], "substitution_wrappers": ["%", "%"]}],
        "from": {"email": "hello@mail.example.com"},
        "subject": "Weekly digest",
        "content": [{"type": "text/plain", "value": "..."}],
        "send_at": 1714060800,
    }
    call = decode(json.dumps(body).encode(), MailSend)
    assert (call.from_.email, call.send_at) == ("hello@mail.example.com", 1714060800)


def test_a_key_of_megabytes_is_not_copied_for_its_children() -> None:
    """Paths stop growing where they are cut, so a hostile body costs no more than its bytes."""
    body = json.dumps(GOOD | {"free": {"k" * 5_000_000: ["\x00"] * 20_000}}).encode()
    fields = told(body)
    assert len(fields) == MAX_LISTED + 1
    assert {len(field or "") for field in fields} == {MAX_FIELD, 0}


def test_counting_stops_where_nobody_reads_on() -> None:
    """A million mistakes in one body are not a million pieces of work."""
    body = json.dumps(GOOD | {"tags": {str(n): n for n in range(MAX_COUNTED + 5)}}).encode()
    with pytest.raises(Invalid) as refused:
        decode(body, Bicycle)
    assert refused.value.errors[-1].message == f"\u2026and at least {MAX_COUNTED - MAX_LISTED} more."
    assert len(collect(json.loads(body), Bicycle)) == MAX_LISTED + 1
