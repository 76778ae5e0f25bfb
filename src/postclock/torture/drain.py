"""After the last blow: everything is let run until it is settled, then the API is asked for its last word about each message."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Final

from postclock.core.clock import Clock
from postclock.torture.caller import Answer, Caller, Unanswered
from postclock.torture.history import Asked, Sum, Told
from postclock.torture.load import Load, sum_of
from postclock.torture.plan import HOUR_MS
from postclock.torture.processes import Processes

DRAIN_SECONDS: Final = 180.0
UNSETTLED: Final = ("queued", "processing", "sending", "sent")
STILL_SECONDS: Final = 4.0
"""When nothing settled for so long, what is left waits for a moment that is far away: the clock is helped on."""
HELP_MS: Final = HOUR_MS + 10 * 60_000
"""Beyond what was accepted under a clock an hour ahead, and beyond the first deferrals."""
READERS: Final = 12
TRIES: Final = 40


async def drain(clock: Clock, processes: Processes, load: Load) -> int:
    """Wait until nothing is unsettled; how many messages still are. Call it when every ``send_at`` may be helped on."""
    caller = load.make_caller()
    ends = clock.monotonic() + DRAIN_SECONDS
    last_due = max((asked.due_at or 0 for asked in load.asked.values()), default=0)
    left, since, is_helped = -1, clock.monotonic(), False
    try:
        while clock.monotonic() < ends:
            now = await _unsettled(caller)
            if now == 0:
                return 0
            if now is not None and now != left:
                left, since = now, clock.monotonic()
            if clock.now_ms() < last_due:
                since = clock.monotonic()
            if not is_helped and clock.monotonic() - since > STILL_SECONDS:
                # Every send_at has passed, so nothing can leave early by this. New lives know no jump and wait for none.
                is_helped = await processes.restart(ahead_ms=HELP_MS)
                since = clock.monotonic()
            await clock.sleep(0.25)
        return left
    finally:
        caller.close()


async def _unsettled(caller: Caller) -> int | None:
    total = 0
    for word in UNSETTLED:
        try:
            answer = await caller.call("GET", f"/v3/messages?status={word}&page_size=1")
        except Unanswered:
            return None
        if answer.status != 200:
            return None
        total += int(answer.body["total"])
    return total


async def ask_all(clock: Clock, load: Load, dice: Random) -> dict[str, Told]:
    """The detail of every acknowledged message, by token; what the API does not know (404) is not in it."""
    known = [asked for asked in load.asked.values() if asked.message_id is not None]
    told: dict[str, Told] = {}
    todo = iter(known)

    async def read() -> None:
        caller = load.make_caller()
        for asked in todo:
            answer = await _get(clock, caller, f"/v3/messages/{asked.message_id}", dice)
            if answer is not None and answer.status == 200:
                told[asked.token] = _told(answer)
        caller.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(read())
    return told


async def ask_batches(clock: Clock, load: Load, dice: Random) -> list[Sum]:
    """Every batch as it is counted now."""
    caller = load.make_caller()
    found = []
    for batch in load.batches:
        answer = await _get(clock, caller, f"/v3/mail/batch/{batch}", dice)
        if answer is not None and answer.status == 200:
            found.append(sum_of(batch, answer.body))
    caller.close()
    return found


async def _get(clock: Clock, caller: Caller, path: str, dice: Random) -> Answer | None:
    for _ in range(TRIES):
        try:
            answer = await caller.call("GET", path)
        except Unanswered:
            answer = None
        if answer is not None and answer.status in (200, 404):
            return answer
        await clock.sleep(dice.uniform(0.1, 0.4))
    return None


def _told(answer: Answer) -> Told:
    body = answer.body
    return Told(
        status=body["status"],
        uncertain=sum(event["event_type"] == "uncertain" for event in body["events"]),
        due_at=int(datetime.fromisoformat(body["due_at"]).timestamp() * 1000),
    )


def unacknowledged(asked: Sequence[Asked]) -> int:
    """How many calls' messages were never answered for."""
    return sum(one.acknowledged_at is None for one in asked)
