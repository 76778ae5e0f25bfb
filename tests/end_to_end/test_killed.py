"""Killed: at every named point of a mail's path, and at random. Nothing accepted is lost, nothing cancelled is sent, nothing comes
twice unless the timeline says "uncertain"."""

import contextlib
import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.parts import QUICK, Ground, again, ground, mail, soon, until

NEVER_DEPARTED = ("accept_committed", "reserved", "claimed", "prepared")
NO_DOT = ("departed", "mail_sent", "data_half")
AFTER_DOT = ("dot_sent", "reply_read")


@pytest.mark.parametrize("point", [*NEVER_DEPARTED, *NO_DOT, *AFTER_DOT, "recorded"])
def test_killed_at(point: str, tmp_path: Path) -> None:
    """SIGKILL there, and a start in the same folder: the mail is stored, sent by the rules, and its story is told."""
    with ground(tmp_path, QUICK, args=("--die-at", point)) as here:
        big = mail("killed@example.com", content=[{"type": "text/plain", "value": "A line of text.\n" * 40_000}])
        if point == "reserved":
            big["send_at"] = soon(1)
        with contextlib.suppress(httpx.TransportError):  # it died before it could answer
            here.caller.http.post("/v3/mail/send", json=big, headers={"Idempotency-Key": "one"})
        assert here.service.wait() == -9
        before = here.came_to("killed@example.com")
        again(here)
        answer = here.caller.http.post("/v3/mail/send", json=big, headers={"Idempotency-Key": "one"})
        assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (202, "true")
        ident = answer.json()["message_id"]
        assert [m["id"] for m in here.caller.all_messages()] == [ident]
        done = here.caller.settles(ident, "delivered")
        events = [e["event_type"] for e in done["events"]]
        came = here.came_to("killed@example.com")
        assert here.verifies(came[-1])
        assert len({m.content for m in came}) == 1, "a mail that is sent again is the same, octet by octet"
        if point in NEVER_DEPARTED or point == "recorded":
            assert events == ["processed", "delivered"]
            assert len(came) == 1
        else:
            assert events == ["processed", "uncertain", "retried", "delivered"]
            assert done["attempts"] == 2
            assert len(came) == len(before) + 1
            assert not before or point in AFTER_DOT


def test_what_becomes_of_the_uncertain(tmp_path: Path) -> None:
    """Three policies, three ends: sent again after the wait, held for a person, taken as sent."""
    with ground(tmp_path, QUICK) as here:
        hold = here.sink.hold("dot")
        idents = {
            policy: here.caller.send(mail(f"{policy}@example.com", postclock={"uncertain": policy}))[0]
            for policy in ("resend", "hold", "assume_sent")
        }
        until(lambda: len(hold.conversations) == 3)
        here.service.kill()
        here.sink.cut()  # what it holds has no one to answer to
        hold.release()
        again(here)
        done = here.caller.settles(idents["resend"], "delivered")
        assert [e["event_type"] for e in done["events"]] == ["processed", "uncertain", "retried", "delivered"]
        assumed = here.caller.settles(idents["assume_sent"], "delivered")
        assert [e["event_type"] for e in assumed["events"]] == ["processed", "uncertain", "delivered"]
        assert assumed["events"][-1]["metadata"]["assumed"] is True
        held = here.caller.detail(idents["hold"])
        assert (held["status"], held["may_already_be_delivered"]) == ("sending", True)
        refused = here.caller.cancel(idents["hold"])
        assert refused["status"] == "sending"
        here.caller.post(f"/v3/messages/{idents['hold']}/retry")
        done = here.caller.settles(idents["hold"], "delivered")
        assert [e["event_type"] for e in done["events"]] == ["processed", "uncertain", "retried", "delivered"]
        assert sorted(m.rcpts[0] for m in here.sink.mails) == ["hold@example.com", "resend@example.com"]


class Client:
    """Sends and cancels through kills: a call without an answer is made again."""

    def __init__(self, here: Ground) -> None:
        self.here = here
        self.idents: dict[str, str] = {}
        self.told_cancelled: set[str] = set()

    def call(self, path: str, body: Any = None, **headers: str) -> Any:
        """The answer; while the service is down, it is started."""
        while True:
            try:
                answer = self.here.caller.http.post(path, json=body, headers=headers)
            except httpx.TransportError:
                assert self.here.service.wait() == -9
                again(self.here)
            else:
                assert answer.status_code in (200, 202), answer.text[:300]
                return answer.json()


def test_random_kills(tmp_path: Path) -> None:
    """Killed again and again among sends and cancels: none lost, none sent after "cancelled", none twice without "uncertain"."""
    dice = random.Random(20261121)
    with ground(tmp_path, QUICK) as here:
        client = Client(here)
        batch = here.caller.batch()
        total, kills = 300, sorted(dice.sample(range(20, 290), 3))
        for i in range(total):
            address = f"random{i}@example.com"
            body = mail(address)
            if i % 2:
                body["batch_id"] = batch
            if i % 3 == 0:
                body["send_at"] = int(time.time()) + 1 + i % 2
            answer = client.call("/v3/mail/send", body, **{"Idempotency-Key": address})
            client.idents[address] = answer["message_id"]
            if i % 5 == 4:
                victim = f"random{i - dice.randrange(3)}@example.com"
                said = client.call(f"/v3/messages/{client.idents[victim]}/cancel")
                if said["status"] == "cancelled":
                    client.told_cancelled.add(victim)
            if i in kills:
                here.service.kill()
        here.service.kill()
        again(here)
        ends = {a: here.caller.settles(i) for a, i in client.idents.items()}
        assert len(here.caller.all_messages()) == total
        assert client.told_cancelled
        counts = here.caller.batch_settles(batch)["status_counts"]
        words = [m["status"] for m in here.caller.all_messages(batch_id=batch)]
        assert counts == {word: words.count(word) for word in counts}
        for address, done in ends.items():
            came = here.came_to(address)
            events = [e["event_type"] for e in done["events"]]
            if address in client.told_cancelled:
                assert not came, f"{address} was sent although cancelled: {events}"
                assert done["status"] == "cancelled"
            else:
                assert done["status"] == "delivered", done
                assert came, f"{address} is lost: {events}"
                assert len(came) <= 1 + events.count("uncertain"), f"{address} came {len(came)} times: {events}"
                assert len({m.content for m in came}) == 1
