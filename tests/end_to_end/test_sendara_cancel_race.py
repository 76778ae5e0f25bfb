"""Cancels of /v1 against departing mail: canceled is never sent, not_found always is."""

from tests.end_to_end.parts import Ground, each_to, in_parallel, soon, until

PEOPLE = 1_000
LATER = 200
"""Of them so many are due in an hour: however slow the cancels are, these they reach."""
CANCELLERS = 8


def test_cancels_of_v1_against_departures(shared: Ground) -> None:
    """Eight callers cancel a thousand scheduled messages while they leave; every answer stays true."""
    caller = shared.caller
    addresses = [f"v1race{i}@example.com" for i in range(PEOPLE)]
    batch = caller.batch()
    idents = caller.send(each_to(addresses[:-LATER], batch_id=batch, send_at=soon(2)))
    idents += caller.send(each_to(addresses[-LATER:], batch_id=batch, send_at=soon(3_600)))
    until(lambda: any(m.rcpts[0].startswith("v1race") for m in tuple(shared.sink.mails)))

    def cancel(ident: str) -> bool:
        answer = caller.http.post(f"/v1/messages/{ident}/cancel")
        if answer.status_code == 200:
            assert answer.json() == {"id": ident, "status": "canceled"}
            return True
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        return False

    # From the end of the queue towards what departs now.
    told = dict(zip(reversed(idents), in_parallel(cancel, list(reversed(idents)), CANCELLERS), strict=True))
    caller.batch_settles(batch)
    end = {m["id"]: m["status"] for m in caller.all_messages(batch_id=batch)}
    sent = [m.rcpts[0] for m in shared.sink.mails if m.rcpts[0].startswith("v1race")]
    assert len(sent) == len(set(sent)), "somebody got it twice"
    for ident, address in zip(idents, addresses, strict=True):
        assert end[ident] == ("cancelled" if told[ident] else "delivered")
        assert (address in sent) is not told[ident]
    assert all(told[ident] for ident in idents[-LATER:])
    assert not all(told.values())
