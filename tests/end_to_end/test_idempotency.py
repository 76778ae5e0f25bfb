"""Idempotency-Key over HTTP: a call that is made again, at once or later or many times at the same moment, is one call."""

from tests.end_to_end.parts import Ground, each_to, in_parallel, mail, soon

REPLAYED = "Idempotency-Replayed"


def test_a_hundred_equal_calls_at_once(shared: Ground) -> None:
    """One message; all get its id, and the recipient one mail."""
    key = {"Idempotency-Key": "hundred"}
    body = mail("once@example.com")
    answers = in_parallel(
        lambda _: shared.caller.http.post("/v3/mail/send", json=body, headers=key), range(100), threads=100
    )
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["message_id"] for a in answers}) == 1
    assert {a.headers["X-Message-Id"] for a in answers} == {answers[0].json()["message_id"]}
    assert sum(REPLAYED not in a.headers for a in answers) == 1
    shared.caller.settles(answers[0].json()["message_id"], "delivered")
    shared.wait_for("once@example.com")
    assert shared.caller.get("/v3/messages", to_email="once@example.com")["total"] == 1


def test_a_replay_gets_all_ids_in_order(shared: Ground) -> None:
    """A call with several personalizations; its fields may be written in another order."""
    key = {"Idempotency-Key": "several"}
    body = each_to(["r1@example.com", "r2@example.com", "r3@example.com"], send_at=soon(3_600))
    first = shared.caller.send(body, headers=key)
    assert shared.caller.send(dict(reversed(body.items())), headers=key) == first
    for ident in first:
        shared.caller.cancel(ident)
    assert shared.caller.send(body, headers=key) == first, "also when it is long over"


def test_another_body_under_the_same_key(shared: Ground) -> None:
    """422, which names the header; the first message stands."""
    key = {"Idempotency-Key": "other"}
    shared.caller.send(mail("first@example.com"), headers=key)
    refused = shared.caller.post("/v3/mail/send", mail("second@example.com"), code=422, headers=key)
    assert refused["errors"][0]["message"]
    assert shared.caller.get("/v3/messages", to_email="second@example.com")["total"] == 0


def test_a_refused_call_does_not_use_its_key(shared: Ground) -> None:
    """Mended, it goes through under the same key."""
    key = {"Idempotency-Key": "mended"}
    shared.caller.post("/v3/mail/send", mail("nobody"), code=400, headers=key)
    [ident] = shared.caller.send(mail("mended@example.com"), headers=key)
    shared.caller.settles(ident, "delivered")


def test_a_replay_is_answered_whatever_the_checks_say_now(shared: Ground) -> None:
    """The batch is cancelled meanwhile: a new call is refused, the old one gets its answer."""
    batch = shared.caller.batch()
    body = mail("batched@example.com", batch_id=batch, send_at=soon(3_600))
    first = shared.caller.send(body, headers={"Idempotency-Key": "batched"})
    shared.caller.post(f"/v3/mail/batch/{batch}/cancel")
    assert shared.caller.send(body, headers={"Idempotency-Key": "batched"}) == first
    shared.caller.post("/v3/mail/send", body, code=400, headers={"Idempotency-Key": "new"})


def test_keys_of_modes_and_tenants_are_apart(shared: Ground) -> None:
    """A test key's call is another call."""
    key = {"Idempotency-Key": "apart"}
    live = shared.caller.send(mail("apart@example.com"), headers=key)
    test = shared.caller.http.post(
        "/v3/mail/send", json=mail("apart@example.com"),
        headers=key | {"Authorization": f"Bearer {shared.service.key(environment='test')}"},
    )  # fmt: skip
    assert test.status_code == 202
    assert REPLAYED not in test.headers
    assert [test.json()["message_id"]] != live
    assert len(shared.came_to("apart@example.com")) <= 1
    shared.wait_for("apart@example.com")


def test_a_key_nobody_can_mean(shared: Ground) -> None:
    """Empty, or longer than 255 characters: 400."""
    for key in ("", "k" * 256):
        refused = shared.caller.post("/v3/mail/send", mail(), code=400, headers={"Idempotency-Key": key})
        assert refused["errors"][0]["field"] == "Idempotency-Key"
    shared.caller.send(mail("longest@example.com"), headers={"Idempotency-Key": "k" * 255})
