"""The mail that is sent all the while: singles, scheduled ones, batches, cancels, each call with its key and made until answered.

What was asked and acknowledged is written down in ``asked``, ``wrong_sums`` and ``batches_cancelled``; nothing is judged here.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from postclock.core.clock import Clock
from postclock.torture.caller import Answer, Caller, Unanswered
from postclock.torture.history import Asked, BatchCancelled, Sum

DOMAIN: Final = "mail.example.com"
SINGLE_WORKERS: Final = 10
BATCH_WORKERS: Final = 3
BATCH_SHARE: Final = 0.3
"""Of the mails."""
CANCEL_SHARE: Final = 0.3
"""Of the scheduled single mails."""
CATCH_UP_SECONDS: Final = 10.0
"""After a standstill, this much of what was not sent is made up for."""
HORIZON_SECONDS: Final = 20
"""How far ahead mail is scheduled."""
BIG_OCTETS: Final = 150_000
"""One body in a hundred is so large that it can break in its middle."""
NOT_NOW: Final = frozenset({429, 503, 507})
TRY_AGAIN: Final = NOT_NOW | {500}
GIVE_UP_SECONDS: Final = 60.0
"""How long after the load's end a call is still made again."""


class Pacer:
    """Lets mails through at a rate. ``open`` turns false when the time is over."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._next = clock.monotonic()
        self.open = True

    async def take(self, mails: int) -> bool:
        """Wait until so many may go; False when there shall be no more."""
        now = self._clock.monotonic()
        self._next = max(self._next, now - CATCH_UP_SECONDS)
        at, self._next = self._next, self._next + mails / self._rate
        if at > now:
            await self._clock.sleep(at - now)
        return self.open


class Load:
    """The clients. ``run`` sends until ``pacer.open`` is false, and ends when every call was answered or given up."""

    def __init__(
        self,
        clock: Clock,
        dice: Random,
        rate: float,
        make_caller: Callable[[], Caller],
        *,
        horizon: int = HORIZON_SECONDS,
    ) -> None:
        self.clock = clock
        self.dice = dice
        self.make_caller = make_caller
        self._horizon = max(2, min(horizon, HORIZON_SECONDS))
        self.asked: dict[str, Asked] = {}
        self.batches: list[str] = []
        self.wrong_sums: list[Sum] = []
        self.sums_read = 0
        self.batches_cancelled: list[BatchCancelled] = []
        self.odd: Counter[str] = Counter()
        """Answers that nobody expects, and how often they came."""
        self.refused: Counter[int] = Counter()
        """Answers that said: not now."""
        self.may_schedule = asyncio.Event()
        """Not while the service's clock is ahead: what is scheduled then is in its past."""
        self.may_schedule.set()
        self.scheduling = 0
        """Scheduled calls under way."""
        self._singles = Pacer(clock, rate * (1 - BATCH_SHARE))
        self._batched = Pacer(clock, rate * BATCH_SHARE)
        self._give_up_at: float | None = None
        self._recent: deque[str] = deque(maxlen=6)
        self._cancelling: asyncio.TaskGroup
        self._polls = True
        self._tokens = 0
        self._cancelled_batches: set[str] = set()

    def finish(self) -> None:
        """No new mail from now on."""
        self._singles.open = self._batched.open = False
        self._give_up_at = self.clock.monotonic() + GIVE_UP_SECONDS

    async def run(self) -> None:
        """Send until ``finish``."""
        async with asyncio.TaskGroup() as polling:
            polling.create_task(self._poll())
            async with asyncio.TaskGroup() as senders:
                self._cancelling = senders
                for _ in range(SINGLE_WORKERS):
                    senders.create_task(self._send_singles())
                for _ in range(BATCH_WORKERS):
                    senders.create_task(self._send_batches())
            self._polls = False

    # What a worker does.

    async def _send_singles(self) -> None:
        caller = self.make_caller()
        while await self._singles.take(1):
            is_scheduled = self.may_schedule.is_set() and self.dice.random() < 0.45
            due = self._soon(self._horizon) if is_scheduled else None
            [asked] = await self._send(caller, [due], None)
            if asked.message_id is None:
                continue
            if due is not None and self.dice.random() < CANCEL_SHARE:
                now = self.clock.now_ms()
                races = self.dice.random() < 0.5
                at = due + self.dice.randrange(-60, 60) if races else self.dice.randrange(now, max(due, now + 1))
                self._cancelling.create_task(self._cancel_at(asked, at))
            elif due is None and self.dice.random() < 0.03:
                await self._cancel(caller, asked)
        caller.close()

    async def _send_batches(self) -> None:
        caller = self.make_caller()
        while self._batched.open:
            made = await self._until_answered(caller, "POST", "/v3/mail/batch", expected=(201,))
            if made is None or made.status != 201:
                break
            batch = str(made.body["batch_id"])
            self.batches.append(batch)
            self._recent.append(batch)
            calls = self.dice.randrange(3, 7)
            cancel_after = self.dice.randrange(1, calls) if self.dice.random() < 0.4 else None
            for n in range(calls):
                size = self.dice.randrange(2, 13)
                if not await self._batched.take(size):
                    break
                if n == cancel_after:
                    self._cancelling.create_task(self._cancel_batch(batch))
                is_scheduled = self.may_schedule.is_set()
                dues = [
                    self._soon(self._horizon // 2 + 1) if is_scheduled and self.dice.random() < 0.7 else None
                    for _ in range(size)
                ]
                await self._send(caller, dues, batch)
        caller.close()

    async def _poll(self) -> None:
        caller = self.make_caller()
        while self._polls:
            for batch in tuple(self._recent):
                try:
                    answer = await caller.call("GET", f"/v3/mail/batch/{batch}")
                except Unanswered:
                    continue
                if answer.status == 200:
                    reading = sum_of(batch, answer.body)
                    self.sums_read += 1
                    if sum(reading.counts.values()) != reading.total:
                        self.wrong_sums.append(reading)
                elif answer.status not in TRY_AGAIN:
                    self.odd[f"GET batch: {answer.status}"] += 1
            await self.clock.sleep(0.05)
        caller.close()

    # Calls.

    async def _send(self, caller: Caller, dues: list[int | None], batch: str | None) -> list[Asked]:
        messages = [self._new(due, batch) for due in dues]
        is_scheduled = any(due is not None for due in dues)
        body = self._body(messages, batch)
        key = {"Idempotency-Key": messages[0].token}
        answer = await self._until_answered(
            caller, "POST", "/v3/mail/send", body, headers=key, is_scheduled=is_scheduled,
            expected=(202,), is_late=lambda: batch in self._cancelled_batches,
        )  # fmt: skip
        if answer is not None and answer.status == 202:
            now = self.clock.now_ms()
            idents = [answer.body["message_id"]] if "message_id" in answer.body else answer.body["message_ids"]
            for asked, ident in zip(messages, idents, strict=True):
                asked.message_id, asked.acknowledged_at = ident, now
        elif answer is not None and answer.status == 400 and batch in self._cancelled_batches:
            for asked in messages:  # the batch was cancelled meanwhile: none of them exists
                del self.asked[asked.token]
        return messages

    async def _cancel_at(self, asked: Asked, at_ms: int) -> None:
        await self.clock.sleep(max(0, at_ms - self.clock.now_ms()) / 1000)
        caller = self.make_caller()
        await self._cancel(caller, asked)
        caller.close()

    async def _cancel(self, caller: Caller, asked: Asked) -> None:
        asked.cancel_asked = True
        answer = await self._until_answered(caller, "POST", f"/v3/messages/{asked.message_id}/cancel", expected=(200,))
        if answer is not None and answer.status == 200 and answer.body["status"] == "cancelled":
            asked.cancelled_at = self.clock.now_ms()

    async def _cancel_batch(self, batch: str) -> None:
        for asked in self.asked.values():
            if asked.batch == batch:
                asked.cancel_asked = True
        self._cancelled_batches.add(batch)
        caller = self.make_caller()
        answer = await self._until_answered(caller, "POST", f"/v3/mail/batch/{batch}/cancel", expected=(200,))
        caller.close()
        if answer is None or answer.status != 200:
            return
        told = answer.body
        parts = {w: int(told[w]) for w in ("cancelled", "stopped", "in_flight", "uncertain", "sent", "settled")}
        if sum(parts.values()) != told["total_messages"]:
            self.wrong_sums.append(Sum(batch=batch, total=int(told["total_messages"]), counts=parts))
        now = self.clock.now_ms()
        self.batches_cancelled.append(BatchCancelled(batch=batch, answered_at=now, in_flight=parts["in_flight"]))

    async def _until_answered(
        self,
        caller: Caller,
        method: str,
        path: str,
        body: object = None,
        *,
        expected: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        is_scheduled: bool = False,
        is_late: Callable[[], bool] = lambda: False,
    ) -> Answer | None:
        """Make the call until it is answered for good; None when it was given up."""
        pause = 0.05
        while self._give_up_at is None or self.clock.monotonic() < self._give_up_at:
            if is_scheduled:
                await self.may_schedule.wait()
                self.scheduling += 1
            try:
                answer = await caller.call(method, path, body, headers=headers)
            except Unanswered:
                answer = None
            finally:
                self.scheduling -= is_scheduled
            if answer is not None and (answer.status in expected or (answer.status == 400 and is_late())):
                return answer
            if answer is not None:
                if answer.status in TRY_AGAIN:
                    self.refused[answer.status] += 1
                if answer.status not in NOT_NOW:
                    self.odd[f"{method} {_family(path)}: {answer.status} {str(answer.body)[:160]}"] += 1
                if answer.status not in TRY_AGAIN:
                    return answer
            await self.clock.sleep(pause * self.dice.uniform(0.5, 1.5))
            pause = min(pause * 2, 0.4)
        return None

    # What is sent.

    def _soon(self, most: int) -> int:
        """A whole second more than one and at most so many seconds ahead, in milliseconds."""
        return (self.clock.now_ms() // 1000 + self.dice.randrange(1, most) + 1) * 1000

    def _new(self, due: int | None, batch: str | None) -> Asked:
        token = f"m{self._tokens}"
        self._tokens += 1
        asked = Asked(token=token, due_at=due, batch=batch, cancel_asked=batch in self._cancelled_batches)
        self.asked[token] = asked
        return asked

    def _body(self, messages: list[Asked], batch: str | None) -> dict[str, Any]:
        text = f"Mail {messages[0].token}.\n" * self.dice.randrange(1, 60)
        if self.dice.random() < 0.01:
            text += "A line of a long text.\n" * (BIG_OCTETS // 23)
        body: dict[str, Any] = {
            "from": {"email": f"hello@{DOMAIN}"},
            "subject": f"Known mail {messages[0].token}",
            "content": [{"type": "text/plain", "value": text}],
            "personalizations": [
                {"to": [{"email": f"{asked.token}@example.net"}]}
                | ({} if asked.due_at is None else {"send_at": asked.due_at // 1000})
                for asked in messages
            ],
        }
        return body if batch is None else body | {"batch_id": batch}


def _family(path: str) -> str:
    """A path without its ids."""
    return "/".join(part if "_" not in part else "…" for part in path.split("/"))


def sum_of(batch: str, body: Any) -> Sum:
    """A batch's answer as a sum."""
    return Sum(
        batch=batch,
        total=int(body["total_messages"]),
        counts={str(word): int(n) for word, n in body["status_counts"].items()},
    )
