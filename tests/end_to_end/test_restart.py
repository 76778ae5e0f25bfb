"""Stopped, frozen, started again: what was under way ends by the rules, and nothing is lost or sent twice."""

import time
from pathlib import Path

from tests.end_to_end.parts import QUICK, again, each_to, ground, header, mail, soon, until


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
        here.sink.cut()
        hold.release()
        again(here).caller.settles(ident, "delivered")
        assert here.caller.events(ident) == ["processed", "uncertain", "retried", "delivered"]
        here.wait_for("beyond@example.com")


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


def test_a_process_that_stood_still(tmp_path: Path) -> None:
    """Stopped by SIGSTOP over a mail's second and let go on: the mail leaves then, once, and its lateness is told."""
    with ground(tmp_path) as here:
        at = soon(1)
        [ident] = here.caller.send(mail("frozen@example.com", send_at=at))
        here.service.freeze()
        until(lambda: time.time() > at + 0.5)
        assert not here.came_to("frozen@example.com")
        here.service.thaw()
        assert here.caller.settles(ident, "delivered")["lateness_ms"] >= 500
        here.wait_for("frozen@example.com")
        assert here.caller.events(ident) == ["processed", "delivered"]
