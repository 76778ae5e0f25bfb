"""The advisory locks of the PostgreSQL store: one number each, the same in every process."""

from typing import Final

MIGRATE: Final = 0x706F7374636C01
"""Whoever brings the schema up to date ("postcl", and a number)."""
WEEKS: Final = 0x706F7374636C02
"""Whoever makes partitions."""
RETIRE: Final = 0x706F7374636C03
"""Whoever drops what is no longer kept."""
OWNERS: Final = 0x706F7374636C04
"""Whoever begins a life: two that start together get different nodes."""
USAGE: Final = 0x706F7374
"""Beside a tenant's id (PostgreSQL keeps pairs apart from single numbers): whoever hands off mail of a tenant with limits."""
DESK: Final = 0x706F7374636C05
"""Whoever writes a slow table: such jobs look first and write then, one after the other, on all machines."""
