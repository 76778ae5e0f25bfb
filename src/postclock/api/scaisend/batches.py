"""/v3/mail/batch: made, looked at, cancelled (ScaiSend's documentation, scheduling and batches)."""

from typing import Final

from postclock.api.endpoint import Call, Endpoint, Reply
from postclock.api.scaisend.message_shapes import (
    COUNTED,
    BatchAnswer,
    BatchCancelAnswer,
    BatchMade,
    CountWord,
    StatusCounts,
)
from postclock.core import ids
from postclock.core.account import Scope
from postclock.core.when import iso
from postclock.service.batches import Batches, completed_at, is_complete
from postclock.service.records import BatchStatus

BASE: Final = "/v3/mail/batch"
ONE: Final = BASE + "/{batch_id}"


def batch_endpoints(batches: Batches) -> tuple[Endpoint, ...]:
    """The endpoints over one service."""

    async def make(call: Call) -> Reply:
        return Reply(BatchMade(batch_id=await batches.create(call.principal)))

    async def one(call: Call) -> Reply:
        return Reply(_answer(await batches.status(call.principal, call.path("batch_id"))))

    async def cancel(call: Call) -> Reply:
        public = call.path("batch_id")
        done = await batches.cancel(call.principal, public)
        return Reply(
            BatchCancelAnswer(
                batch_id=public, total_messages=done.total, cancelled=done.cancelled, stopped=done.stopped, in_flight=done.in_flight,
                uncertain=done.uncertain, sent=done.sent, settled=done.settled,
            )
        )  # fmt: skip

    return (
        Endpoint(
            method="POST", path=BASE, summary="Create a batch", answer=make, scopes=(Scope.mail_send, Scope.mail_schedule), gives=BatchMade, status=201,
        ),
        Endpoint(method="GET", path=ONE, summary="Aggregate status", answer=one, scopes=(Scope.messages_read,), gives=BatchAnswer, refuses=(404,)),
        Endpoint(
            method="POST", path=ONE + "/cancel", summary="Cancel all that has not departed", answer=cancel, scopes=(Scope.mail_cancel,),
            gives=BatchCancelAnswer, refuses=(404,),
        ),
    )  # fmt: skip


def _answer(status: BatchStatus) -> BatchAnswer:
    counts: dict[CountWord, int] = dict.fromkeys(COUNTED.values(), 0)
    for state, n in status.counts.items():
        counts[COUNTED[state]] += n
    completed = completed_at(status)
    return BatchAnswer(
        batch_id=ids.public_id("bat_", status.id),
        total_messages=status.total,
        status_counts=StatusCounts(**counts),
        created_at=iso(status.created_at),
        completed_at=None if completed is None else iso(completed),
        is_complete=is_complete(status),
    )
