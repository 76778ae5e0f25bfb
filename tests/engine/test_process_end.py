"""A process whose engine ended by itself does not go on as if nothing had happened."""

from pathlib import Path

import apsw
import httpx
import pytest

from postclock.assembly import build
from postclock.engine.heartbeat import LostLife
from postclock.engine.supervisor import Engine
from tests.end_to_end.parts import until
from tests.support.process import Service
from tests.support.sink import Sink


def test_a_process_declared_dead_by_another_ends_with_a_failure(tmp_path: Path) -> None:
    """Another one ended its life in the store: it says so and exits non-zero, for whoever watches it to start it again."""
    with Sink() as sink, Service(tmp_path, env={"POSTCLOCK_COURIER": sink.url}) as service:
        store = apsw.Connection(str(service.data / "postclock.db"))
        store.set_busy_timeout(5_000)
        store.execute("UPDATE owners SET epoch = epoch + 1")
        store.close()
        assert service.wait(20) not in (0, None)
        assert "declared dead by another" in service.log


def test_an_api_process_declared_dead_by_another_ends_with_a_failure(tmp_path: Path) -> None:
    """It has no engine, and lives by the same heartbeat: told otherwise, it answers nobody any more and says why."""
    with Sink() as sink:
        service = Service(tmp_path, env={"POSTCLOCK_COURIER": sink.url}, args=["--only", "api"])
        with service:
            assert httpx.get(f"{service.url}/ready").status_code == 200
            store = apsw.Connection(str(service.data / "postclock.db"))
            store.set_busy_timeout(5_000)
            store.execute("UPDATE owners SET epoch = epoch + 1")
            store.close()
            assert service.wait(20) == 1
            assert "postclock: this process was declared dead by another one" in service.log


def test_an_api_process_beats(tmp_path: Path) -> None:
    """Others can see that it lives."""
    with Sink() as sink:
        service = Service(tmp_path, env={"POSTCLOCK_COURIER": sink.url}, args=["--only", "api"])
        with service:
            store = apsw.Connection(str(service.data / "postclock.db"))
            store.set_busy_timeout(5_000)
            until(lambda: store.execute("SELECT max(beat) FROM owners").get >= 2)
            store.close()
            service.terminate()
            assert service.wait() == 0


async def test_ready_says_that_the_engine_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready before, not ready with the reason after."""
    house = build(Service(tmp_path).settings)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(house.app), base_url="http://postclock") as client:
            assert (await client.get("/ready")).status_code == 200
            monkeypatch.setattr(Engine, "failure", LostLife("declared dead"))
            answer = await client.get("/ready")
            assert answer.status_code == 503
            assert answer.json()["reason"] == "the engine ended: declared dead"
    finally:
        house.store.close()
