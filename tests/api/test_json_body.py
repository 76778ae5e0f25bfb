"""What bytes are taken as JSON, within which bounds, and how a refusal names what is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.api import json_body
from postclock.api.json_body import MAX_BODY, MAX_DEPTH, MAX_VALUES, OUT_OF_RANGE, bounded, load, unusual
from postclock.core.errors import Invalid, TooLarge

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=20,
)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize("body", [b"", b"  \r\n"])
def test_an_empty_body_is_refused(body: bytes) -> None:
    """Nothing, or white space, is no request."""
    with pytest.raises(Invalid, match="empty"):
        bounded(body)


def test_a_body_over_the_limit_is_too_large() -> None:
    """The limit itself is taken, one byte more is not."""
    bounded(b"1" * MAX_BODY)
    with pytest.raises(TooLarge):
        bounded(b"1" * (MAX_BODY + 1))


def test_a_body_of_too_many_values_is_refused_before_it_is_decoded() -> None:
    """Millions of empty arrays would cost a hundred times their bytes, side by side or in each other."""
    for body in (b"1," * (MAX_VALUES + 1), (b"[" * 60 + b"]" * 60) * (MAX_VALUES // 60 + 1)):
        with pytest.raises(Invalid, match="values"):
            bounded(body)


def test_a_thousand_messages_to_a_thousand_recipients_are_not_too_many_values() -> None:
    """The documented limits together stay possible within 20 MB."""
    bounded(b'{"email":"u@a.nl"},' * 1_000_000)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"[1] [2]",
        b'{"a": 01}',
        b'{"a": "\n"}',
        b'{"a": "\\x"}',
        b"\xef\xbb\xbf{}",
        b'"\x00"',
    ],
)
def test_what_is_not_json_is_refused_as_a_whole(body: bytes) -> None:
    """The error is about the body, so it names no field."""
    with pytest.raises(Invalid) as refused:
        load(body)
    (error,) = refused.value.errors
    assert error.field is None
    assert error.message.startswith("The body is not valid JSON")


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', '{"a": "é"}'.encode("latin-1")])
def test_a_body_that_is_not_utf8_is_refused(body: bytes) -> None:
    """Other encodings are not guessed at, and encoded surrogates are no UTF-8."""
    assert unusual(body)
    with pytest.raises(Invalid, match="UTF-8"):
        load(body)


@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-9223372036854775809", "1e999", "-1e999", "NaN", "-Infinity", "9" * 5000]
)
def test_a_number_that_cannot_be_kept_is_marked(number: str) -> None:
    """It stands as a mark, so that the walk over the body can name its field."""
    assert load(b'{"a": %b}' % number.encode()) == {"a": OUT_OF_RANGE}


@pytest.mark.parametrize("number", ["18446744073709551615", "-9223372036854775808", "1e300", "-0.5", "0"])
def test_a_number_of_64_bits_is_itself(number: str) -> None:
    """The bounds themselves are inside."""
    assert load(number.encode()) == json.loads(number)


def test_nesting_beyond_the_interpreter_names_the_top_level_field() -> None:
    """A hundred thousand brackets are answered, not crashed on."""
    deep = b'{"a": "x:[", "b": {"c": 1}, "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(Invalid) as refused:
        load(deep)
    assert refused.value.errors[0].field == "deep"


@pytest.mark.parametrize(("depth", "odd"), [(MAX_DEPTH, False), (MAX_DEPTH + 1, True), (5_000, True)])
def test_deep_nesting_is_unusual_wherever_it_is(depth: int, odd: bool) -> None:
    """The cheap look sees depth also in fields that a typed decoder skips."""
    assert unusual(nested(depth)) is odd


def test_brackets_in_strings_are_no_nesting() -> None:
    """A text full of brackets is text."""
    assert not unusual(json.dumps({"a": "[{" * 500, "b": '\\"[[' * 100}).encode())


def test_brackets_in_strings_hide_no_nesting_in_fields_that_are_skipped() -> None:
    """Strings are only left out where they make a body look deeper."""
    assert not unusual(b'["' + b"[" * 70 + b'\\"\\\\", "' + b"{" * 70 + b'"]')
    assert unusual(b'["' + b"]" * 70 + b'"' + b",[1" * 150 + b"]" * 151)


def test_wide_bodies_are_usual() -> None:
    """Thousands of objects side by side are not deep."""
    assert not unusual(json.dumps([{"to": [{"email": "a@example.com"}]}] * 1000).encode())


def test_an_escaped_nul_is_unusual() -> None:
    """U+0000 can only come as an escape, which the cheap look finds anywhere."""
    assert unusual(b'{"skipped": "\\u0000"}')


def test_the_last_of_repeated_keys_counts() -> None:
    """As most decoders do it."""
    assert load(b'{"a": 1, "a": 2}') == {"a": 2}


@settings(deadline=None)
@given(JSON)
def test_load_is_the_inverse_of_dumps(value: Any) -> None:
    """Whatever fits the bounds comes back as it was."""
    assert load(json.dumps(value).encode()) == value
    assert load(json.dumps(value, ensure_ascii=False).encode("utf-8")) == value


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]":,\\0u1e.-Naftrue ', max_size=60).map(str.encode))
def test_any_bytes_are_loaded_or_refused(body: bytes) -> None:
    """Nothing but Invalid comes out, also of garbage, and it has a reason."""
    try:
        load(body)
    except Invalid as refused:
        told = refused.errors
    else:
        told = ()
    assert all(error.message for error in told)


def test_the_depth_of_nesting_is_told_in_one_sentence() -> None:
    """The sentence holds the limit."""
    assert str(MAX_DEPTH) in json_body.too_deep()
