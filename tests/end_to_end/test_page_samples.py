"""Every sample of ScaiSend's page on scheduling and batches, run as it stands there; only base URL, key and ids are the service's.

The samples' text is in ``page/``. curl and Node run theirs; Python's are executed here.
"""

import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.end_to_end.parts import Ground, each_to, in_parallel, soon

PAGE = Path(__file__).parent / "page"
BASE = "https://scaisend.scailabs.ai"
DAY = 86_400


def sample(name: str, ground: Ground, **ids: str) -> str:
    """A sample's text with the service's URL and ids in the place of the page's."""
    text = (PAGE / name).read_text("utf-8").replace(BASE, ground.service.url)
    for mark, ident in {"msg_01HXYZ": ids.get("message"), "bat_01HXYZ": ids.get("batch")}.items():
        assert (mark in text) == (ident is not None), name
        text = text.replace(mark, ident or "")
    return text


def documented(name: str) -> Any:
    """An answer as the page shows it."""
    return json.loads((PAGE / name).read_text("utf-8"))


def same_shape(answer: Any, shown: Any) -> bool:
    """Whether an answer has the fields of the page's, with values of the same kinds; null stands for any."""
    if isinstance(shown, dict):
        return (
            isinstance(answer, dict)
            and answer.keys() == shown.keys()
            and all(same_shape(answer[k], shown[k]) for k in shown)
        )
    return shown is None or answer is None or type(answer) is type(shown)


def environment(ground: Ground) -> dict[str, str]:
    """A shell's environment with the key, and no proxy on the way to this machine."""
    return os.environ | {"SCAISEND_API_KEY": ground.caller.key, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def needs(tool: str) -> None:
    """Skip, saying why, on a machine without it; CI installs both."""
    if shutil.which(tool) is None:
        pytest.skip(f"this sample of the page needs {tool}")


def by_bash(text: str, ground: Ground) -> Any:
    """What curl printed: status and JSON."""
    needs("curl")
    done = subprocess.run(
        ["bash", "-c", text], env=environment(ground) | {"CURL_HOME": str(ground.service.data.parent)},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def by_node(text: str, ground: Ground, tmp_path: Path) -> str:
    """What a TypeScript sample printed; Node takes its text as a module as it stands."""
    needs("node")
    module = tmp_path / "sample.mjs"
    module.write_text(text, "utf-8")
    done = subprocess.run(
        ["node", str(module)], env=environment(ground), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def kept_connections(shared: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[httpx.Response]]:
    """The samples' ``httpx.get`` and ``httpx.post`` over one client (each would build a TLS context of its own, which is most
    of the time of 5,000 calls); all their answers."""
    answers: list[httpx.Response] = []
    with httpx.Client(trust_env=False, timeout=30) as client:

        def call(method: str, *args: Any, **more: Any) -> httpx.Response:
            answers.append(getattr(client, method)(*args, **more))
            return answers[-1]

        monkeypatch.setattr(httpx, "get", lambda *a, **m: call("get", *a, **m))
        monkeypatch.setattr(httpx, "post", lambda *a, **m: call("post", *a, **m))
        monkeypatch.setenv("SCAISEND_API_KEY", shared.caller.key)
        yield answers


def by_python(text: str, **names: Any) -> tuple[dict[str, Any], str]:
    """A Python sample's variables, and what it printed."""
    space = dict(names)
    said = io.StringIO()
    with redirect_stdout(said):
        exec(compile(text, "page", "exec"), space)
    return space, said.getvalue()


def test_the_curl_that_schedules(shared: Ground) -> None:
    """The page's second has passed, so the mail is sent now; the answer has a message_id."""
    answer = by_bash(sample("schedule.bash", shared), shared)
    done = shared.caller.settles(answer["message_id"], "delivered")
    assert (done["subject"], done["to_emails"], done["send_at"]) == ("Weekly digest", ["ada@example.com"], 1714060800)


def test_the_python_that_schedules(shared: Ground, kept_connections: list[httpx.Response]) -> None:
    """A day ahead: accepted at once (202), and queued until then."""
    by_python(sample("schedule.python", shared))
    [answer] = kept_connections
    assert answer.status_code == 202
    waiting = shared.caller.detail(answer.json()["message_id"])
    assert waiting["status"] == "queued"
    assert abs(waiting["send_at"] - time.time() - DAY) < 60


def test_the_typescript_that_schedules(shared: Ground, tmp_path: Path) -> None:
    """The same by Node's fetch."""
    before = {m["id"] for m in shared.caller.all_messages(status="queued")}
    by_node(sample("schedule.typescript", shared), shared, tmp_path)
    [new] = [m for m in shared.caller.all_messages(status="queued") if m["id"] not in before]
    assert abs(shared.caller.detail(new["id"])["send_at"] - time.time() - DAY) < 60


def test_scheduling_asks_for_its_scope(
    shared: Ground, kept_connections: list[httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key without mail.schedule gets 403 for the same sample."""
    monkeypatch.setenv("SCAISEND_API_KEY", shared.service.key(["mail.send"]))
    by_python(sample("schedule.python", shared))
    assert kept_connections[0].status_code == 403
    [error] = kept_connections[0].json()["errors"]
    assert "mail.schedule" in error["message"]


def test_the_curl_that_cancels(shared: Ground) -> None:
    """While it is queued: cancelled, also when asked twice; it is never sent."""
    [ident] = shared.caller.send(each_to(["cancelled@example.com"], send_at=soon(3_600)))
    for _ in range(2):
        answer = by_bash(sample("cancel.bash", shared, message=ident), shared)
        assert answer == documented("cancelled.json") | {"message_id": ident}
    assert shared.caller.status(ident) == "cancelled"
    assert not shared.came_to("cancelled@example.com")


def test_a_cancel_that_comes_too_late(shared: Ground) -> None:
    """While the SMTP conversation is held at the final dot, the answer is the page's "sending"."""
    hold = shared.sink.hold("dot")
    [ident] = shared.caller.send(each_to(["flying@example.com"]))
    hold.wait()
    try:
        answer = by_bash(sample("cancel.bash", shared, message=ident), shared)
        assert answer == documented("sending.json") | {"message_id": ident}
    finally:
        hold.release()
    shared.caller.settles(ident, "delivered")


def test_a_batch_made_by_curl_python_and_typescript(
    shared: Ground, kept_connections: list[httpx.Response], tmp_path: Path
) -> None:
    """Three ways to a batch id, each good for a send with the page's body."""
    by_curl = by_bash(sample("batch.bash", shared), shared)
    assert same_shape(by_curl, documented("batch.json"))
    space, _ = by_python(sample("batch.python", shared), os=os, httpx=httpx)
    assert kept_connections[0].status_code == 201
    by_fetch = by_node(sample("batch.typescript", shared) + "\nconsole.log(batch_id);\n", shared, tmp_path).strip()
    made = [by_curl["batch_id"], space["batch_id"], by_fetch]
    assert len(set(made)) == 3
    for batch in made:
        assert batch.startswith("bat_")
        [ident] = shared.caller.send(json.loads(sample("in_batch.json", shared, batch=batch)))
        assert shared.caller.detail(ident)["batch_id"] == batch
        shared.caller.batch_settles(batch, 1)


def test_the_aggregate_status_and_the_list(shared: Ground) -> None:
    """Both curls of the page: the counts with their eight words, and the batch's own messages."""
    batch = shared.caller.batch()
    waiting = shared.caller.send(each_to([f"w{i}@example.com" for i in range(3)], batch_id=batch, send_at=soon(3_600)))
    sent = shared.caller.send(each_to([f"s{i}@example.com" for i in range(2)], batch_id=batch))
    for ident in sent:
        shared.caller.settles(ident, "delivered")
    status = by_bash(sample("batch_status.bash", shared, batch=batch), shared)
    assert same_shape(status, documented("batch_status.json"))
    assert (status["batch_id"], status["total_messages"], status["is_complete"]) == (batch, 5, False)
    assert status["completed_at"] is None
    assert status["status_counts"] == dict.fromkeys(status["status_counts"], 0) | {"queued": 3, "delivered": 2}
    listed = by_bash(sample("batch_list.bash", shared, batch=batch), shared)
    assert {m["id"] for m in listed["messages"]} == {*waiting, *sent}
    assert listed["total"] == 5
    assert shared.caller.get("/v3/messages", batch_id=batch, status="bounced")["messages"] == []
    for ident in waiting:
        shared.caller.cancel(ident)
    assert shared.caller.batch_status(batch)["is_complete"]


def test_the_loop_that_cancels_a_batch_of_five_thousand(shared: Ground, kept_connections: list[httpx.Response]) -> None:
    """Page after page of a list that shrinks while it is read: all are cancelled, none is passed over, nothing is left to send."""
    batch = shared.caller.batch()
    for start in range(0, 5_000, 1_000):
        people = [f"many{i}@example.com" for i in range(start, start + 1_000)]
        shared.caller.send(each_to(people, batch_id=batch, send_at=soon(120)))
    assert shared.caller.batch_status(batch)["status_counts"]["queued"] == 5_000
    space, said = by_python(sample("cancel_batch.python", shared, batch=batch))
    assert (space["cancelled"], said) == (5_000, "Cancelled 5000 messages.\n")
    cancels = [a.json() for a in kept_connections if a.request.method == "POST"]
    assert {a["status"] for a in cancels} == {"cancelled"}
    assert len({a["message_id"] for a in cancels}) == 5_000
    done = shared.caller.batch_settles(batch, 0)
    assert done["status_counts"]["cancelled"] == 5_000
    # What is no longer in the queue cannot depart when its second comes.
    left = {m["batch_id"] for m in shared.caller.all_messages(status="queued")}
    assert batch not in left
    assert not [m for m in shared.sink.mails if m.rcpts[0].startswith("many")]


def make_template(ground: Ground, ident: str, **version: str) -> None:
    """A dynamic template with the id the page uses, and its active version."""
    ground.caller.post("/v3/templates", {"id": ident, "name": ident, "generation": "dynamic"}, code=201)
    ground.caller.post(f"/v3/templates/{ident}/versions", {"name": "one", "active": 1} | version, code=201)


def test_the_daily_digest(shared: Ground, kept_connections: list[httpx.Response]) -> None:
    """Each subscriber gets the template with their own name and digest; the sample ends with the counts."""
    make_template(
        shared, "d-daily-digest", subject="Digest for {{name}}",
        html_content="<p>Hi {{name}}</p><ul>{{#each digest.items}}<li>{{this}}</li>{{/each}}</ul>",
    )  # fmt: skip
    subscribers = [
        SimpleNamespace(
            email=f"reader{i}@example.com", name=f"Reader {i}", digest_data={"items": [f"item {i}", "more"]}
        )
        for i in range(5)
    ]
    space, said = by_python(sample("digest.python", shared), subscribers=subscribers)
    assert [a.status_code for a in kept_connections] == [201, *[202] * 5, 200]
    assert f"{sum(kept_connections[-1].json()['status_counts'].values())}" == "5"
    assert said.startswith("{'queued'")
    for i, m in enumerate(shared.wait_for_all([s.email for s in sorted(subscribers, key=lambda s: s.email)])):
        assert b"Subject: Digest for Reader " in m.content, i
        assert b"<li>item " in m.content
    shared.caller.batch_settles(space["batch_id"], 5)
    [one] = shared.caller.all_messages(batch_id=space["batch_id"], to_email="reader3@example.com")
    assert one["categories"] == ["digest", "daily"]


def test_ten_in_the_morning_where_each_one_lives(shared: Ground, kept_connections: list[httpx.Response]) -> None:
    """Whose ten o'clock has passed today gets it now, the others wait for theirs."""
    make_template(shared, "d-promo", subject="Sale", html_content="<p>Sale</p>")
    zones = ["Pacific/Auckland", "Asia/Kolkata", "Europe/Amsterdam", "America/New_York", "Pacific/Honolulu"]
    subscribers = [SimpleNamespace(email=f"zone{i}@example.com", timezone=z) for i, z in enumerate(zones)]
    by_python(sample("time_zones.python", shared), subscribers=subscribers)
    assert [a.status_code for a in kept_connections] == [202] * 5
    for user, answer in zip(subscribers, kept_connections, strict=True):
        told = shared.caller.detail(answer.json()["message_id"])
        local = datetime.fromtimestamp(told["send_at"], ZoneInfo(user.timezone))
        assert (local.hour, local.minute, local.second) == (10, 0, 0)
        if told["send_at"] > time.time() + 30:
            assert told["status"] == "queued"
        else:
            shared.caller.settles(told["id"], "delivered", seconds=60)
            assert b"Sale" in shared.wait_for(user.email).content
    assert {m["status"] for m in shared.caller.all_messages(template_id="d-promo")} <= {"queued", "delivered"}
    in_parallel(
        lambda m: shared.caller.cancel(m["id"]), shared.caller.all_messages(template_id="d-promo", status="queued")
    )
