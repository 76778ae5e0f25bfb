"""A process whose engine ended by itself does not go on as if nothing had happened."""

from pathlib import Path

import apsw
import httpx
import pytest

from postclock.assembly import build
from postclock.engine.supervisor import Engine, LostLife
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
