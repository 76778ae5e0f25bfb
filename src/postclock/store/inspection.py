"""What a look at a store from outside tells: for ``doctor`` and ``migrate --check``, which must change nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """``there``: the store exists. ``trouble``: why it cannot be opened, or None. ``faults``: what its integrity check found.

    ``version`` is the schema it has, ``newest`` the one this application brings, ``oldest_app`` the oldest that still fits it.
    ``key_check`` is the check value of its secret key, ``last_beat_at`` (UTC milliseconds) when a service was last heard of.
    """

    there: bool
    newest: int
    trouble: str | None = None
    version: int = 0
    oldest_app: int = 0
    faults: tuple[str, ...] = ()
    key_check: str | None = None
    last_beat_at: int | None = None

    @property
    def fits(self) -> bool:
        """Whether this application may work with the schema as it is."""
        return self.oldest_app <= self.newest <= self.version
