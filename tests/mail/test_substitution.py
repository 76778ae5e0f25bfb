"""Legacy substitutions: plain replacement in one pass, whatever keys and values hold."""

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.core.errors import TooLarge
from postclock.mail import substitution
from postclock.mail.substitution import Substitution, substitute


@pytest.mark.parametrize(
    ("text", "pairs", "expected"),
    [
        ("Dear -name-, your code is %code%.", {"-name-": "Ann", "%code%": "7"}, "Dear Ann, your code is 7."),
        ("[%a%][%a%]", {"[%a%]": "x"}, "xx"),
        (".*+", {".*": "\\1"}, "\\1+"),
        ("ab", {"": "never"}, "ab"),
        ("", {"a": "b"}, ""),
        ("nothing here", {"-x-": "y"}, "nothing here"),
        ("^]-\\", {"^": "1", "]": "2", "-": "3", "\\": "4"}, "1234"),
    ],
)
def test_each_key_is_replaced_by_its_value_as_it_stands(text: str, pairs: dict[str, str], expected: str) -> None:
    """Keys and values are text, never patterns."""
    assert substitute(text, pairs) == expected


def test_the_longest_key_wins_where_two_begin() -> None:
    """``-name-`` is not eaten by ``-n``."""
    assert substitute("-name- -nam", {"-n": "no", "-name-": "yes", "-nam": "half"}) == "yes half"


def test_a_value_is_not_searched_again() -> None:
    """One person's name cannot pull in another's data."""
    assert substitute("-a--b-", {"-a-": "-b-", "-b-": "-a-"}) == "-b--a-"


def test_a_made_ready_set_serves_other_values() -> None:
    """The keys are prepared once, the values come with each mail."""
    ready = Substitution(["-a-"])
    assert [ready.apply("x-a-", {"-a-": value}) for value in ("1", "2")] == ["x1", "x2"]


def test_output_has_a_bound_in_bytes() -> None:
    """A value repeated at will does not fill the memory; bytes count, not characters."""
    assert substitute("aa", {"a": "é"}, limit=4) == "éé"
    for text, value in (("aaa", "é"), ("a" * 100_000, "x" * 100_000)):
        with pytest.raises(TooLarge):
            substitute(text, {"a": value}, limit=5 if len(text) == 3 else substitution.MAX_OUTPUT)
    with pytest.raises(TooLarge):
        substitute("plain", {}, limit=4)


def test_hostile_keys_cost_a_bounded_time() -> None:
    """Keys that almost match everywhere end in a refusal, not in an hour of comparing."""
    keys = {"-" * n + "x": "v" for n in range(1, 140)}
    started = perf_counter()
    with pytest.raises(TooLarge, match="too long"):
        substitute("-" * 1_000_000, keys)
    assert perf_counter() - started < 5


@settings(deadline=None, max_examples=150)
@given(
    text=st.text("ab-", max_size=30),
    pairs=st.dictionaries(st.text("ab-", min_size=1, max_size=4), st.text("ab-", max_size=3)),
)
def test_it_does_what_a_naive_scan_does(text: str, pairs: dict[str, str]) -> None:
    """The fast search finds what trying every key at every place finds."""
    out, at = "", 0
    while at < len(text):
        key = max((k for k in pairs if text.startswith(k, at)), key=len, default="")
        out += pairs[key] if key else text[at]
        at += len(key) or 1
    assert substitute(text, pairs) == out
