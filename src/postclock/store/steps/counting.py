"""Counts: one number per state of the core, for a batch and for all of a tenant's mail, moved with the rows or not at all.

A group's moves are summed here and written once, right before its commit; a job that fails takes its own back. Sums over a
scope's slots are exact; a single slot may be negative.
"""

from typing import Final

from postclock.core.lifecycle import CANCELLABLE, State

COLUMNS: Final = tuple(s.name for s in State)
"""The columns of table ``counts``, in the order of the states' numbers; ``exposed`` comes after them."""
EXPOSED: Final = len(COLUMNS)
"""The place of the exposed among the waiting in a list of sums."""
_ZERO: Final = (0,) * (len(COLUMNS) + 1)


def tenant_scope(tenant: int, mode: int) -> int:
    """The scope under which all of a tenant's mail in one mode is counted."""
    return -(2 * tenant + mode) - 1


class Tally:
    """What a group has moved so far: finished jobs' moves in ``moves``, the present job's beside them until it is done."""

    def __init__(self) -> None:
        self.moves: dict[int, list[int]] = {}
        """Scope to what each column gains (or loses)."""
        self.last_settled: dict[int, int] = {}
        """Scope to when something of it settled last."""
        self.ready_at: int | None = None
        """The earliest ready time that this group added; the scheduler is told after the commit."""
        self._job_moves: list[tuple[int, int, int]] = []
        self._job_settled: list[tuple[int, int]] = []
        self._job_ready: list[int] = []

    def count(self, batch: int | None, tenant: int, mode: int, state: State, n: int = 1, *, exposed: int = 0) -> None:
        """``n`` more messages in ``state`` (negative: fewer), ``exposed`` of them."""
        moves = self._job_moves
        scope = tenant_scope(tenant, mode)
        moves.append((scope, state, n))
        if batch is not None:
            moves.append((batch, state, n))
        if exposed:
            moves.append((scope, EXPOSED, exposed))
            if batch is not None:
                moves.append((batch, EXPOSED, exposed))

    def move(
        self,
        batch: int | None,
        tenant: int,
        mode: int,
        old: State,
        new: State,
        *,
        was_exposed: bool,
        is_exposed: bool,
        settled_at: int | None = None,
    ) -> None:
        """One message goes from ``old`` to ``new``; ``settled_at`` when it settled by that."""
        before = 1 if was_exposed and old in CANCELLABLE else 0
        after = 1 if is_exposed and new in CANCELLABLE else 0
        for scope in (tenant_scope(tenant, mode), batch):
            if scope is None:
                continue
            if old is not new:
                self._job_moves.append((scope, old, -1))
                self._job_moves.append((scope, new, 1))
            if before != after:
                self._job_moves.append((scope, EXPOSED, after - before))
            if settled_at is not None:
                self._job_settled.append((scope, settled_at))

    def settled(self, batch: int | None, tenant: int, mode: int, at: int) -> None:
        """Something of the scope settled at ``at`` without a move."""
        self._job_settled.append((tenant_scope(tenant, mode), at))
        if batch is not None:
            self._job_settled.append((batch, at))

    def ready(self, at: int) -> None:
        """Something is ready at ``at``: the scheduler hears of it after the commit."""
        self._job_ready.append(at)

    def added(self, scope: int, stored: list[int]) -> list[int]:
        """The scope's sums as of this very job: what is ``stored``, and what the group has not written yet."""
        for column, n in enumerate(self.moves.get(scope, ())):
            stored[column] += n
        for moved, column, n in self._job_moves:
            if moved == scope:
                stored[column] += n
        return stored

    def job_done(self) -> None:
        """The job's moves join the group's."""
        for scope, column, n in self._job_moves:
            sums = self.moves.get(scope)
            if sums is None:
                sums = self.moves[scope] = list(_ZERO)
            sums[column] += n
        for scope, at in self._job_settled:
            self.last_settled[scope] = max(at, self.last_settled.get(scope, 0))
        if self._job_ready:
            earliest = min(self._job_ready)
            self.ready_at = earliest if self.ready_at is None else min(self.ready_at, earliest)
        self.job_failed()

    def job_failed(self) -> None:
        """The job's moves are forgotten."""
        self._job_moves.clear()
        self._job_settled.clear()
        self._job_ready.clear()

    def rows(self) -> list[tuple[int, list[int], int | None]]:
        """(scope, what each column gains, last settled) of every scope that changed, in the order of scopes."""
        for scope in self.last_settled:
            self.moves.setdefault(scope, list(_ZERO))
        return [(scope, sums, self.last_settled.get(scope)) for scope, sums in sorted(self.moves.items())]
