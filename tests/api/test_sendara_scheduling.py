"""``scheduled_at`` of POST /v1/send by a clock that stands where the test puts it (Sendara's documentation, scheduled sends)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postclock.core.lifecycle import State
from postclock.core.when import from_rfc_3339
from tests.support.send_api import SendApi, fresh_api, one

DAYS = 86_400


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[SendApi]:
    """The real app over a fresh store."""
    async with fresh_api(tmp_path) as running:
        yield running


@pytest.mark.parametrize("seconds", [60, 60.001, 61, 3_600, 90 * DAYS])
async def test_a_minute_or_more_ahead_is_scheduled(api: SendApi, seconds: float) -> None:
    """To the millisecond, and up to exactly ninety days."""
    told = await api.send(one(scheduled_at=api.at(seconds)))
    assert told["status"] == "scheduled"
    row = (await api.detail(told["id"])).row
    assert (row.state, row.due_at) == (State.queued, api.clock.now_ms() + round(seconds * 1000))


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 59, 59.999])
async def test_under_a_minute_ahead_or_just_past_is_now(api: SendApi, seconds: float) -> None:
    """Queued, due at once, and for good: it never was a scheduled message."""
    told = await api.send(one(scheduled_at=api.at(seconds)))
    assert told["status"] == "queued"
    row = (await api.detail(told["id"])).row
    assert row.due_at == row.created_at == api.clock.now_ms()


@pytest.mark.parametrize(
    "seconds", [-301, -300.001, -DAYS, 90 * DAYS + 0.001, 90 * DAYS + 1, 400 * DAYS], ids=lambda s: f"{s}"
)
async def test_too_long_past_or_too_far_ahead_is_refused(api: SendApi, seconds: float) -> None:
    """400 invalid_request, which names the field."""
    status, code, message = await api.refused(one(scheduled_at=api.at(seconds)))
    assert (status, code) == (400, "invalid_request")
    assert message.startswith("scheduled_at: ")
    assert await api.count() == 0


@pytest.mark.parametrize(
    "text",
    ["2027-01-15T08:05:00", "2027-01-15 08:05:00Z", "in an hour", "", "2027-01-15T24:00:00Z", "2027-01-15T08:05:60Z"],
)
async def test_what_is_no_timestamp_is_refused(api: SendApi, text: str) -> None:
    """Without an offset it is none either."""
    status, code, message = await api.refused(one(scheduled_at=text))
    assert (status, code) == (400, "invalid_request")
    assert message.startswith("scheduled_at: ")


async def test_offsets_case_and_fractions(api: SendApi) -> None:
    """2027-01-15T08:00:00Z is the clock's now: the same moment, written in several ways."""
    for text in ("2027-01-15T10:00:00.250+01:00", "2027-01-15t09:00:00.25z", "2027-01-14T23:30:00.250-09:30"):
        row = (await api.detail((await api.send(one(scheduled_at=text)))["id"])).row
        assert row.due_at == api.clock.now_ms() + 3_600_250


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-30T23:59:59Z", "2027-02-28T23:59:59Z"),
        ("2027-11-30T23:59:59Z", "2028-02-28T23:59:59Z"),
        ("2027-12-01T12:00:00Z", "2028-02-29T12:00:00Z"),
        ("2026-12-02T23:59:59Z", "2027-03-02T23:59:59Z"),
    ],
)
async def test_ninety_days_over_the_ends_of_months(api: SendApi, now: str, last: str) -> None:
    """Days are counted, not months; a leap day is one of them."""
    api.clock.move((from_rfc_3339(now) - api.clock.now_ms()) / 1000)
    assert datetime.fromtimestamp(api.clock.now_ms() / 1000, UTC) == datetime.fromisoformat(now)
    assert (await api.send(one(scheduled_at=last)))["status"] == "scheduled"
    assert (await api.refused(one(scheduled_at=last.replace("Z", ".001Z"))))[0] == 400


async def test_the_moment_is_held_against_the_clock_of_the_call(api: SendApi) -> None:
    """What was scheduled a minute ahead is at once when it is asked for again a second later, under another key."""
    at = api.at(60)
    assert (await api.send(one(scheduled_at=at)))["status"] == "scheduled"
    api.clock.move(0.001)
    assert (await api.send(one(scheduled_at=at)))["status"] == "queued"
    api.clock.move(360.0)
    assert (await api.refused(one(scheduled_at=at)))[0] == 400
