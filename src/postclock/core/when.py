"""When: reading the moments that callers write, and the months of usage. Wall-clock milliseconds, UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Final

from postclock.core.errors import Invalid

AT_ONCE_MS: Final = 2_000  # "within a few seconds of now" counts as now and needs no scope; it is still never early
MAX_AHEAD_SECONDS: Final = 5 * 366 * 86_400
"""Five years: beyond that a typing error is likelier than a plan."""
MAX_WRITTEN: Final = 64
"""Characters of a written moment: room for fractions that nobody can tell apart."""

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# RFC 3339 5.6, date-time; the standard library's reader takes much that is not in it (weeks, commas, no offset).
_RFC_3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a dialect makes of a moment that is asked for. ``field`` is where it stands in the request."""

    field: str
    at_once_ms: int
    """Less than this ahead is now."""
    grace_ms: int
    """At most this long past is now; longer is refused."""
    ahead_ms: int
    """At most this far ahead; farther is refused."""

    def held_until(self, at_ms: int, now_ms: int) -> int | None:
        """The moment to hold the mail to; None for now. Raises Invalid out of bounds."""
        if at_ms < now_ms - self.grace_ms:
            raise Invalid("Must be in the future, but is past.", self.field)
        if at_ms > now_ms + self.ahead_ms:
            raise Invalid(f"Must be at most {self.ahead_ms // 86_400_000} days ahead.", self.field)
        return None if at_ms < now_ms + self.at_once_ms else at_ms


def month_of(at_ms: int) -> int:
    """The UTC month of a moment as a number such as 202611."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.year * 100 + moment.month


def iso(at_ms: int) -> str:
    """The moment as ISO 8601 in UTC, whole seconds, with Z."""
    return _iso(at_ms // 1000)


@lru_cache(maxsize=256)
def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_rfc_3339(text: str) -> int:
    """The moment in UTC milliseconds, a finer fraction rounded up (never before what was written).

    Raises ValueError with a sentence for a person: no date-time of RFC 3339, no offset, no such day or hour.
    """
    found = _RFC_3339.fullmatch(text) if len(text) <= MAX_WRITTEN else None
    if found is None:
        raise ValueError("Must be an RFC 3339 timestamp with an offset, such as 2026-06-20T14:00:00Z.")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = found.groups()
    if second == "60":
        raise ValueError("Leap seconds are not taken: write the second before or after.")
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
        clock = time(int(hour), int(minute), int(second))
    except ValueError as error:
        raise ValueError(f"There is no such moment: {error}.") from None
    seconds = days * 86_400 + clock.hour * 3_600 + clock.minute * 60 + clock.second
    if sign is not None:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise ValueError("There is no such offset: it is at most 23:59.")
        offset = int(offset_hours) * 3_600 + int(offset_minutes) * 60
        seconds += offset if sign == "-" else -offset
    millis = 0
    if fraction is not None:
        millis = int(fraction[:3].ljust(3, "0")) + bool(fraction[3:].strip("0"))
    return seconds * 1000 + millis
