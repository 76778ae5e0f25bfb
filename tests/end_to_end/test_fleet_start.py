"""How processes start on a PostgreSQL store: before its schema, before the database, with a wrong key, with the inbox."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.parts import SETTLE_AT_ONCE, Caller, Ground, in_parallel, mail, until
from tests.support.fleet import SECRET_KEY, Fleet
from tests.support.postgres import Cluster
from tests.support.process import Service, run_postclock
from tests.support.sink import Sink


def shared(dsn: str, **more: str) -> dict[str, str]:
    """The settings of a process on a PostgreSQL store."""
    return {"POSTCLOCK_STORE": dsn, "POSTCLOCK_SECRET_KEY": SECRET_KEY} | more


def waits(service: Service, reason: str) -> None:
    """It lives, it is not ready and says why, and callers are told when to come again."""
    line = service.wait_for_line("waits on")
    url = line.split("waits on", 1)[1].split(": ", 1)[0].strip()
    assert httpx.get(f"{url}/health").json() == {"status": "healthy"}
    ready = httpx.get(f"{url}/ready")
    assert ready.status_code == 503
    assert reason in ready.json()["reason"]
    for answer in (httpx.get(f"{url}/v3/messages"), httpx.post(f"{url}/v3/mail/send", json=mail())):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert reason in answer.text


def delivers(api: Service, engine: Service, sink: Sink) -> None:
    """They became ready by themselves, and work."""
    for service in (api, engine):
        service.listening()
        assert httpx.get(f"{service.url}/ready").status_code == 200
    api.prepare()
    with closing(Caller(api.url, api.key())) as caller:
        [ident] = caller.send(mail("first@example.com"))
        caller.settles(ident, "delivered")
        Ground(api, sink, caller).wait_for("first@example.com")


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Any]:
    """Starts an API and an engine process on a store that is not ready."""
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())

        def start(dsn: str) -> tuple[Service, Service, Sink]:
            env = shared(dsn, POSTCLOCK_COURIER=sink.url) | SETTLE_AT_ONCE
            made: list[Service] = []
            for part in ("api", "engine"):
                (tmp_path / part).mkdir()
                # What must not be prepared yet is prepared by ``delivers``.
                service = Service(tmp_path / part, env=env, args=("--only", part), prepare=False)
                made.append(service.spawn())
                stack.callback(service.stop)
            return made[0], made[1], sink

        yield start


def test_processes_wait_for_the_schema(members: Any, empty_postgres_dsn: str) -> None:
    """Started before `postclock migrate` they say so, and are ready after it without a new start."""
    api, engine, sink = members(empty_postgres_dsn)
    waits(api, "postclock migrate")
    waits(engine, "postclock migrate")
    looked = api.cli("migrate", "--check", "--json")
    assert (looked.returncode, json.loads(looked.stdout)["fits"]) == (1, False)
    assert api.cli_json("migrate")["fits"] is True
    assert api.cli_json("migrate", "--check")["fits"] is True
    delivers(api, engine, sink)


def test_processes_wait_for_the_database(members: Any, tmp_path: Path) -> None:
    """It is away when they start: they are ready once it answers."""
    with Cluster(durable=False) as cluster:
        dsn = cluster.create_database("postclock")
        assert run_postclock("migrate", data=tmp_path / "var", env=shared(dsn)).returncode == 0
        cluster.stop()
        api, engine, sink = members(dsn)
        waits(api, "the database cannot be worked with")
        waits(engine, "the database cannot be worked with")
        cluster.start()
        delivers(api, engine, sink)


def test_one_that_waits_is_stopped_in_order(members: Any, empty_postgres_dsn: str) -> None:
    """Nothing was begun: exit status 0 at once."""
    for service in members(empty_postgres_dsn)[:2]:
        service.wait_for_line("waits on")
        service.terminate()
        assert service.wait() == 0


def test_a_secret_key_that_is_not_the_stores_does_not_start(tmp_path: Path, postgres_dsn: str) -> None:
    """One line on stderr, for each part, with another key and without one; the store goes on under its own."""
    with Sink() as sink:
        first = Service(tmp_path, env=shared(postgres_dsn, POSTCLOCK_COURIER=sink.url), args=("--only", "api"))
        first.prepare()
        another = shared(postgres_dsn, POSTCLOCK_COURIER=sink.url, POSTCLOCK_SECRET_KEY="ab" * 32)
        none = {"POSTCLOCK_STORE": postgres_dsn, "POSTCLOCK_COURIER": sink.url}

        def start(part: str, env: dict[str, str]) -> tuple[int, str, str]:
            done = run_postclock("serve", "--only", part, data=tmp_path / part / "var", env=env)
            return done.returncode, done.stdout, done.stderr

        for part in ("api", "engine"):
            (tmp_path / part).mkdir()
        wanted = [("api", another), ("engine", another), ("api", none), ("engine", none)]
        done = in_parallel(lambda each: start(*each), wanted, 2)
        assert [(code, out) for code, out, _ in done] == [(1, "")] * 4
        for _, _, line in done[:2]:
            assert line.startswith("postclock: the secret key is not the one this store was written under")
        for _, _, line in done[2:]:
            assert line.startswith("postclock: POSTCLOCK_SECRET_KEY: must be given with PostgreSQL")
        assert [line.count("\n") for _, _, line in done] == [1] * 4
        with first:
            assert httpx.get(f"{first.url}/ready").status_code == 200


def test_the_inbox_works_in_a_whole_process_alone(tmp_path: Path, postgres_dsn: str) -> None:
    """What one part caught the other could not show; a process with both parts catches and shows mail on PostgreSQL too."""
    done = run_postclock("serve", "--only", "api", data=tmp_path / "var", env=shared(postgres_dsn))
    assert done.returncode == 1
    assert "the inbox courier needs API and engine in one process" in done.stderr
    with Service(tmp_path, env=shared(postgres_dsn)) as service, closing(Caller(service.url, service.key())) as caller:
        [ident] = caller.send(mail("caught@example.com", subject="Seen in the inbox"))
        caller.settles(ident, "delivered")
        until(lambda: "Seen in the inbox" in caller.http.get("/inbox").text)


def test_mail_waits_for_whoever_comes(tmp_path: Path, postgres_dsn: str) -> None:
    """Taken while no engine was there, and by a process that has ended since: it leaves when one starts elsewhere."""
    with Fleet(tmp_path, postgres_dsn, engines=0, env=SETTLE_AT_ONCE) as fleet:
        [api] = fleet.apis
        key = api.key()
        with closing(Caller(api.url, key)) as caller:
            [ident] = caller.send(mail("left@example.com"))
            assert caller.status(ident) == "queued"
        api.terminate()
        assert api.wait() == 0
        fleet.add_engine()
        fleet.sink.wait_for(1)
        later = fleet.member("api").start()
        with later, closing(Caller(later.url, key)) as caller:
            Ground(later, fleet.sink, caller).wait_for("left@example.com")
            assert caller.settles(ident, "delivered")["attempts"] == 1
