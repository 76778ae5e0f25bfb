"""Stopped, killed, started again: nothing that was accepted is lost, nothing is sent twice unless the timeline says why."""

import contextlib
import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.parts import Ground, each_to, ground, header, mail, soon, until

QUICK = {"POSTCLOCK_FINAL_REPLY_TIMEOUT": "1s", "POSTCLOCK_UNCERTAIN_WAIT": "1s"}
"""An uncertain mail is sent again a second after it departed."""


def again(here: Ground) -> Ground:
    """Start it again in the same folder."""
    here.service.args = ()
    here.service.start()
    here.new_caller()
    return here


def test_sigterm_under_load(tmp_path: Path) -> None:
    """In the middle of a thousand mails: exit 0, and after the next start each of them has arrived exactly once."""
    with ground(tmp_path) as here:
        addresses = [f"load{i}@example.com" for i in range(1_000)]
        batch = here.caller.batch()
        here.caller.send(each_to(addresses, batch_id=batch))
        here.sink.wait_for(100)
        here.service.terminate()
        assert here.service.wait() == 0
        before = len(here.sink.mails)
        assert before < 1_000
        again(here).caller.batch_settles(batch, 1_000)
        assert sorted(m.rcpts[0] for m in here.sink.mails) == sorted(addresses)
        assert len({header(m, "Message-ID") for m in here.sink.mails}) == 1_000


def test_a_final_reply_within_the_grace_settles(tmp_path: Path) -> None:
    """The conversation past the final dot may end; its answer is recorded before the exit."""
    with ground(tmp_path) as here:
        hold = here.sink.hold("dot")
        [ident] = here.caller.send(mail("graced@example.com"))
        hold.wait()
        here.service.terminate()
        until(lambda: "stopping" in here.service.log)
        hold.release()
        assert here.service.wait() == 0
        assert again(here).caller.events(ident) == ["processed", "delivered"]
        assert len(here.came_to("graced@example.com")) == 1


def test_a_final_reply_beyond_the_grace_is_uncertain(tmp_path: Path) -> None:
    """The exit does not wait for it; the timeline says so, and the mail is sent again after the wait."""
    with ground(tmp_path, QUICK | {"POSTCLOCK_STOP_GRACE": "200ms"}) as here:
        hold = here.sink.hold("dot")
        [ident] = here.caller.send(mail("beyond@example.com"))
        hold.wait()
        here.service.terminate()
        assert here.service.wait() == 0
        hold.release()
        again(here).caller.settles(ident, "delivered")
        assert here.caller.events(ident) == ["processed", "uncertain", "retried", "delivered"]


def test_what_has_not_passed_the_dot_is_queued_again(tmp_path: Path) -> None:
    """Stopped between DATA and its reply: aborted at once, and nobody calls it uncertain."""
    with ground(tmp_path) as here:
        hold = here.sink.hold("data")
        [ident] = here.caller.send(mail("aborted@example.com"))
        hold.wait()
        began = time.monotonic()
        here.service.terminate()
        assert here.service.wait() == 0
        assert time.monotonic() - began < 6, "it waited for a conversation that it may abort"
        hold.release()
        again(here).caller.settles(ident, "delivered")
        assert here.caller.events(ident) == ["processed", "delivered"]
        assert len(here.came_to("aborted@example.com")) == 1


def test_a_stop_does_not_wait_for_a_silent_host(tmp_path: Path) -> None:
    """A relay that takes the connection and says nothing keeps no process alive; its mail waits as before."""
    with ground(tmp_path, {"POSTCLOCK_STOP_GRACE": "500ms"}) as here:
        here.sink.cut()
        hold = here.sink.hold("connect")
        [ident] = here.caller.send(mail("silent@example.com"))
        hold.wait()
        here.service.terminate()
        assert here.service.wait(10) == 0
        hold.release()
        assert again(here).caller.settles(ident, "delivered")["events"][-1]["event_type"] == "delivered"


def test_a_second_that_passes_while_it_is_down(tmp_path: Path) -> None:
    """The mail goes out at the next start, once, and its lateness is told."""
    with ground(tmp_path) as here:
        at = soon(1)
        [ident] = here.caller.send(mail("slept@example.com", send_at=at))
        here.service.kill()
        until(lambda: time.time() > at)
        done = again(here).caller.settles(ident, "delivered")
        assert done["lateness_ms"] > 0
        here.wait_for("slept@example.com")


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
        total, kills = 300, sorted(dice.sample(range(20, 290), 4))
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
