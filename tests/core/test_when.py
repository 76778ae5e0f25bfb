"""Moments as callers write them (RFC 3339), and the window that a dialect allows for them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.api.sendara.translate import WINDOW
from postclock.core.errors import Invalid
from postclock.core.when import MAX_WRITTEN, from_rfc_3339, iso, month_of

NOW = 1_800_000_000_000
DAY = 86_400_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-06-20T14:00:00Z", "2026-06-20T14:00:00+00:00"),
        ("2026-06-20t14:00:00z", "2026-06-20T14:00:00+00:00"),
        ("2026-06-20T14:00:00+02:00", "2026-06-20T12:00:00+00:00"),
        ("2026-06-20T14:00:00-09:30", "2026-06-20T23:30:00+00:00"),
        ("2026-06-20T14:00:00-00:00", "2026-06-20T14:00:00+00:00"),
        ("2026-06-20T14:00:00.5Z", "2026-06-20T14:00:00.500+00:00"),
        ("2026-06-20T14:00:00.123456789Z", "2026-06-20T14:00:00.124+00:00"),
        ("2026-06-20T14:00:00.123000000Z", "2026-06-20T14:00:00.123+00:00"),
        ("2026-06-20T14:00:59.9999Z", "2026-06-20T14:01:00+00:00"),
        ("2028-02-29T23:59:59Z", "2028-02-29T23:59:59+00:00"),
        ("2026-12-31T23:59:59-01:00", "2027-01-01T00:59:59+00:00"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59+00:00"),
    ],
)
def test_what_rfc_3339_has(text: str, moment: str) -> None:
    """Letters of either case, any offset, fractions; a finer one than we keep is rounded up, so that nothing is early."""
    assert from_rfc_3339(text) == round(datetime.fromisoformat(moment).timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    [
        "", "tomorrow", "1800000000", "2026-06-20", "2026-06-20T14:00Z", "2026-06-20T14:00:00", "2026-06-20 14:00:00Z",
        "20260620T140000Z", "2026-W25-6T14:00:00Z", "2026-171T14:00:00Z", "2026-06-20T14:00:00,5Z", "2026-06-20T14:00:00.Z",
        "2026-06-20T14:00:00+0200", "2026-06-20T14:00:00+02", "2026-06-20T14:00:00 Z", " 2026-06-20T14:00:00Z",
        "2026-06-20T14:00:00Z\n", "2026-06-20T14:00:00UTC", "2026-06-20T14:00:00\u0665Z", "2026-06-20T14:00:0\u0665Z",
        "+2026-06-20T14:00:00Z", "2026-06-20T14:00:00." + "0" * MAX_WRITTEN + "Z",
    ],
)  # fmt: skip
def test_what_it_has_not(text: str) -> None:
    """No offset, no seconds, other notations, other digits, white space: each is refused with an example of what will do."""
    with pytest.raises(ValueError, match="RFC 3339"):
        from_rfc_3339(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-06-20T24:00:00Z", "no such moment"),
        ("2026-12-31T23:59:60Z", "Leap seconds"),
        ("2026-06-20T14:60:00Z", "no such moment"),
        ("2026-06-20T14:00:61Z", "no such moment"),
        ("2026-02-29T14:00:00Z", "no such moment"),
        ("2026-06-31T14:00:00Z", "no such moment"),
        ("2026-13-01T14:00:00Z", "no such moment"),
        ("0000-01-01T00:00:00Z", "no such moment"),
        ("2026-06-20T14:00:00+24:00", "no such offset"),
        ("2026-06-20T14:00:00+02:60", "no such offset"),
    ],
)
def test_what_is_not_there(text: str, said: str) -> None:
    """A notation that is right and a day, an hour or an offset that does not exist; leap seconds are not taken."""
    with pytest.raises(ValueError, match=said):
        from_rfc_3339(text)


@settings(deadline=None)
@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-1439, 1439))
def test_any_moment_in_any_offset(moment: datetime, offset: int) -> None:
    """It reads what the standard library writes, to the millisecond and never before."""
    local = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    exact = (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert from_rfc_3339(local.isoformat()) == -(-exact // 1000)


def test_it_reads_what_we_write() -> None:
    """The two directions fit."""
    assert from_rfc_3339(iso(NOW)) == NOW
    assert month_of(from_rfc_3339("2026-12-01T00:00:00+00:01")) == 202611


@pytest.mark.parametrize(
    ("ahead", "held"),
    [
        (-300_000, None), (-1, None), (0, None), (59_000, None), (59_999, None), (60_000, NOW + 60_000), (61_000, NOW + 61_000),
        (90 * DAY, NOW + 90 * DAY),
    ],
)  # fmt: skip
def test_inside_the_window(ahead: int, held: int | None) -> None:
    """Up to five minutes past and under a minute ahead is now; a minute to ninety days is held."""
    assert WINDOW.held_until(NOW + ahead, NOW) == held


@pytest.mark.parametrize("ahead", [-300_001, -DAY, -(10**15), 90 * DAY + 1, 90 * DAY + 1_000, 10**15])
def test_outside_the_window(ahead: int) -> None:
    """One millisecond beyond is refused, by the field's name."""
    with pytest.raises(Invalid) as refused:
        WINDOW.held_until(NOW + ahead, NOW)
    assert [e.field for e in refused.value.errors] == ["scheduled_at"]
