"""What servers say and what becomes of it: later, no, half and half, nothing at all; and what a person may do about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.parts import Ground, ground, mail, soon, unix, until
from tests.support.sink import DROP


def by_address(address: str) -> str | None:
    """The server's answer to RCPT: what the address begins with says it."""
    for beginning, reply in {
        "later": "451 4.3.0 come back later",
        "gone": "550 5.1.1 no such user",
        "block": "554 5.7.1 we do not like you",
    }.items():
        if address.startswith(beginning):
            return reply
    return None


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A service in front of such a server."""
    with ground(tmp_path_factory.mktemp("deferrals")) as made:
        made.sink.answer("rcpt", by_address, always=True)
        yield made


def last_event(detail: Any) -> Any:
    return detail["events"][-1]


def is_deferred(here: Ground, ident: str) -> Any:
    """The message once an attempt of it was deferred."""
    until(lambda: "deferred" in here.caller.events(ident))
    return here.caller.detail(ident)


def refusal(here: Ground, ident: str, verb: str) -> str:
    """Why a step is refused."""
    return str(here.caller.post(f"/v3/messages/{ident}/{verb}", code=400)["detail"])


def test_later_means_deferred(here: Ground) -> None:
    """A 451 is shown as queued, with the reply, the attempt and the time of the next one about a minute away."""
    [ident] = here.caller.send(mail("later1@example.com"))
    shown = is_deferred(here, ident)
    assert (shown["status"], shown["error_message"], shown["attempts"]) == ("queued", "451 4.3.0 come back later", 1)
    event = last_event(shown)
    assert event["metadata"]["smtp_response"] == "451 4.3.0 come back later"
    assert event["recipient_email"] == "later1@example.com"
    wait = event["metadata"]["next_attempt_at"] - event["timestamp"]
    assert 47 <= wait <= 73
    assert abs(unix(shown["next_attempt_at"]) - event["metadata"]["next_attempt_at"]) <= 1
    assert shown["recipients"][0]["status"] == "deferred"
    assert not shown["may_already_be_delivered"]
    assert "retried" in refusal(here, ident, "retry")
    assert here.caller.cancel(ident)["status"] == "cancelled"
    assert here.caller.events(ident) == ["processed", "deferred", "cancelled"]


def test_deferred_can_be_failed_by_hand(here: Ground) -> None:
    """With a reason that the timeline keeps; then it may be queued again, and its attempts begin anew."""
    [ident] = here.caller.send(mail("later2@example.com"))
    is_deferred(here, ident)
    done = here.caller.post(f"/v3/messages/{ident}/fail", {"reason": "the customer called"})
    assert done["status"] == "failed"
    shown = here.caller.detail(ident)
    assert (last_event(shown)["event_type"], last_event(shown)["metadata"]["reason"]) == (
        "failed",
        "the customer called",
    )
    assert here.caller.post(f"/v3/messages/{ident}/retry")["status"] == "queued"
    until(lambda: here.caller.events(ident).count("deferred") == 2)
    event = last_event(here.caller.detail(ident))
    assert event["metadata"]["next_attempt_at"] - event["timestamp"] <= 73
    here.caller.cancel(ident)


def test_no_such_user_bounces_and_is_suppressed(here: Ground) -> None:
    """A hard 550: bounced, on the bounce list, the next mail to it is dropped; removed from the list it may be retried."""
    [ident] = here.caller.send(mail("gone1@example.com"))
    shown = here.caller.settles(ident, "bounced")
    event = last_event(shown)
    assert event["event_type"] == "bounce"
    assert (event["metadata"]["smtp_response"], event["metadata"]["bounce_type"]) == ("550 5.1.1 no such user", "hard")
    assert shown["recipients"][0]["smtp_response"] == "550 5.1.1 no such user"
    [entry] = here.caller.get("/v3/suppression/bounces/gone1@example.com")
    assert (entry["reason"], entry["bounce_type"], entry["status"]) == ("550 5.1.1 no such user", "hard", "5.1.1")
    tries = len([c for c in here.sink.commands if "gone1@" in c])
    [dropped] = here.caller.send(mail("Gone1@Example.com"))
    shown = here.caller.settles(dropped, "failed")
    assert last_event(shown)["event_type"] == "dropped"
    assert len([c for c in here.sink.commands if "gone1@" in c.lower()]) == tries
    assert "remove the suppression first" in refusal(here, ident, "retry")
    assert here.caller.http.delete("/v3/suppression/bounces/gone1@example.com").status_code == 204
    here.caller.post(f"/v3/messages/{ident}/retry")
    until(lambda: here.caller.events(ident).count("bounce") == 2)


def test_a_block_is_no_bounce(here: Ground) -> None:
    """The server refuses us, not the address: bounced, told as blocked, and the address stays open."""
    [ident] = here.caller.send(mail("block1@example.com"))
    shown = here.caller.settles(ident, "bounced")
    assert last_event(shown)["event_type"] == "blocked"
    assert last_event(shown)["metadata"]["bounce_type"] == "block"
    assert here.caller.http.get("/v3/suppression/bounces/block1@example.com").status_code == 404


def test_one_mail_with_three_fates(here: Ground) -> None:
    """Taken, refused and put off in one transaction: three outcomes, one message that waits, and a cancel that says so."""
    [ident] = here.caller.send(mail("fine@example.com", "gone2@example.com", "later3@example.com"))
    shown = is_deferred(here, ident)
    assert shown["status"] == "queued"
    assert {r["email"]: r["status"] for r in shown["recipients"]} == {
        "fine@example.com": "delivered", "gone2@example.com": "bounced", "later3@example.com": "deferred",
    }  # fmt: skip
    assert {(e["event_type"], e["recipient_email"]) for e in shown["events"][1:]} == {
        ("delivered", "fine@example.com"), ("bounce", "gone2@example.com"), ("deferred", "later3@example.com"),
    }  # fmt: skip
    assert shown["may_already_be_delivered"]
    assert here.wait_for("fine@example.com").rcpts == ("fine@example.com",)
    answer = here.caller.cancel(ident)
    assert answer["message"] == "May already have been delivered; 1 of 3 recipients were stopped"
    assert answer["status"] == "bounced"
    shown = here.caller.detail(ident)
    assert [r["status"] for r in shown["recipients"]] == ["delivered", "bounced", "given_up"]


def test_a_line_that_breaks(here: Ground) -> None:
    """Before the final dot nothing can have been taken: deferred. After it nobody knows: uncertain, and a person may end it."""
    here.sink.answer("data", DROP)
    [before] = here.caller.send(mail("broken1@example.com"))
    assert is_deferred(here, before)["status"] == "queued"
    assert "uncertain" not in here.caller.events(before)
    here.sink.answer("dot", DROP)
    [after] = here.caller.send(mail("broken2@example.com"))
    until(lambda: "uncertain" in here.caller.events(after))
    shown = here.caller.detail(after)
    assert (shown["status"], shown["may_already_be_delivered"]) == ("sending", True)
    assert last_event(shown)["metadata"]["next_attempt_at"] >= int(unix(shown["departed_at"])) + 11 * 60
    answer = here.caller.cancel(after)
    assert answer["status"] == "sending"
    assert here.caller.post(f"/v3/messages/{after}/fail", {"reason": "asked them"})["status"] == "failed"
    shown = here.caller.detail(after)
    assert (last_event(shown)["event_type"], shown["may_already_be_delivered"]) == ("failed", True)
    assert here.caller.cancel(before)["status"] == "cancelled"


@pytest.mark.parametrize(
    ("reply", "state", "event"), [("451 4.3.0 full", "queued", "deferred"), ("554 5.6.0 bad", "bounced", "bounce")]
)
def test_the_final_dot_can_be_refused(here: Ground, reply: str, state: str, event: str) -> None:
    """An answer is never uncertainty."""
    here.sink.answer("dot", reply)
    [ident] = here.caller.send(mail(f"dot-{state}@example.com"))
    until(lambda: event in here.caller.events(ident))
    shown = here.caller.detail(ident)
    assert (shown["status"], last_event(shown)["metadata"]["smtp_response"]) == (state, reply)
    assert not shown["may_already_be_delivered"]


def test_what_may_not_be_retried_or_failed(here: Ground) -> None:
    """Delivered, waiting, in flight, unknown: each refusal says why."""
    [done] = here.caller.send(mail("done@example.com"))
    here.caller.settles(done, "delivered")
    assert "delivered" in refusal(here, done, "retry")
    assert "delivered" in refusal(here, done, "fail")
    assert here.caller.cancel(done) == {
        "message_id": done,
        "status": "delivered",
        "message": "Already delivered; cancellation ignored",
    }
    hold = here.sink.hold("dot")
    [flying] = here.caller.send(mail("flying@example.com"))
    hold.wait()
    assert "in flight" in refusal(here, flying, "retry")
    assert "in flight" in refusal(here, flying, "fail")
    hold.release()
    here.caller.settles(flying, "delivered")
    for verb in ("cancel", "retry", "fail"):
        assert here.caller.post(f"/v3/messages/msg_0000000000000000/{verb}", code=404) == {
            "detail": "Message not found"
        }


def test_a_host_that_is_away(tmp_path: Path) -> None:
    """Nobody listens: the mail waits without a departure, and leaves seconds after the host is back."""
    with ground(tmp_path) as here:
        here.sink.stop()
        [ident] = here.caller.send(mail("away@example.com"))
        shown = is_deferred(here, ident)
        assert shown["departed_at"] is None
        assert not shown["may_already_be_delivered"]
        here.sink.start()
        done = here.caller.settles(ident, "delivered")
        assert {e["event_type"] for e in done["events"]} == {"processed", "deferred", "delivered"}
        assert done["lateness_ms"] > 0
        here.wait_for("away@example.com")


def test_a_batch_cancel_in_the_thick_of_it(here: Ground) -> None:
    """One message in every situation there is: the answer counts each where it belongs, and then the batch comes to its end."""
    caller = here.caller
    batch = caller.batch()

    def send(*to: str, **more: Any) -> str:
        return caller.send(mail(*to, batch_id=batch, **more))[0]

    delivered, bounced = send("b-fine@example.com"), send("gone-b@example.com")
    deferred, exposed = send("later-b@example.com"), send("b-part@example.com", "later-b2@example.com")
    scheduled = send("b-waits@example.com", send_at=soon(3_600))
    for ident in (delivered, bounced):
        caller.settles(ident)
    for ident in (deferred, exposed):
        is_deferred(here, ident)
    here.sink.answer("dot", DROP)
    uncertain = send("b-unsure@example.com")
    until(lambda: "uncertain" in caller.events(uncertain))
    hold = here.sink.hold("dot")
    flying = send("b-flies@example.com")
    hold.wait()
    answer = caller.post(f"/v3/mail/batch/{batch}/cancel")
    assert answer == {
        "batch_id": batch, "total_messages": 7, "cancelled": 2, "stopped": 1, "in_flight": 1, "uncertain": 1, "sent": 0, "settled": 2,
    }  # fmt: skip
    counts = caller.batch_status(batch)["status_counts"]
    assert (counts["queued"], counts["cancelled"], counts["processing"]) == (0, 2, 2)
    for ident in (deferred, scheduled):
        assert caller.status(ident) == "cancelled"
    assert {m["id"] for m in caller.all_messages(batch_id=batch, status="cancelled")} == {deferred, scheduled}
    assert "batch is cancelled" in refusal(here, bounced, "retry")
    hold.release()
    assert caller.settles(flying)["status"] == "delivered"
    assert caller.settles(exposed)["status"] == "delivered"
    assert [r["status"] for r in caller.detail(exposed)["recipients"]] == ["delivered", "given_up"]
    caller.post(f"/v3/messages/{uncertain}/fail")
    done = caller.batch_settles(batch)
    assert done["status_counts"] == dict.fromkeys(counts, 0) | {
        "delivered": 3,
        "bounced": 1,
        "failed": 1,
        "cancelled": 2,
    }
    again = caller.post(f"/v3/mail/batch/{batch}/cancel")
    assert (again["cancelled"], again["settled"], again["total_messages"]) == (2, 5, 7)
