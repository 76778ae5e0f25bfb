"""postclock serve as a process: how it starts, what it answers, how it stops, and commands beside it."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from postclock.store.sqlite.migrate import newest
from tests.cli.parts import Commands
from tests.end_to_end.parts import Caller, mail, until
from tests.support.dns_server import DnsServer
from tests.support.process import Service, run_postclock
from tests.support.sink import Sink


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that the stories of this file share."""
    with Service(tmp_path_factory.mktemp("serve")) as running:
        yield running


def test_it_answers_those_who_watch_it(service: Service) -> None:
    """Health, readiness, and figures for Prometheus."""
    assert httpx.get(f"{service.url}/health").json() == {"status": "healthy"}
    assert httpx.get(f"{service.url}/ready").status_code == 200
    metrics = httpx.get(f"{service.url}/metrics")
    assert metrics.status_code == 200
    assert "postclock_departed_messages_total" in metrics.text


def test_its_folder_and_its_key_are_nobody_elses_business(service: Service) -> None:
    """0700 and 0600."""
    assert service.data.stat().st_mode & 0o777 == 0o700
    assert (service.data / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_data_folder_has_one_service(service: Service) -> None:
    """A second one is refused in one line, and the first goes on."""
    done = service.cli("serve")
    assert done.returncode == 1
    assert done.stderr.startswith(f"postclock: another serve uses {service.data}")
    assert done.stderr.count("\n") == 1
    assert httpx.get(f"{service.url}/ready").status_code == 200


def test_a_new_key_and_a_new_domain_work_at_once(service: Service) -> None:
    """Made by commands beside it: the very next call may use them."""
    service.cli_json("domains", "add", "news.example.com", "--tenant", "default", "--trust")
    made = service.cli_json("keys", "create", "--scopes", "mail.send")
    caller = Caller(service.url, made["api_key"])
    [ident] = caller.send(mail(from_={"email": "hello@news.example.com"}))
    until(lambda: caller.status(ident) == "delivered")
    caller.close()


def test_a_revoked_key_stops_within_a_second(service: Service) -> None:
    """Although a key in use is remembered."""
    key = service.key(["mail.send"])
    caller = Caller(service.url, key)
    caller.send(mail())
    service.cli_json("keys", "revoke", service.key_ids[key])
    ended = time.monotonic()
    until(lambda: caller.http.get("/v3/messages").status_code == 401)
    assert time.monotonic() - ended < 1.2  # the call that asks takes its time too
    caller.close()


def test_commands_work_beside_it(service: Service, commands: Commands) -> None:
    """What waits is what waits in the running service; the schema is in order; the doctor finds nothing."""
    caller = Caller(service.url, service.key())
    [ident] = caller.send(mail("ada@later.example", send_at=int(time.time()) + 3600))
    commands.data = service.data
    assert commands.json("queue")["by_domain"].get("later.example") == 1
    assert commands.json("migrate", "--check") == {"version": newest(), "newest": newest(), "fits": True}
    with DnsServer() as server:
        commands.env["POSTCLOCK_DNS"] = server.address
        assert commands.json("doctor")["ok"] is True
    caller.cancel(ident)
    caller.close()


def test_sigterm_ends_it_in_order(tmp_path: Path) -> None:
    """Exit status 0, for SIGINT too; and it starts again where it was."""
    service = Service(tmp_path).start()
    caller = Caller(service.url, service.key())
    due = int(time.time()) + 3600
    [ident] = caller.send(mail(send_at=due))
    caller.close()
    service.terminate()
    assert service.wait() == 0
    with service.start():
        again = Caller(service.url, service.key())
        assert again.status(ident) == "queued"
        again.close()
        os.kill(service.pid, signal.SIGINT)
        assert service.wait() == 0


def test_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    """The folder's lock is gone with the process: another starts at once, with what was accepted."""
    with Service(tmp_path).start() as service:
        caller = Caller(service.url, service.key())
        [ident] = caller.send(mail(send_at=int(time.time()) + 3600))
        caller.close()
        service.kill()
        service.start()
        caller = Caller(service.url, service.key())
        assert caller.status(ident) == "queued"
        caller.close()


def test_its_log_is_json_lines_without_secrets(tmp_path: Path) -> None:
    """At the most talkative level too: no key, no password of the relay, no body."""
    with Sink() as sink:
        relay = f"relay://user:tell-nobody@127.0.0.1:{sink.port}"
        env = {"POSTCLOCK_COURIER": relay, "POSTCLOCK_LOG": "debug", "POSTCLOCK_SECRET_KEY": "ab" * 32}
        with Service(tmp_path, env=env) as service:
            key = service.key()
            caller = Caller(service.url, key)
            # The sink offers no AUTH: the relay cannot be used, which is worth a line.
            caller.send(mail(content=[{"type": "text/plain", "value": "between-us-two"}]))
            caller.http.post("/v3/mail/send", content=b"{")
            caller.close()
            until(lambda: sink.commands)
            service.terminate()
            assert service.wait() == 0
    lines = [json.loads(line) for line in service.log.splitlines()]
    assert lines
    assert all({"at", "level", "from", "message"} <= set(line) for line in lines)
    for secret in (key, "tell-nobody", "ab" * 32, "between-us-two"):
        assert secret not in service.log


def test_another_secret_key_does_not_start(tmp_path: Path) -> None:
    """In one line, before anything is served; and the store is left as it was."""
    service = Service(tmp_path)
    service.prepare()
    done = run_postclock("serve", data=service.data, env={"POSTCLOCK_SECRET_KEY": "ab" * 32})
    assert done.returncode == 1
    assert "the secret key is not the one this store was written under" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    with service:
        assert httpx.get(f"{service.url}/ready").status_code == 200


def test_a_port_in_use_is_told(service: Service, tmp_path: Path) -> None:
    """With the setting to change."""
    taken = service.url.removeprefix("http://")
    done = run_postclock("serve", data=tmp_path / "var", env={"POSTCLOCK_LISTEN": taken})
    assert done.returncode == 1
    assert done.stderr == f"postclock: cannot listen on {taken}: Address already in use (POSTCLOCK_LISTEN)\n"


def test_where_it_listens_is_one_json_object_when_asked(tmp_path: Path) -> None:
    """For scripts that start it on a free port."""
    service = Service(tmp_path, args=["--json"])
    service.spawn()
    said = json.loads(service.wait_for_line("url"))
    assert httpx.get(said["url"] + "/health").status_code == 200
    service.stop()


def test_the_inbox_needs_both_parts_in_one_process(tmp_path: Path) -> None:
    """What one part caught the other could not show."""
    done = run_postclock("serve", "--only", "engine", data=tmp_path / "var")
    assert done.returncode == 1
    assert "the inbox courier needs API and engine in one process" in done.stderr
