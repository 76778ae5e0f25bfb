"""Deliver: the life of one run, from prepared bytes to the recorded result. One worker, one conversation at a time."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.courier.interface import Connection, Courier, Envelope, HostUnavailable
from postclock.courier.return_path import ReturnPath
from postclock.engine import outcomes
from postclock.engine.coalesce import Coalescer
from postclock.engine.flow import Flow
from postclock.engine.points import OnPoint, nowhere
from postclock.engine.prepare import Prepared, Refused
from postclock.engine.scheduler import LAST_TRIES, PAUSE_MS, Scheduler
from postclock.engine.settings import EngineSettings
from postclock.runtime.entropy import Entropy
from postclock.runtime.log import get_logger
from postclock.runtime.metrics import Metrics
from postclock.store.interface import Ledger
from postclock.store.records import TEST, Claimed, Departed, Departure, Held, Result

DEPARTURES: Final = 100
RECORDS: Final = 500
BUSY: Final = 64
"""From so many mails inside, departures and records linger to share a commit."""
DEPART_LINGER: Final = 0.005
RECORD_LINGER: Final = 0.01
PAUSE: Final = 0.5
"""Seconds between tries to record while the store is in trouble: results are never given up."""
_log = get_logger("engine")


def departure_of(prepared: Prepared) -> Departure:
    """What a prepared mail asks the ledger for."""
    return Departure(
        claimed=prepared.claimed,
        domain=prepared.domain,
        revision=prepared.revision,
        stamp=prepared.stamp,
        reissued=prepared.reissued,
        api_key=prepared.api_key,
        message_type=prepared.message_type,
        free=prepared.free,
    )


class Delivery:
    """The workers' common ground: departures and records coalesced, connections in use, what stops them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        courier: Courier,
        clock: Clock,
        entropy: Entropy,
        settings: EngineSettings,
        flow: Flow,
        scheduler: Scheduler,
        return_path: ReturnPath,
        metrics: Metrics,
        on_point: OnPoint,
        may_depart: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._courier = courier
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._flow = flow
        self._scheduler = scheduler
        self._return_path = return_path
        self._metrics = metrics
        self._on_point = on_point
        self._may_depart = may_depart
        self.departures: Coalescer[Departure, Departed | Held] = Coalescer(
            self._depart_group, DEPARTURES, lambda: DEPART_LINGER if flow.inside >= BUSY else 0.0
        )
        self.records: Coalescer[Result, str] = Coalescer(
            self._record_group, RECORDS, lambda: RECORD_LINGER if flow.inside >= BUSY else 0.0
        )
        self._talking: set[Connection] = set()
        self._asking: set[asyncio.Task[object]] = set()
        """Workers that wait for a connection."""
        self._recalled: set[asyncio.Task[object]] = set()
        self.stopping = False
        self._quiet = asyncio.Event()
        self._busy = 0

    def _stops(self) -> bool:
        return self.stopping  # asked anew after every wait

    async def _depart_group(self, items: Sequence[Departure]) -> Sequence[Departed | Held]:
        return await self._ledger.depart(items, self._clock.now_ms())

    async def _record_group(self, results: Sequence[Result]) -> Sequence[str]:
        tries = 0
        while True:
            try:
                words = await self._ledger.record(results, self._clock.now_ms())
            except Busy as busy:
                _log.error("results wait for the store", waiting=len(results), reason=str(busy))
                tries += 1
                if self.stopping and tries >= LAST_TRIES:
                    raise  # the next start finds them departed without a result: uncertain
                await self._clock.sleep(PAUSE)
            else:
                self._on_point("recorded")
                return words

    async def run_worker(self) -> None:
        """Mail after mail until the flow is closed; a loop of the supervisor."""
        while (prepared := await self._flow.take()) is not None:
            self._busy += 1
            try:
                await self._one(prepared)
            except Exception:  # noqa: BLE001
                # A fault of ours must not stop the other mail; the claim stays, and the next start rescues it.
                _log.exception("a run failed", message_id=prepared.claimed.message)
                self._flow.leave(prepared.claimed.lane)
            finally:
                self._flow.weigh(-len(prepared.content))
                self._busy -= 1
                if self._busy == 0:
                    self._quiet.set()

    async def _one(self, prepared: Prepared) -> None:
        c = prepared.claimed
        if c.mode == TEST:
            await self._simulate(prepared)
            return
        route = self._courier.route(prepared.domain)
        try:
            connection = await self._connection(route)
        except HostUnavailable as trouble:
            await self._host_trouble(c, trouble)
            return
        if connection is None:
            await self._scheduler.give_back([c])
            return
        self._talking.add(connection)
        try:
            result = await self._depart_and_talk(prepared, connection)
        finally:
            self._talking.discard(connection)
            self._courier.release(connection)
        if result is not None:
            await self._record(c, result)

    async def _simulate(self, prepared: Prepared) -> None:
        """A test message ends where it would depart: the store says what it comes to, nothing leaves."""
        if self._stops():
            await self._scheduler.give_back([prepared.claimed])
            return
        if not self._may_depart():
            await self._not_now(prepared.claimed)
            return
        try:
            answer = await self.departures.put(departure_of(prepared))
        except Busy:
            await self._not_now(prepared.claimed)
            return
        assert isinstance(answer, Held)
        await self._held(prepared, answer)

    async def _connection(self, route: str) -> Connection | None:
        """A connection; None when the engine stops meanwhile (opening one may take minutes)."""
        if self._stops():
            return None
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            return await self._courier.acquire(route)
        except asyncio.CancelledError:
            if task not in self._recalled or task.uncancel():
                raise
            return None
        finally:
            self._asking.discard(task)

    async def _host_trouble(self, c: Claimed, trouble: HostUnavailable) -> None:
        if self._stops():
            await self._scheduler.give_back([c])
            return
        if trouble.retry_at_ms is not None:
            self._scheduler.pause(trouble.retry_at_ms - self._clock.now_ms())
        now = self._clock.now_ms()
        await self._record(
            c, outcomes.of_host(c, trouble, now=now, jitter=self._entropy.jitter(), settings=self._settings)
        )

    async def _depart_and_talk(self, prepared: Prepared, connection: Connection) -> Result | None:
        """The result of the run; None when it did not depart."""
        c = prepared.claimed
        if self._stops():
            await self._scheduler.give_back([c])
            return None
        if not self._may_depart():
            await self._not_now(c)
            return None
        try:
            answer = await self.departures.put(departure_of(prepared))
        except Busy:
            await self._not_now(c)
            return None
        if isinstance(answer, Held):
            await self._held(prepared, answer)
            return None
        self._on_point("departed")
        self._metrics.departed.inc()
        if c.stamp is None:
            self._metrics.lateness.observe(max(0, answer.at - c.due_at) / 1000)
        return await self._talk(prepared, connection, answer)

    async def _not_now(self, c: Claimed) -> None:
        # Without the pause it would be claimed again at once, and each round costs writes the disk may have no room for.
        self._scheduler.pause(PAUSE_MS)
        await self._scheduler.give_back([c])

    async def _held(self, prepared: Prepared, answer: Held) -> None:
        self._metrics.held.labels(answer.why).inc()
        match answer.why:
            case "stale":
                self._scheduler.again(prepared)
            case "early":
                if self._flow.add(prepared):
                    self._flow.weigh(len(prepared.content))
                else:
                    await self._scheduler.give_back([prepared.claimed])
            case _:  # gone, settled, parked: the row is somebody else's now
                self._flow.leave(prepared.claimed.lane)

    async def _talk(self, prepared: Prepared, connection: Connection, departed: Departed) -> Result:
        c = prepared.claimed
        if self._stops():
            return outcomes.of_abort(c, departed.at)
        sent_to = [r for r in c.recipients if r.n not in departed.dropped]
        accident = partial(
            outcomes.of_accident, c, sent_to, departed_at=departed.at, jitter=self._entropy.jitter(), settings=self._settings
        )  # fmt: skip
        domain = self._settings.return_domain or prepared.domain
        try:
            envelope = Envelope(
                mail_from=self._return_path.make(c.message, c.id, domain),
                recipients=tuple(prepared.wire[r.n] for r in sent_to),
                size=len(prepared.content),
                smtputf8=prepared.smtputf8,
            )
        except ValueError as error:
            return accident(f"no envelope: {error}", now=self._clock.now_ms())
        try:
            delivery = await connection.deliver(
                envelope, prepared.content, None if self._on_point is nowhere else self._on_point
            )
        except Exception as fault:  # noqa: BLE001  (ours: whatever it is, the run has a result)
            _log.exception("a conversation failed", message_id=c.message)
            connection.abort()
            delivery = outcomes.broken_off(
                len(sent_to), type(fault).__name__, dot_sent=connection.dot_sent, now=self._clock.now_ms()
            )
        if self._stops() and not delivery.dot_sent and all(o.state == "deferred" for o in delivery.outcomes):
            return outcomes.of_abort(c, departed.at)
        return outcomes.of_delivery(
            c, sent_to, delivery, departed_at=departed.at, now=self._clock.now_ms(), jitter=self._entropy.jitter(), settings=self._settings,
            policy=prepared.uncertain,
        )  # fmt: skip

    async def refuse(self, refused: Refused) -> None:
        """Record a mail that cannot be made."""
        result = outcomes.of_refusal(
            refused, now=self._clock.now_ms(), jitter=self._entropy.jitter(), settings=self._settings
        )
        await self._record(refused.claimed, result)

    async def _record(self, c: Claimed, result: Result) -> None:
        for r in result.results:
            self._metrics.outcomes.labels(r.state.name).inc()
            if r.state.name == "uncertain":
                self._metrics.uncertain.inc()
        try:
            await self.records.put(result)
        except Busy as busy:  # at a stop alone: until then it is told again
            _log.error("a result is lost: it will be found without one", message_id=c.message, reason=str(busy))
        self._flow.leave(c.lane)

    async def stop(self, grace_seconds: float) -> None:
        """What has not passed the final dot is aborted; what has may finish within the grace. ``stopping`` is set before."""
        self._recalled = set(self._asking)
        for task in self._recalled:
            task.cancel()
        for connection in tuple(self._talking):
            if not connection.dot_sent:
                connection.abort()
        if self._busy:
            self._quiet.clear()
            try:
                async with asyncio.timeout(grace_seconds):
                    await self._quiet.wait()
            except TimeoutError:
                for connection in tuple(self._talking):
                    connection.abort()
                if self._busy:
                    self._quiet.clear()
                    await self._quiet.wait()
