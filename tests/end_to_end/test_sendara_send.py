"""Sendara's page on scheduled sends against the running service: its samples as they stand there, and each thing that it says.

The samples' text is in ``page_sendara/``; only base URL, key, ids, addresses and times are the service's. The service's clock is moved
on by just under a minute where a story waits for its moment: a larger step would be an accident, and held.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postclock.core.when import from_rfc_3339
from postclock.runtime.shifted_clock import ClockFile
from tests.end_to_end.parts import Caller, Ground, ground, header, in_parallel, until
from tests.support.process import DOMAIN

PAGE = Path(__file__).parent / "page_sendara"
STEP = 58
"""Seconds by which the clock is moved on."""
AHEAD = 66
"""Seconds from a call to its moment: a few more than the minute under which it would go at once, and than the step."""
WINDOW = 30.0
"""Seconds: "a short window" for a mail after its moment, on a busy machine."""


class Hand:
    """The service's clock: the machine's, and what it was moved on by."""

    def __init__(self, path: Path) -> None:
        self._file = ClockFile(path)
        self._ahead = 0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._ahead)

    def in_(self, seconds: float) -> str:
        """A moment as the service will see it, in whole seconds, not earlier than that."""
        at = (self.now() + timedelta(seconds=seconds + 0.999)).replace(microsecond=0)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def move_on(self) -> None:
        self._ahead += STEP
        self._file.shift(self._ahead * 1000)


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Hand:
    """What moves the clock."""
    return Hand(tmp_path_factory.mktemp("clock") / "clock")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, hand: Hand) -> Iterator[Ground]:
    """A service with a sink that takes everything; the stories share it."""
    folder = tmp_path_factory.mktemp("postclock")
    with ground(folder, args=("--clock-file", str(folder.parent / hand._file.path))) as there:
        yield there


@pytest.fixture(scope="module")
def v1(here: Ground) -> Iterator[Caller]:
    """A key of /v1 that may do everything."""
    caller = Caller(here.service.url, here.service.key(dialect="sendara"))
    yield caller
    caller.close()


def body(to: str, **more: Any) -> dict[str, Any]:
    """The page's send to another address; None takes a field out."""
    told: dict[str, Any] = {
        "channel": "email",
        "message_type": "transactional",
        "destination": {"email": to},
        "metadata": {"from_email": f"hello@{DOMAIN}"},
        "payload": {"subject": "See you Monday", "body_html": "<p>Reminder…</p>"},
    }
    told |= more
    return {name: value for name, value in told.items() if value is not None}


def send(v1: Caller, to: str, **more: Any) -> Any:
    return v1.post("/v1/send", body(to, **more), code=201)


def refused(v1: Caller, to: str, code: int, **more: Any) -> str:
    """The error's code."""
    error = v1.post("/v1/send", body(to, **more), code=code)["error"]
    assert error["status"] == code
    return str(error["code"])


def detail(v1: Caller, ident: str) -> Any:
    return v1.get(f"/v1/messages/{ident}")


def reaches(v1: Caller, ident: str, *words: str) -> Any:
    """The message once it is shown with one of these words."""
    until(lambda: detail(v1, ident)["status"] in words, 60)
    return detail(v1, ident)


def by_curl(name: str, here: Ground, v1: Caller, **marks: str) -> Any:
    """What a sample printed, with the service's URL and key and ``marks`` in the place of the page's."""
    if shutil.which("curl") is None:
        pytest.skip("this sample of the page needs curl")
    text = (PAGE / name).read_text("utf-8")
    given = {"https://api.sendara.dev": here.service.url, "sk_live_xxx": v1.key} | marks
    for mark, value in given.items():
        assert mark in text, mark
        text = text.replace(mark, value)
    done = subprocess.run(
        ["bash", "-c", text], env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "CURL_HOME": str(here.service.data.parent)},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def documented(name: str) -> Any:
    return json.loads((PAGE / name).read_text("utf-8"))


def test_the_curl_that_schedules_and_the_curl_that_cancels(here: Ground, v1: Caller, hand: Hand) -> None:
    """Both samples as they stand there: the answers have the page's fields and words."""
    at = hand.in_(86_400)
    told = by_curl(
        "schedule.bash", here, v1, **{"2026-06-20T14:00:00Z": at, "ada@example.com": "curl@example.com"}
    )  # fmt: skip
    shown = documented("scheduled.json")
    assert told == shown | {"id": told["id"], "created_at": told["created_at"]}
    assert abs(from_rfc_3339(told["created_at"]) / 1000 - hand.now().timestamp()) < 30
    again = by_curl("schedule.bash", here, v1, **{"2026-06-20T14:00:00Z": at, "ada@example.com": "curl@example.com"})
    assert again == told, "the same idempotency_key"
    canceled = by_curl("cancel.bash", here, v1, msg_7a3f9c=told["id"])
    assert canceled == documented("canceled.json") | {"id": told["id"]}


def test_the_message_is_accepted_immediately_and_persisted_with_status_scheduled(
    here: Ground, v1: Caller, hand: Hand
) -> None:
    """It is there for whoever looks, also by its key and in the other dialect, and nothing has gone."""
    told = send(v1, "persisted@example.com", scheduled_at=hand.in_(86_400), idempotency_key="persisted")
    assert told["status"] == "scheduled"
    assert detail(v1, told["id"])["status"] == "scheduled"
    assert v1.get("/v1/messages", idempotency_key="persisted")["id"] == told["id"]
    assert here.caller.status(told["id"]) == "queued"
    assert here.came_to("persisted@example.com") == []


def test_it_is_held_until_its_moment_and_then_dispatched_automatically_within_a_short_window(
    here: Ground, v1: Caller, hand: Hand
) -> None:
    """Nobody asks again: it goes at or shortly after, never before; then GET shows its status and the full timeline."""
    at = hand.in_(AHEAD)
    told = send(v1, "held@example.com", scheduled_at=at)
    assert told["status"] == "scheduled"
    hand.move_on()
    mail = here.wait_for("held@example.com")
    assert header(mail, "Subject") == "See you Monday"
    assert here.verifies(mail)
    done = reaches(v1, told["id"], "delivered")
    moment = from_rfc_3339(at)
    row = here.caller.detail(told["id"])
    assert row["send_at"] == moment // 1000
    sent = [from_rfc_3339(e["created_at"]) for e in done["events"] if e["event_type"] in ("sent", "delivered")]
    assert sent
    assert all(moment <= s <= moment + WINDOW * 1000 for s in sent)
    assert done["events"][0]["event_type"] == "queued"
    assert done["events"][-1]["event_type"] == "delivered"


def test_idempotency_verified_from_and_templates_work_as_for_an_immediate_send(
    here: Ground, v1: Caller, hand: Hand
) -> None:
    """Scheduled or not, the same refusals, the same replays, the same templates."""
    template = v1.post(
        "/v1/templates",
        {"name": "t", "channel": "email", "subject": "Hi {{ name }}", "body_text": "Dear {{ name }}",
         "variables": [{"name": "name", "required": True}]}, code=201,
    )["id"]  # fmt: skip
    for n, when in enumerate((None, hand.in_(86_400))):
        told = send(v1, f"same{n}@example.com", scheduled_at=when, idempotency_key=f"same{n}")
        assert send(v1, f"same{n}@example.com", scheduled_at=when, idempotency_key=f"same{n}")["id"] == told["id"]
        assert (
            refused(v1, "else@example.com", 409, scheduled_at=when, idempotency_key=f"same{n}")
            == "idempotency_key_reused"
        )
        assert (
            refused(v1, "x@example.com", 422, scheduled_at=when, metadata={"from_email": "a@elsewhere.com"})
            == "from_not_verified"
        )
        by_template = {"payload": None, "template_id": template, "scheduled_at": when}
        assert refused(v1, "x@example.com", 422, **by_template) == "missing_variable"
        send(v1, f"template{n}@example.com", template_vars={"name": "Ada"}, **by_template)
    assert header(here.wait_for("template0@example.com"), "Subject") == "Hi Ada"


def test_it_must_be_in_the_future_and_no_more_than_ninety_days_out(v1: Caller, hand: Hand) -> None:
    """Else 400 invalid_request, and so is what is no RFC 3339 timestamp."""
    assert send(v1, "far@example.com", scheduled_at=hand.in_(90 * 86_400 - 30))["status"] == "scheduled"
    for at in (hand.in_(90 * 86_400 + 30), hand.in_(-330), "2026-06-20T14:00:00", "next Monday"):
        assert refused(v1, "range@example.com", 400, scheduled_at=at) == "invalid_request"


def test_a_time_less_than_a_minute_away_or_a_little_past_sends_immediately(
    here: Ground, v1: Caller, hand: Hand
) -> None:
    """Both are queued, not scheduled, and go now."""
    for to, seconds in (("soon@example.com", 50), ("past@example.com", -240)):
        told = send(v1, to, scheduled_at=hand.in_(seconds))
        assert told["status"] == "queued"
        here.wait_for(to)
        reaches(v1, told["id"], "delivered")


def test_omit_it_to_send_now(here: Ground, v1: Caller) -> None:
    """Queued, and on its way."""
    told = send(v1, "now@example.com")
    assert told["status"] == "queued"
    here.wait_for("now@example.com")
    reaches(v1, told["id"], "delivered")


def test_scheduled_at_is_excluded_from_the_idempotency_hash(v1: Caller, hand: Hand) -> None:
    """Another time, or none: the original scheduled message, which keeps its own."""
    first = send(v1, "hash@example.com", scheduled_at=hand.in_(86_400), idempotency_key="hash")
    due = detail(v1, first["id"])["scheduled_at"]
    for at in (hand.in_(2 * 86_400), None):
        assert send(v1, "hash@example.com", scheduled_at=at, idempotency_key="hash") == first
    assert detail(v1, first["id"])["scheduled_at"] == due


def test_resubmitting_many_times_at_once_creates_no_duplicate(here: Ground, v1: Caller) -> None:
    """A hundred equal requests side by side: one message, all get its id, and one mail comes."""
    one = body("once@example.com", idempotency_key="once")
    answers = in_parallel(lambda _: v1.http.post("/v1/send", json=one), range(100), threads=50)
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in answers) == 1
    reaches(v1, answers[0].json()["id"], "delivered")
    here.wait_for("once@example.com")


def test_a_scheduled_message_is_charged_when_it_is_dispatched(here: Ground, v1: Caller, hand: Hand) -> None:
    """Usage counts it when it goes, not when it is scheduled; one that is canceled never."""

    def counted() -> int:
        return int(v1.get("/v1/usage")["total_send_count"])

    before = counted()
    told = send(v1, "charged@example.com", scheduled_at=hand.in_(AHEAD))
    other = send(v1, "uncharged@example.com", scheduled_at=hand.in_(86_400))
    v1.post(f"/v1/messages/{other['id']}/cancel")
    assert counted() == before
    hand.move_on()
    reaches(v1, told["id"], "delivered")
    until(lambda: counted() == before + 1)


def test_as_long_as_it_has_not_been_dispatched_it_can_be_canceled_and_is_never_sent(
    here: Ground, v1: Caller, hand: Hand
) -> None:
    """The row moves to canceled; its moment passes, and another mail of that moment goes without it."""
    at = hand.in_(AHEAD)
    canceled, other = send(v1, "never@example.com", scheduled_at=at), send(v1, "other@example.com", scheduled_at=at)
    answer = v1.post(f"/v1/messages/{canceled['id']}/cancel")
    assert answer == {"id": canceled["id"], "status": "canceled"}
    assert detail(v1, canceled["id"])["status"] == "canceled"
    assert here.caller.status(canceled["id"]) == "cancelled"
    hand.move_on()
    reaches(v1, other["id"], "delivered")
    assert here.came_to("never@example.com") == []
    assert detail(v1, canceled["id"])["status"] == "canceled"


def test_cancelling_what_was_sent_or_never_scheduled_is_404_not_found(here: Ground, v1: Caller, hand: Hand) -> None:
    """There is nothing to stop: sent, never scheduled, canceled already, unknown; nothing changes by it."""
    sent = send(v1, "sent@example.com")
    reaches(v1, sent["id"], "delivered")
    again = send(v1, "again@example.com", scheduled_at=hand.in_(86_400))
    v1.post(f"/v1/messages/{again['id']}/cancel")
    for ident in (sent["id"], again["id"], "msg_7a3f9c"):
        error = v1.post(f"/v1/messages/{ident}/cancel", code=404)["error"]
        assert (error["code"], error["status"]) == ("not_found", 404)
    assert detail(v1, sent["id"])["status"] == "delivered"


def test_a_batch_goes_through_to_the_mails(here: Ground, v1: Caller) -> None:
    """Bare arrays in and out; what was taken arrives, what was not is told in its place."""
    items = [body("batch0@example.com"), body("nobody"), body("batch1@example.com", scheduled_at=None)]
    told = v1.post("/v1/send/batch", items)
    assert [item["success"] for item in told] == [True, False, True]
    assert told[1]["error"]["code"] == "invalid_request"
    here.wait_for_all(["batch0@example.com", "batch1@example.com"])


def test_every_answer_carries_its_request_id(v1: Caller) -> None:
    """Also of what is unknown, and in the other dialect."""
    answers = [
        v1.http.get("/v1/messages"), v1.http.get("/v1/nowhere"), v1.http.post("/v1/send", json={}),
        v1.http.post("/v3/mail/send", json={}), v1.http.get("/v1/openapi.json"), v1.http.get("/health"),
    ]  # fmt: skip
    assert len({a.headers["X-Request-Id"] for a in answers}) == len(answers)
