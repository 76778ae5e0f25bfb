"""SendGrid's ``formatDate``: a moment, given as ISO 8601 text or Unix time, in the tokens of its documentation.

Without an offset the moment is shown in UTC. A value that is no moment is shown as it came: a reader can make
something of a raw date, nobody of an error in the middle of a mail.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

MAX_FORMAT: Final = 256  # characters; a format is a line at most
_MAX_MOMENT: Final = 64  # characters; ISO 8601 with fraction and offset has 35
_DAY: Final = 24 * 60  # minutes
_MILLISECONDS_FROM: Final = 1e11  # as seconds the year 5138, as milliseconds 1973: larger numbers are milliseconds
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# The longest token first; text in brackets is literal.
_TOKEN: Final = re.compile(r"\[([^\[\]]*)\]|YYYY|YY|M{1,4}|Do|DD?|d{3,4}|HH?|hh?|mm?|ss?|[Aa]|ZZ?")
_OFFSET: Final = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?")
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def format_date(moment: Any, pattern: str, offset: Any = None) -> str | None:
    """``moment`` by ``pattern`` at ``offset`` (``-0800``, ``+05:30``, hours up to 16 or minutes); None when no moment.

    An offset that cannot be read counts as none. Raises ValueError for a pattern longer than MAX_FORMAT.
    """
    if len(pattern) > MAX_FORMAT:
        raise ValueError(f"the date format is longer than {MAX_FORMAT} characters")
    try:
        at = _moment(moment)
        local = None if at is None else at.astimezone(_zone(offset))
    except (ValueError, OverflowError):
        return None
    if local is None:
        return None
    return _TOKEN.sub(lambda token: token[1] if token[1] is not None else _part(local, token[0]), pattern)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip() if len(value) <= _MAX_MOMENT else ""
        if _NUMBER.fullmatch(value) is None or len(value) == len("20200101"):
            at = datetime.fromisoformat(value)
            return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        if len(value) == len("2020"):
            return datetime(int(value), 1, 1, tzinfo=UTC)
        value = float(value)
    if isinstance(value, int | float):
        seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return None


def _zone(offset: Any) -> timezone:
    if isinstance(offset, str) and (found := _OFFSET.fullmatch(offset.strip()[:8])):
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        minutes = -minutes if found[1] == "-" else minutes
    elif isinstance(offset, int | float) and not isinstance(offset, bool) and abs(offset) < _DAY:
        minutes = int(offset * 60 if abs(offset) < 16 else offset)
    else:
        return UTC
    return timezone(timedelta(minutes=minutes)) if abs(minutes) < _DAY else UTC


def _part(at: datetime, mark: str) -> str:
    match mark:
        case "YYYY":
            return f"{at.year:04}"
        case "YY":
            return f"{at.year % 100:02}"
        case "MMMM":
            return _MONTHS[at.month - 1]
        case "MMM":
            return _MONTHS[at.month - 1][:3]
        case "dddd":
            return _DAYS[at.weekday()]
        case "ddd":
            return _DAYS[at.weekday()][:3]
        case "Do":
            return f"{at.day}{_ordinal(at.day)}"
        case "A":
            return "AM" if at.hour < 12 else "PM"
        case "a":
            return "am" if at.hour < 12 else "pm"
        case "Z" | "ZZ":
            minutes = int((at.utcoffset() or timedelta()).total_seconds()) // 60
            sign = "-" if minutes < 0 else "+"
            return f"{sign}{abs(minutes) // 60:02}{':' if mark == 'Z' else ''}{abs(minutes) % 60:02}"
        case _:
            number = {"M": at.month, "D": at.day, "H": at.hour, "h": at.hour % 12 or 12, "m": at.minute, "s": at.second}
            return f"{number[mark[0]]:0{len(mark)}}"


def _ordinal(day: int) -> str:
    if day in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
