"""The scheduler: sleeps until the earliest ready time it knows, claims what is due or nearly so, and has it prepared.

A timer, not a poll: it is re-armed when something earlier is accepted. The safety poll of one second finds what another
process wrote.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from postclock.mail.tracking import Tracking
from postclock.runtime.log import get_logger
from postclock.runtime.yielding import stand_back
from postclock.store.interface import Ledger
from postclock.store.records import Claimed

CLAIM: Final = 500
CHUNK: Final = 25
"""Prepared by one thread in one go: some 9 ms of signing, so that an urgent mail waits no longer than that."""
SUBMISSIONS: Final = 500
"""Submissions kept decoded."""
LIGHT: Final = 256 * 1024
"""Octets of a stored submission that is kept; a larger one is read again for each chunk: memory is bounded."""
PART_OCTETS: Final = 4 * 1024 * 1024
"""A chunk of heavy mail is prepared in parts of some so many octets (one mail always fits)."""
PAUSE_MS: Final = 1_000
"""No claim for so long after the store or the disk would not let a claimed mail go: claiming costs writes."""
LONGEST_PAUSE_MS: Final = 60_000
LAST_TRIES: Final = 5
"""How often the store is told something at a stop while it is in trouble; then the next start finds it."""
_log = get_logger("scheduler")
_submission = msgspec.msgpack.Decoder(Submission).decode


class Scheduler:
    """Claims and prepares. ``refused`` takes what cannot be made; ``may_claim`` says whether anything could depart."""

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
        may_claim: Callable[[], bool] = lambda: True,
        tracking: Tracking | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._contexts = contexts
        self._flow = flow
        self._refused = refused
        self._on_point = on_point
        self._may_claim = may_claim
        self._tracking = tracking
        self._threads = ThreadPoolExecutor(
            settings.threads, thread_name_prefix="postclock-prepare", initializer=stand_back
        )
        self._submissions: OrderedDict[int, Submission] = OrderedDict()
        self._wake = asyncio.Event()
        self._earliest: int | None = 0
        self._chunks: asyncio.PriorityQueue[tuple[int, int, list[Claimed]]] = asyncio.PriorityQueue()
        self._sequence = 0
        self._aside: list[tuple[int, list[Claimed]]] = []
        self._paused_until = 0.0
        self.stopping = False
        flow.on_room = self._has_room

    def ready(self, at_ms: int) -> None:
        """Something is ready at ``at_ms`` (called in the engine's loop)."""
        if self._earliest is None or at_ms < self._earliest:
            self._earliest = at_ms
            self._wake.set()

    def pause(self, milliseconds: int) -> None:
        """No claim for so long: the host is in trouble, and what would be claimed could not leave.

        Measured on the hand that never goes back, and bounded: a wall clock that is set must not stop the mail.
        """
        seconds = min(milliseconds, LONGEST_PAUSE_MS) / 1000
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

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
        if self._clock.monotonic() < self._paused_until or self._earliest is None or self._earliest > horizon:
            return False
        if not self._may_claim():
            self.pause(PAUSE_MS)
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
            due_in = (self._earliest - self._settings.ahead_ms - now) / 1000
            wait = min(NAP, max(0.0005, due_in, self._paused_until - self._clock.monotonic()))
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

    def again(self, stale: Prepared) -> None:
        """Prepare once more: the tenant's settings, templates or keys changed meanwhile."""
        self._contexts.outdate(stale.claimed.tenant, stale.revision)
        self._put(stale.claimed.lane, [stale.claimed])

    def _has_room(self) -> None:
        aside, self._aside = self._aside, []
        for lane, chunk in aside:
            self._put(lane, chunk)
        self.ready(0)

    async def _prepare(self, chunk: list[Claimed]) -> None:
        lane = chunk[0].lane
        while chunk:
            if self.stopping:
                await self.give_back(chunk)
                return
            if self._flow.is_too_heavy(lane):
                self._aside.append((lane, chunk))
                return
            try:
                submissions = await self._read_submissions(chunk)
                part = _part(chunk, submissions)
                orders = await self._orders(part, submissions)
            except Busy as busy:
                _log.warning("cannot read what a mail is made from", reason=str(busy))
                self.pause(PAUSE_MS)
                await self.give_back(chunk)
                return
            except Exception as fault:  # noqa: BLE001
                # One mail's fault must stop neither the others nor the engine: each is tried alone.
                if len(chunk) > 1:
                    for c in chunk:
                        await self._prepare([c])
                else:
                    _log.exception("what a mail is made from cannot be read", message_id=chunk[0].message)
                    await self._refused(Refused(chunk[0], f"cannot be made now: {type(fault).__name__}", later=True))
                return
            await self._make(orders)
            chunk = chunk[len(part) :]

    async def _make(self, orders: list[Order | Refused]) -> None:
        loop = asyncio.get_running_loop()
        for done in await loop.run_in_executor(self._threads, _prepare_all, orders):
            match done:
                case Prepared():
                    self._on_point("prepared")
                    self._flow.weigh(len(done.content))
                    if not self._flow.add(done):
                        self._flow.weigh(-len(done.content))
                        await self.give_back([done.claimed])
                case Refused():
                    await self._refused(done)

    async def give_back(self, claims: Sequence[Claimed]) -> None:
        """Release claims of which nothing departed. What the store cannot take now it is told again, until it can."""
        tries = 0
        while claims:
            try:
                await self._ledger.release([(c.id, c.attempt) for c in claims], self._clock.now_ms())
            except Busy as busy:
                _log.error("claims cannot be given back now", waiting=len(claims), reason=str(busy))
                self.pause(PAUSE_MS)
                tries += 1
                if self.stopping and tries >= LAST_TRIES:
                    break  # they are this owner's: the next start takes them back
                await self._clock.sleep(PAUSE_MS / 1000)
            else:
                break
        for c in claims:
            self._flow.leave(c.lane)

    async def give_back_far(self) -> None:
        """The clock went back: what was reserved for a moment that is now far off is given back."""
        far = self._flow.pull(self._clock.now_ms() + 2 * self._settings.ahead_ms)
        for prepared in far:
            self._flow.weigh(-len(prepared.content))
        await self.give_back([p.claimed for p in far])

    async def _read_submissions(self, chunk: list[Claimed]) -> dict[int, Submission | None]:
        wanted = {c.submission for c in chunk}
        found: dict[int, Submission | None] = {i: self._submissions.get(i) for i in wanted}
        missing = sorted(i for i, submission in found.items() if submission is None)
        if missing:
            for ident, content in (await self._ledger.submissions(missing)).items():
                found[ident] = submission = _submission(content)
                if len(content) <= LIGHT:
                    self._submissions[ident] = submission
        for ident in wanted & self._submissions.keys():
            self._submissions.move_to_end(ident)
        while len(self._submissions) > SUBMISSIONS:
            self._submissions.popitem(last=False)
        return found

    async def _orders(
        self, chunk: Sequence[Claimed], submissions: Mapping[int, Submission | None]
    ) -> list[Order | Refused]:
        orders: list[Order | Refused] = []
        files: dict[tuple[int, str], bytes] = {}
        now = self._clock.now_ms()
        for c in chunk:
            submission = submissions[c.submission]
            if submission is None:
                orders.append(Refused(c, "what it is made from is no longer stored"))
                continue
            context = await self._contexts.get(c.tenant)
            stamp = None if c.stamp is None else unpack(c.stamp)
            for a in submission.attachments:
                if (c.tenant, a.sha256) not in files:
                    file = await self._ledger.blob(c.tenant, a.sha256)
                    if file is not None:
                        files[c.tenant, a.sha256] = file
            orders.append(
                Order(
                    claimed=c,
                    submission=submission,
                    context=context,
                    version=await self._version(c, submission, stamp, context.templates),
                    files={
                        a.sha256: files[key] for a in submission.attachments if (key := (c.tenant, a.sha256)) in files
                    },
                    stamp=stamp,
                    sent_at=max(now, c.start_at) // 1000,
                    tracking=self._tracking,
                )
            )
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
        self._has_room()
        for _ in range(self._settings.chunks):
            self._put(len(LANES), [])

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def _part(chunk: list[Claimed], submissions: Mapping[int, Submission | None]) -> list[Claimed]:
    """The head of a chunk that is prepared in one go: all of it unless it is heavy."""
    octets = 0
    for n, c in enumerate(chunk):
        submission = submissions[c.submission]
        if submission is not None:
            octets += sum(len(body.value) for body in submission.contents) + sum(a.size for a in submission.attachments)
        if n and octets > PART_OCTETS:
            return chunk[:n]
    return chunk


def _prepare_all(orders: list[Order | Refused]) -> list[Prepared | Refused]:
    done: list[Prepared | Refused] = []
    for order in orders:
        if isinstance(order, Refused):
            done.append(order)
            continue
        try:
            done.append(prepare(order))
        except Exception as error:  # noqa: BLE001
            # A fault of ours must not stop the mail behind it: this one is refused, and the log says why.
            _log.exception("a mail could not be made", message_id=order.claimed.message)
            done.append(Refused(order.claimed, f"the mail could not be made: {type(error).__name__}"))
    return done
