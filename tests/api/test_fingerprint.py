"""What counts as the same request under an idempotency key."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.api.fingerprint import NOT_PART, VERSION, fingerprint
from postclock.core.errors import Invalid


def same(one: str, other: str) -> bool:
    return fingerprint(one.encode()) == fingerprint(other.encode())


def test_a_fingerprint_is_the_version_and_a_sha256() -> None:
    """33 bytes, the first of which says how the others were made."""
    assert fingerprint(b"{}")[:1] == VERSION
    assert len(fingerprint(b"{}")) == 33


def test_the_order_of_keys_and_white_space_do_not_count() -> None:
    """At any depth."""
    assert same('{"a": {"x": 1, "y": [1, 2]}, "b": null}', '{"b":null,"a":{"y":[1,2],"x":1}}')


def test_the_order_of_a_list_counts() -> None:
    """Personalizations make messages in their order."""
    assert not same("[1,2]", "[2,1]")


@pytest.mark.parametrize("other", ["1.0", "1e0", '"1"', "10", "true", "null", '"\\u00001"'])
def test_numbers_count_as_they_were_written(other: str) -> None:
    """No number is rounded or rewritten on its way into the hash."""
    assert (other == '"\\u00001"') is same('{"a":1}', f'{{"a":{other}}}')


def test_a_number_beyond_a_double_keeps_its_digits() -> None:
    """Two long numbers that a double would make equal differ."""
    assert not same("[0.10000000000000000001]", "[0.10000000000000000002]")
    assert not same("[" + "1" * 5000 + "]", "[" + "1" * 4999 + "2]")


def test_null_is_not_absent() -> None:
    """The raw body counts, not what it means."""
    assert not same('{"a":null}', "{}")


def test_the_time_and_the_key_do_not_count_at_the_top() -> None:
    """A client that tries again computes both anew; deeper fields of these names are data."""
    assert same('{"a":1,"scheduled_at":"x","idempotency_key":"k"}', '{"a":1,"scheduled_at":5}')
    assert not same('{"a":{"scheduled_at":1}}', '{"a":{"scheduled_at":2}}')
    assert not same('{"send_at":1}', '{"send_at":2}')


def test_escapes_do_not_count() -> None:
    """A character is the same however it is written."""
    assert same('{"a":"\\u00e9\\ud83d\\ude00\\/"}', '{"a":"é😀/"}')


def test_a_body_that_is_no_json_is_refused() -> None:
    """There is nothing to compare."""
    for body in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(Invalid):
            fingerprint(body)


def test_the_canonical_form_is_pinned() -> None:
    """Stored fingerprints outlive a release: a change here needs a new version byte."""
    body = json.dumps({"b": [1, 2.5, None], "a": "é"}).encode()
    assert fingerprint(body).hex() == "0184afbf1d4853005f9dd0c81cb1819b53ce86978340764c062160f6e8356665de"


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None)
@given(_JSON, st.booleans())
def test_the_quick_way_writes_the_same_text(value: Any, as_ascii: bool) -> None:
    """Which of the two ways a body goes shows nowhere: not by its escapes, its white space, or its controls."""
    body = json.dumps(value, ensure_ascii=as_ascii, indent=1).encode()
    if isinstance(value, dict):
        for field in NOT_PART:
            value.pop(field, None)
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    assert fingerprint(body) == VERSION + hashlib.sha256(text).digest()


@pytest.mark.parametrize("control", [*range(1, 32), 127])
def test_controls_are_written_the_same(control: int) -> None:
    """Each of them, with a number beside it and without."""
    value = ["plain", chr(control)]
    text = json.dumps(value, separators=(",", ":")).encode("ascii")
    assert fingerprint(json.dumps(value).encode()) == VERSION + hashlib.sha256(text).digest()
