"""The supervisor: the engine's loops in one task group, in a thread and an event loop of their own.

So that a request body of 20 MB cannot delay a departure. ``start`` returns when the engine runs; ``stop`` when everything it
held is departed and recorded, or given back.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import uvloop

from postclock.core.clock import Clock
from postclock.courier.interface import Courier
from postclock.courier.return_path import ReturnPath
from postclock.engine.contexts import Contexts, Unseal
from postclock.engine.deliver import Delivery
from postclock.engine.flow import Flow
from postclock.engine.heartbeat import Heartbeat, LostLife
from postclock.engine.housekeeping import Housekeeping
from postclock.engine.notify import Notify, Telling
from postclock.engine.points import OnPoint, nowhere
from postclock.engine.prepare import Refused
from postclock.engine.retention import Retention
from postclock.engine.scheduler import Scheduler
from postclock.engine.settings import EngineSettings
from postclock.engine.skew import SkewWatch
from postclock.mail.tracking import Tracking
from postclock.runtime.entropy import Entropy
from postclock.runtime.log import get_logger
from postclock.runtime.metrics import Metrics
from postclock.store.interface import Ledger
from postclock.store.records import Life

WARM: int = 4
"""Connections opened at the start; more come with need."""
_log = get_logger("engine")


class Engine:
    """One engine over one store and one courier. ``seen`` hears every two seconds which processes live (see Heartbeat)."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        courier: Courier,
        clock: Clock,
        entropy: Entropy,
        settings: EngineSettings,
        unseal: Unseal,
        return_path: ReturnPath,
        metrics: Metrics,
        on_point: OnPoint = nowhere,
        may_depart: Callable[[], bool] = lambda: True,
        on_failure: Callable[[], object] = lambda: None,
        seen: Callable[[Sequence[Life]], None] | None = None,
        tracking: Tracking | None = None,
        telling: Telling | None = None,
    ) -> None:
        self._ledger = ledger
        self._courier = courier
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._unseal = unseal
        self._return_path = return_path
        self._metrics = metrics
        self._on_point = on_point
        self._may_depart = may_depart
        self._seen = seen
        self._tracking = tracking
        self._telling = telling
        self.on_failure = on_failure
        """Called in the engine's thread when it ended without having been told to; ``failure`` says why."""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = threading.Event()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._told_to_stop = False
        self._started = False
        self._parts: tuple[Scheduler, Flow] | None = None

    def start(self) -> None:
        """Start the thread; returns when the engine claims, or was stopped. Raises what kept it from starting.

        While the store is busy it waits, as long as it takes; ``stop`` from another thread ends that.
        """
        self._thread = threading.Thread(target=self._main, name="postclock-engine", daemon=True)
        self._thread.start()
        self._running.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def failure(self) -> BaseException | None:
        """Why the engine ended by itself; None while it runs, before it was started and after ``stop``."""
        return self._failure

    def stop(self) -> None:
        """No claim and no departure from this instant; returns when everything is recorded or given back."""
        self._told_to_stop = True
        if self._loop is not None and self._thread is not None:
            self._call(self._stop.set)
            self._thread.join()

    def wake(self) -> None:
        """The clock was moved by hand: look at everything again."""
        if self._parts is not None:
            scheduler, flow = self._parts
            self._call(scheduler.wake)
            self._call(flow.wake)

    def _notify(self, telling: Telling) -> Notify:
        return Notify(
            telling, owner=self._ledger.owner.id, clock=self._clock, entropy=self._entropy, metrics=self._metrics,
            keep_events_ms=min(self._settings.keep_events_ms, self._settings.keep_messages_ms),
        )  # fmt: skip

    def _call(self, work: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: the engine has ended
            self._loop.call_soon_threadsafe(work)

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._run())
            if not self._told_to_stop:
                self._failure = LostLife("this process was declared dead by another one: its engine has stopped")
        except BaseException as error:  # noqa: BLE001  (whoever started the engine hears of it)
            self._failure = _cause(error)
            _log.exception("the engine stopped")
        finally:
            self._running.set()
            if self._failure is not None and self._started:
                self.on_failure()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._told_to_stop:
            self._stop.set()
        clock, settings, ledger = self._clock, self._settings, self._ledger
        flow = Flow(clock, settings.room, settings.room_bytes)
        contexts = Contexts(ledger, self._unseal)
        refused: list[Callable[[Refused], Coroutine[Any, Any, None]]] = []
        scheduler = Scheduler(
            ledger=ledger,
            clock=clock,
            settings=settings,
            contexts=contexts,
            flow=flow,
            refused=lambda r: refused[0](r),
            on_point=self._on_point,
            may_claim=self._may_depart,
            tracking=self._tracking,
        )
        delivery = Delivery(
            ledger=ledger, courier=self._courier, clock=clock, entropy=self._entropy, settings=settings, flow=flow,
            scheduler=scheduler, return_path=self._return_path, metrics=self._metrics, on_point=self._on_point, may_depart=self._may_depart,
        )  # fmt: skip
        refused.append(delivery.refuse)
        self._parts = (scheduler, flow)
        self._metrics.in_pipeline.set_function(lambda: flow.inside)
        heartbeat = Heartbeat(ledger, clock, lost=self._stop.set, seen=self._seen)
        house = Housekeeping(ledger, clock, settings, uncertain=lambda n: self._metrics.uncertain.inc(n))
        retention = Retention(ledger, clock, settings)
        notify = None if self._telling is None else self._notify(self._telling)
        skew = SkewWatch(clock, flow, self._metrics)
        flow.look = skew.look
        loop = self._loop
        ledger.on_ready(lambda at: _tell(loop, scheduler, at))
        try:
            await self._courier.start()
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(heartbeat.run())  # before the rescue, which may take long
                rescued, stopped = group.create_task(house.rescue_at_start()), group.create_task(self._stop.wait())
                await asyncio.wait((rescued, stopped), return_when=asyncio.FIRST_COMPLETED)
                loops = [rescued, stopped]
                loops += [
                    group.create_task(w)
                    for w in (house.run_watch(), house.run_rescue(), house.run_sweep(), skew.run(), retention.run())
                ]
                if notify is not None:
                    loops += [group.create_task(notify.run()), group.create_task(notify.run_house())]
                preparing = [group.create_task(scheduler.run_preparation()) for _ in range(settings.chunks)]
                group.create_task(flow.run_gate())
                group.create_task(delivery.departures.run())
                group.create_task(delivery.records.run())
                claiming = group.create_task(scheduler.run_claims())
                for _ in range(settings.workers):
                    group.create_task(delivery.run_worker())
                # Not waited for: a host that does not answer must not keep the process from starting.
                loops.append(group.create_task(self._courier.warm(self._courier.route(""), WARM)))
                skew.on_back = lambda: _in(group, scheduler.give_back_far())
                self._started = True
                self._running.set()
                await self._stop.wait()
                delivery.stopping = scheduler.stopping = house.stopping = skew.stopping = retention.stopping = True
                scheduler.wake()
                left = flow.close()
                async with asyncio.TaskGroup() as ends:
                    ends.create_task(delivery.stop(settings.stop_grace_seconds))
                    if notify is not None:
                        ends.create_task(notify.stop(settings.stop_grace_seconds))
                for task in loops:
                    task.cancel()
                await claiming
                scheduler.finish()
                await asyncio.gather(*preparing)
                await scheduler.give_back([p.claimed for p in left])
                await delivery.departures.close()
                await delivery.records.close()
                beating.cancel()  # last: what it holds is its own until it is recorded or given back
        finally:
            await self._courier.close()
            scheduler.close()


def _cause(error: BaseException) -> BaseException:
    """What ended a task group, for the one line that tells of it."""
    return _cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _in(group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
    group.create_task(work)


def _tell(loop: asyncio.AbstractEventLoop, scheduler: Scheduler, at: int) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the engine has ended
        loop.call_soon_threadsafe(scheduler.ready, at)
