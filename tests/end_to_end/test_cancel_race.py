"""Cancels against departing mail: whoever was told "cancelled" is never sent, whoever was told "sending" is."""

from typing import Any

import pytest

from tests.end_to_end.parts import Caller, Ground, each_to, in_parallel, soon, until

PEOPLE = 1_500
CANCELLERS = 8


def people(name: str, n: int = PEOPLE) -> list[str]:
    return [f"{name}{i}@example.com" for i in range(n)]


def fate(caller: Caller, batch: str) -> dict[str, str]:
    """What became of each message of a batch, by its id, once all settled."""
    caller.batch_settles(batch)
    return {m["id"]: m["status"] for m in caller.all_messages(batch_id=batch)}


@pytest.mark.parametrize("scheduled", [True, False], ids=["at one second", "at once"])
def test_cancels_against_departures(shared: Ground, scheduled: bool) -> None:
    """Eight callers cancel fifteen hundred messages while they leave; every answer stays true."""
    caller = shared.caller
    name = "race-s" if scheduled else "race-n"
    addresses = people(name)
    batch = caller.batch()
    halves = [addresses[:1_000], addresses[1_000:]]
    at = soon(2)
    idents: list[str] = []
    for half in halves:
        idents += caller.send(each_to(half, batch_id=batch, **({"send_at": at} if scheduled else {})))
    # The first of them leaves; from here on both sides are at work.
    until(lambda: any(m.rcpts[0].startswith(name) for m in tuple(shared.sink.mails)))
    # From the end of the queue towards what departs now.
    told: dict[str, Any] = dict(
        zip(reversed(idents), in_parallel(caller.cancel, list(reversed(idents)), CANCELLERS), strict=True)
    )
    assert {a["message_id"]: a["status"] for a in told.values()} == {i: a["status"] for i, a in told.items()}
    end = fate(caller, batch)
    sent = {m.rcpts[0] for m in shared.sink.mails if m.rcpts[0].startswith(name)}
    assert len([m for m in shared.sink.mails if m.rcpts[0].startswith(name)]) == len(sent), "somebody got it twice"
    words: dict[str, int] = {}
    for ident, address in zip(idents, addresses, strict=True):
        word = told[ident]["status"]
        words[word] = words.get(word, 0) + 1
        if word == "cancelled":
            assert address not in sent
            assert end[ident] == "cancelled"
        else:
            assert word in ("sending", "delivered")
            assert address in sent
            assert end[ident] == "delivered"
    assert words.get("cancelled", 0) > 0, words
    assert len(sent) == PEOPLE - words["cancelled"]


def test_a_batch_cancel_against_departures(shared: Ground) -> None:
    """One call while the batch drains: its numbers add up, nothing departs after it, what was in flight settles."""
    caller, name = shared.caller, "whole"
    batch = caller.batch()
    addresses = people(name)
    for half in (addresses[:1_000], addresses[1_000:]):
        caller.send(each_to(half, batch_id=batch))
    until(lambda: sum(m.rcpts[0].startswith(name) for m in tuple(shared.sink.mails)) > 100)
    done = caller.post(f"/v3/mail/batch/{batch}/cancel")
    counts = caller.batch_status(batch)["status_counts"]
    parts = ("cancelled", "stopped", "in_flight", "uncertain", "sent", "settled")
    assert sum(done[p] for p in parts) == done["total_messages"] == PEOPLE
    assert done["cancelled"] > 0
    assert done["stopped"] == done["uncertain"] == done["sent"] == 0
    assert counts["queued"] == 0
    assert counts["cancelled"] == done["cancelled"]
    end = fate(caller, batch)
    sent = [m.rcpts[0] for m in shared.sink.mails if m.rcpts[0].startswith(name)]
    assert len(sent) == len(set(sent)) == done["in_flight"] + done["settled"]
    assert sum(word == "cancelled" for word in end.values()) == done["cancelled"]
    assert sum(word == "delivered" for word in end.values()) == len(sent)
    again = caller.post(f"/v3/mail/batch/{batch}/cancel")
    assert sum(again[p] for p in parts) == PEOPLE
    refused = caller.post("/v3/mail/send", each_to(["later@example.com"], batch_id=batch), code=400)
    assert [e["field"] for e in refused["errors"]] == ["batch_id"]


def test_a_batch_cancelled_before_its_second_sends_nothing(shared: Ground) -> None:
    """Cancelled while it is already prepared ahead; when the second comes nothing leaves."""
    caller = shared.caller
    batch = caller.batch()
    at = soon(2)
    caller.send(each_to(people("never", 300), batch_id=batch, send_at=at))
    [after] = caller.send(each_to(["after-never@example.com"], send_at=at + 1))
    until(lambda: caller.detail(after)["attempts"] > 0 or caller.status(after) != "queued")
    done = caller.post(f"/v3/mail/batch/{batch}/cancel")
    assert done["cancelled"] == done["total_messages"] == 300
    shared.wait_for("after-never@example.com")  # due later than all of the batch
    assert set(fate(caller, batch).values()) == {"cancelled"}
    assert not [m for m in shared.sink.mails if m.rcpts[0].startswith("never")]
