"""Batches: made, looked at, cancelled. The counts are the core's; a dialect folds them into its own words."""

from postclock.core import ids
from postclock.core.account import Principal, Scope
from postclock.core.clock import Clock
from postclock.core.errors import NotFound
from postclock.core.lifecycle import SETTLED
from postclock.store.interface import Messages
from postclock.store.records import BatchCancelled, BatchStatus, mode_number


class Batches:
    """What a key may do with its tenant's batches, in its own mode."""

    def __init__(self, messages: Messages, clock: Clock, make_id: ids.IdSource) -> None:
        self._messages = messages
        self._clock = clock
        self._ids = make_id

    async def create(self, who: Principal) -> str:
        """The public id of a new, empty batch."""
        who.needs(Scope.mail_send, Scope.mail_schedule)
        ident = self._ids.next()
        await self._messages.create_batch(ident, who.tenant.id, mode_number(who.mode), self._clock.now_ms())
        return ids.public_id("bat_", ident)

    async def status(self, who: Principal, public: str) -> BatchStatus:
        """A batch with its counts. Raises NotFound."""
        return await self._messages.batch(_number(public), who.tenant.id, mode_number(who.mode))

    async def cancel(self, who: Principal, public: str) -> BatchCancelled:
        """From the answer on nothing of the batch departs. Raises NotFound."""
        return await self._messages.cancel_batch(
            _number(public), who.tenant.id, mode_number(who.mode), self._clock.now_ms()
        )


def is_complete(status: BatchStatus) -> bool:
    """Whether there is something in the batch and all of it has settled."""
    return status.total > 0 and all(n == 0 or state in SETTLED for state, n in status.counts.items())


def completed_at(status: BatchStatus) -> int | None:
    """When the last message settled (UTC milliseconds); None while the batch is not complete."""
    return status.last_settled_at if is_complete(status) else None


def _number(public: str) -> int:
    try:
        return ids.parse_id("bat_", public)
    except NotFound:
        raise NotFound("Batch not found") from None
