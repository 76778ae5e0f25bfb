"""The scheduler: sleeps until the earliest ready time it knows, claims what is due or nearly so, and has it prepared.

A timer, not a poll: it is re-armed when something earlier is accepted. The safety poll of one second finds what another
process wrote.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.core.lifecycle import State
from postclock.core.message import Submission
from postclock.core.stamp import Stamp, unpack
from postclock.core.template import TemplateVersion
from postclock.engine.contexts import Contexts
from postclock.engine.flow import LANES, NAP, Flow
from postclock.engine.points import OnPoint
from postclock.engine.prepare import Order, Prepared, Refused, prepare
from postclock.engine.settings import EngineSettings
from postclock.runtime.log import get_logger
from postclock.store.interface import Ledger
from postclock.store.records import Claimed

CLAIM: Final = 500
CHUNK: Final = 25
"""Prepared by one thread in one go: some 9 ms of signing, so that an urgent mail waits no longer than that."""
SUBMISSIONS: Final = 500
"""Submissions kept decoded."""
_log = get_logger("scheduler")
_submission = msgspec.msgpack.Decoder(Submission).decode


class Scheduler:
    """Claims and prepares. ``refused`` takes what cannot be made; ``paused_until`` is asked before each claim."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        settings: EngineSettings,
        contexts: Contexts,
        flow: Flow,
        refused: Callable[[Refused], Awaitable[None]],
        on_point: OnPoint,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._contexts = contexts
        self._flow = flow
        self._refused = refused
        self._on_point = on_point
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="postclock-prepare")
        self._submissions: OrderedDict[int, Submission] = OrderedDict()
        self._wake = asyncio.Event()
        self._earliest: int | None = 0
        self._chunks: asyncio.PriorityQueue[tuple[int, int, list[Claimed]]] = asyncio.PriorityQueue()
        self._sequence = 0
        self.paused_until_ms = 0
        """No claim before this: the host is in trouble, and what would be claimed could not leave."""
        self.stopping = False
        flow.on_room = lambda: self.ready(0)

    def ready(self, at_ms: int) -> None:
        """Something is ready at ``at_ms`` (called in the engine's loop)."""
        if self._earliest is None or at_ms < self._earliest:
            self._earliest = at_ms
            self._wake.set()

    def wake(self) -> None:
        """Look again now (the clock was moved)."""
        self._earliest = 0
        self._wake.set()

    async def run_claims(self) -> None:
        """Claim until stopped; a loop of the supervisor."""
        while not self.stopping:
            try:
                more = await self._claim()
            except Busy as busy:
                _log.warning("cannot claim now", reason=str(busy))
                more = False
            if not more:
                await self._nap()

    async def _claim(self) -> bool:
        """Claim once if something may be due; whether to look again at once."""
        now = self._clock.now_ms()
        horizon = now + self._settings.ahead_ms
        if now < self.paused_until_ms or self._earliest is None or self._earliest > horizon:
            return False
        self._earliest = None
        limits = [(lane, min(CLAIM, room)) for lane in LANES if (room := self._flow.room_to_claim(lane))]
        if not limits:
            return False  # the flow arms the timer again when it has room
        claimed = await self._ledger.claim(limits, now, horizon)
        for c in claimed:
            self._flow.enter(c.lane)
            self._on_point("claimed" if c.status is State.processing else "reserved")
        more = False
        for lane, limit in limits:
            mine = [c for c in claimed if c.lane == lane]
            more = more or len(mine) == limit
            for i in range(0, len(mine), CHUNK):
                self._put(lane, mine[i : i + CHUNK])
        if more:
            self.ready(0)
        else:
            found = await self._ledger.next_ready([lane for lane, _ in limits])
            if found is not None:
                self.ready(found)
        return bool(claimed)

    def _put(self, lane: int, chunk: list[Claimed]) -> None:
        self._sequence += 1
        self._chunks.put_nowait((lane, self._sequence, chunk))

    async def _nap(self) -> None:
        now = self._clock.now_ms()
        wait = NAP
        if self._earliest is not None:
            wait = min(
                NAP, max(0.0005, (max(self._earliest - self._settings.ahead_ms, self.paused_until_ms) - now) / 1000)
            )
        self._wake.clear()
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            if wait == NAP:
                self._earliest = 0  # the safety poll

    async def run_preparation(self) -> None:
        """Prepare chunk after chunk, urgent lanes first; one such loop a thread."""
        while chunk := (await self._chunks.get())[2]:
            if self.stopping:
                await self.give_back(chunk)
            else:
                await self._prepare(chunk)

    async def again(self, claimed: Claimed) -> None:
        """Prepare once more: the tenant's settings, templates or keys changed meanwhile."""
        await self._contexts.refresh(claimed.tenant)
        self._put(claimed.lane, [claimed])

    async def _prepare(self, chunk: list[Claimed]) -> None:
        try:
            orders = await self._orders(chunk)
        except Busy as busy:
            _log.warning("cannot read what a mail is made from", reason=str(busy))
            await self.give_back(chunk)
            return
        loop = asyncio.get_running_loop()
        for done in await loop.run_in_executor(self._threads, _prepare_all, orders):
            match done:
                case Prepared():
                    self._on_point("prepared")
                    self._flow.weigh(len(done.content))
                    if self.stopping:
                        await self.give_back([done.claimed])
                    else:
                        await self._flow.add(done)
                case Refused():
                    await self._refused(done)

    async def give_back(self, claims: Sequence[Claimed]) -> None:
        """Release claims of which nothing departed."""
        await self._ledger.release([(c.id, c.attempt) for c in claims], self._clock.now_ms())
        for c in claims:
            self._flow.leave(c.lane)

    async def _orders(self, chunk: list[Claimed]) -> list[Order]:
        missing = {c.submission for c in chunk} - self._submissions.keys()
        if missing:
            for ident, content in (await self._ledger.submissions(sorted(missing))).items():
                self._submissions[ident] = _submission(content)
        orders = []
        now = self._clock.now_ms()
        for c in chunk:
            submission = self._submissions[c.submission]
            self._submissions.move_to_end(c.submission)
            context = await self._contexts.get(c.tenant)
            stamp = None if c.stamp is None else unpack(c.stamp)
            files = {}
            for a in submission.attachments:
                file = await self._ledger.blob(c.tenant, a.sha256)
                if file is not None:
                    files[a.sha256] = file
            orders.append(
                Order(
                    claimed=c,
                    submission=submission,
                    context=context,
                    version=await self._version(c, submission, stamp, context.templates),
                    files=files,
                    stamp=stamp,
                    sent_at=max(now, c.start_at) // 1000,
                )
            )
        while len(self._submissions) > SUBMISSIONS:
            self._submissions.popitem(last=False)
        return orders

    async def _version(
        self, c: Claimed, s: Submission, stamp: Stamp | None, active: dict[str, TemplateVersion | None]
    ) -> TemplateVersion | None:
        """The version of the first hand-off; else the one active now (unless pinned); else the one active at acceptance."""
        if s.template_id is None:
            return None
        if stamp is not None and stamp.template_version is not None:
            stamped = await self._ledger.template_version(c.tenant, stamp.template_version)
            if stamped is not None:
                return stamped
        found = active.get(s.template_id)
        if found is not None and not s.template_pinned:
            return found
        if s.template_version is None:
            return None
        return await self._ledger.template_version(c.tenant, s.template_version)

    def finish(self) -> None:
        """Let the preparation loops end once what waits for them is given back (after ``run_claims`` has ended)."""
        for _ in range(self._settings.threads):
            self._put(len(LANES), [])

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def _prepare_all(orders: list[Order]) -> list[Prepared | Refused]:
    done: list[Prepared | Refused] = []
    for order in orders:
        try:
            done.append(prepare(order))
        except Exception as error:  # noqa: BLE001
            # A fault of ours must not stop the mail behind it: this one is refused, and the log says why.
            _log.exception("a mail could not be made", message_id=order.claimed.message)
            done.append(Refused(order.claimed, f"the mail could not be made: {type(error).__name__}"))
    return done
