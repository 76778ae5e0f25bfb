"""Ids: rising, never twice, and the same again from their public form."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.core import ids
from postclock.core.errors import NotFound
from tests.support.clock import MovedClock

IDENT = st.integers(0, 2**63 - 1)
WEEK = st.integers(0, 32**3 - 1)


def test_they_rise_and_tell_when_they_were_made() -> None:
    """Within a millisecond and over many."""
    clock = MovedClock()
    source = ids.IdSource(clock, 5)
    made = [source.next() for _ in range(100)]
    clock.move(0.001)
    made += source.take(100)
    assert made == sorted(set(made))
    assert ids.ms_of(made[0]) == clock.now_ms() - 1
    assert ids.ms_of(made[-1]) == clock.now_ms()


def test_more_than_a_millisecond_holds_go_on_in_the_next() -> None:
    """Ten thousand at once, on a clock that stands still: all different, rising, and the next ones after them."""
    source = ids.IdSource(MovedClock(), 0)
    made = source.take(10_000)
    assert made == sorted(set(made))
    assert source.next() > made[-1]


@given(steps=st.lists(st.tuples(st.integers(-5_000, 5_000), st.integers(1, 50)), max_size=30))
@settings(deadline=None, max_examples=50)
def test_a_clock_that_goes_back_makes_none_twice(steps: list[tuple[int, int]]) -> None:
    """Whatever the clock does, one source's ids only rise."""
    clock = MovedClock()
    source = ids.IdSource(clock, 1)
    made: list[int] = []
    for step, n in steps:
        clock.jump(step / 1000)
        made += source.take(n)
    assert made == sorted(set(made))


def test_two_nodes_never_make_the_same() -> None:
    """The same clock, the same millisecond."""
    clock = MovedClock()
    one, other = ids.IdSource(clock, 1), ids.IdSource(clock, ids.MAX_NODE)
    assert not set(one.take(5_000)) & set(other.take(5_000))


@pytest.mark.parametrize("node", [-1, ids.MAX_NODE + 1])
def test_a_node_beyond_its_bits_is_a_mistake(node: int) -> None:
    """It would run into the milliseconds."""
    with pytest.raises(ValueError, match="node"):
        ids.IdSource(MovedClock(), node)


@given(IDENT, WEEK)
@settings(deadline=None)
def test_the_public_form_comes_back(ident: int, week: int) -> None:
    """As it was, in lower case, and with the letters people mistake."""
    public = ids.public_message_id(week, ident)
    assert ids.parse_message_id(public) == (week, ident)
    assert ids.parse_message_id(public[:4] + public[4:].lower()) == (week, ident)
    assert ids.parse_message_id(public[:4] + public[4:].replace("0", "O").replace("1", "l")) == (week, ident)
    assert ids.parse_id("bat_", ids.public_id("bat_", ident)) == ident


@given(st.tuples(IDENT, WEEK), st.tuples(IDENT, WEEK))
@settings(deadline=None)
def test_public_ids_sort_as_the_numbers_do(one: tuple[int, int], other: tuple[int, int]) -> None:
    """By week, then by id."""
    texts = [ids.public_message_id(week, ident) for ident, week in (one, other)]
    assert (texts[0] < texts[1]) == ((one[1], one[0]) < (other[1], other[0]))


@given(st.text(max_size=30))
@settings(deadline=None)
def test_what_is_no_id_is_not_found(text: str) -> None:
    """Nothing else is ever raised."""
    for read in (ids.parse_message_id, lambda t: ids.parse_id("bat_", t)):
        for attempt in (text, "msg_" + text, "bat_" + text):
            try:
                read(attempt)
            except NotFound:
                continue


@pytest.mark.parametrize(
    "text",
    ["", "msg_", "msg_" + "0" * 15, "msg_" + "0" * 17, "bat_" + "0" * 16, "msg_000" + "Z" * 13, "msg_" + "U" * 16],
)
def test_wrong_prefix_length_range_or_letter(text: str) -> None:
    """Each is told as not found."""
    with pytest.raises(NotFound):
        ids.parse_message_id(text)


def test_a_week_is_seven_days() -> None:
    """Counted from the Unix epoch."""
    assert ids.week_of(0) == 0
    assert ids.week_of(ids.WEEK_MS - 1) == 0
    assert ids.week_of(ids.WEEK_MS) == 1
