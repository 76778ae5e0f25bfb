"""On the second: a mail leaves at its second, never before it, once, signed; an urgent one does not wait behind many."""

import time

from tests.end_to_end.parts import Ground, each_to, header, mail, soon, unix


def test_a_mail_arrives_at_its_second_and_not_before(shared: Ground) -> None:
    """Handed over now for a second ahead, it is queued until then and leaves in it."""
    at = soon(2)
    [ident] = shared.caller.send(mail("second@example.com", send_at=at))
    waiting = shared.caller.detail(ident)
    assert (waiting["status"], waiting["send_at"], waiting["departed_at"]) == ("queued", at, None)
    m = shared.wait_for("second@example.com")
    assert m.data_at >= at
    assert shared.verifies(m)
    done = shared.caller.settles(ident, "delivered")
    assert unix(done["due_at"]) == at
    assert 0 <= done["lateness_ms"] < 1_000
    assert unix(done["departed_at"]) >= at
    assert [e["event_type"] for e in done["events"]] == ["processed", "delivered"]


def test_a_thousand_mails_leave_in_one_second(shared: Ground) -> None:
    """All arrive, each once, none before the second, every one signed by the domain's published key."""
    at = soon(3)
    addresses = [f"thousand{i}@example.com" for i in range(1_000)]
    batch = shared.caller.batch()
    idents = shared.caller.send(each_to(addresses, send_at=at, batch_id=batch))
    assert len(set(idents)) == 1_000
    assert shared.caller.batch_status(batch)["status_counts"]["queued"] == 1_000
    mails = shared.wait_for_all(addresses)
    assert sorted(m.rcpts[0] for m in mails) == sorted(addresses)
    assert min(m.data_at for m in mails) >= at
    assert len({header(m, "Message-ID") for m in mails}) == 1_000
    assert all(shared.verifies(m) for m in mails)
    shared.caller.batch_settles(batch, 1_000)
    late = [shared.caller.detail(ident)["lateness_ms"] for ident in idents[::20]]
    assert min(late) >= 0


def test_each_personalization_has_its_own_second(shared: Ground) -> None:
    """The one that names a second keeps it; the others take the call's."""
    first, second = soon(2), soon(3)
    people = [{"to": [{"email": "early@example.com"}]}, {"to": [{"email": "late@example.com"}], "send_at": second}]
    idents = shared.caller.send(mail(personalizations=people, send_at=first))
    assert [shared.caller.detail(i)["send_at"] for i in idents] == [first, second]
    early, late = shared.wait_for("early@example.com"), shared.wait_for("late@example.com")
    assert first <= early.data_at < late.data_at
    assert late.data_at >= second


def test_a_second_in_the_past_means_now(shared: Ground) -> None:
    """A passed send_at is sent at once."""
    at = int(time.time()) - 3_600
    began = time.time()
    [ident] = shared.caller.send(mail("past@example.com", send_at=at))
    m = shared.wait_for("past@example.com")
    assert began <= m.data_at
    assert unix(shared.caller.settles(ident, "delivered")["due_at"]) >= int(began)


def test_a_password_reset_overtakes_a_draining_bulk(shared: Ground) -> None:
    """Handed over while two thousand drain, it arrives while most of them still wait."""
    addresses = [f"bulk{i}@example.com" for i in range(2_000)]
    batch = shared.caller.batch()
    for start in range(0, 2_000, 1_000):
        shared.caller.send(each_to(addresses[start : start + 1_000], batch_id=batch))
    before = len(shared.sink.mails)
    shared.caller.send(mail("reset@example.com", subject="Reset your password"))
    shared.wait_for("reset@example.com")
    place = next(i for i, m in enumerate(shared.sink.mails) if "reset@example.com" in m.rcpts)
    shared.wait_for_all(addresses)
    behind = sum(1 for m in shared.sink.mails[place:] if m.rcpts[0].startswith("bulk"))
    assert behind > 500, f"{before} before it was handed over, {behind} behind it"
    shared.caller.batch_settles(batch, 2_000)
    assert len([m for m in shared.sink.mails if m.rcpts[0].startswith("bulk")]) == 2_000
