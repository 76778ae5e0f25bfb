"""Reading a moment that a person or a program wrote as ISO 8601."""

from datetime import UTC, datetime


def moment_ms(text: str) -> int | None:
    """UTC milliseconds of an ISO 8601 moment; one without an offset is UTC.

    None when it is not one, or when its offset takes it beyond the years 1 to 9999 in UTC: it could be stored and never shown.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
