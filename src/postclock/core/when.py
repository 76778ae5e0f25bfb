"""When: reading ``send_at``, and the months of usage. Wall-clock milliseconds, UTC."""

from datetime import UTC, datetime
from typing import Final

AT_ONCE_MS: Final = 2_000  # "within a few seconds of now" counts as now and needs no scope; it is still never early
MAX_AHEAD_SECONDS: Final = 5 * 366 * 86_400
"""Five years: beyond that a typing error is likelier than a plan."""


def month_of(at_ms: int) -> int:
    """The UTC month of a moment as a number such as 202611."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.year * 100 + moment.month


def iso(at_ms: int) -> str:
    """The moment as ISO 8601 in UTC, whole seconds, with Z."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
