"""The console's pages: Jinja2 templates with everything escaped, and how times and sizes are written in them."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def iso(at_ms: int) -> str:
    """``2026-11-21T18:52:08.123Z``."""
    return _at(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day(at_ms: int) -> str:
    """``2026-11-21``."""
    return iso(at_ms)[:10]


def clock(at_ms: int) -> str:
    """``18:52:08.123``."""
    return iso(at_ms)[11:23]


def span(ms: int) -> str:
    """A length of time: ``7 ms``, ``1.204 s``, ``3 min 20 s``, ``2 h 5 min``, ``4 d 1 h``; a minus before a negative one."""
    sign, ms = ("\N{MINUS SIGN}" if ms < 0 else ""), abs(ms)
    seconds = ms // 1000
    if ms < 1_000:
        text = f"{ms} ms"
    elif ms < 60_000:
        text = f"{ms / 1000:.3f} s"
    elif seconds < 3_600:
        text = f"{seconds // 60} min {seconds % 60} s"
    elif seconds < 86_400:
        text = f"{seconds // 3600} h {seconds % 3600 // 60} min"
    else:
        text = f"{seconds // 86400} d {seconds % 86400 // 3600} h"
    return sign + text


def size(octets: int) -> str:
    """``312 B``, ``4.1 KiB``, ``2.0 MiB``."""
    if octets < 1024:
        return f"{octets} B"
    if octets < 1024 * 1024:
        return f"{octets / 1024:.1f} KiB"
    return f"{octets / 1024 / 1024:.1f} MiB"


def _at(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


_pages: Final = Environment(
    loader=PackageLoader("postclock.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters.update(iso=iso, day=day, clock=clock, span=span, size=size)


def render(template: str, **values: Any) -> str:
    """A page; every value in it is escaped."""
    return _pages.get_template(template).render(**values)
