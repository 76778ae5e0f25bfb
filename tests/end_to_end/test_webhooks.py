"""Webhooks of the running service: what is posted is what their receivers' own libraries take."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sendara import Sendara
from sendara.errors import NotFoundError
from sendara.webhooks import verify
from sendgrid.helpers.eventwebhook import EventWebhook

from tests.end_to_end.parts import Caller, Ground, ground, mail, until
from tests.support.receiver import Posted, Receiver

FROM = "Shop <hello@mail.example.com>"
ENOUGH = {"processed", "sent", "delivered"}
Where = tuple[Ground, Receiver]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Where]:
    """A service that may post to this machine, and somebody there who takes every post."""
    with (
        Receiver() as receiver,
        ground(tmp_path_factory.mktemp("webhooks"), {"POSTCLOCK_WEBHOOK_ALLOW": "127.0.0.0/8"}) as made,
    ):
        yield made, receiver


@pytest.fixture(scope="module")
def client(here: Where) -> Iterator[Sendara]:
    """Sendara's library with a live key."""
    with Sendara(here[0].service.key(dialect="sendara"), base_url=here[0].service.url) as made:
        yield made


def types_of(posts: list[Posted], name: str, message: str) -> list[str]:
    """The types a message's posts told, in the order they came."""
    return [e[name] for p in posts for e in p.events if message in (e.get("message_id"), e.get("sg_message_id"))]


def told(name: str, message: str, *types: str) -> Callable[[list[Posted]], bool]:
    """Whether all of these were told of a message."""
    return lambda posts: set(types) <= set(types_of(posts, name, message))


def test_sendaras_library_manages_subscriptions(client: Sendara, here: Where) -> None:
    """Create, list, read, change, rotate, deliveries, delete: each method against the service."""
    url = here[1].url + "/managed"
    made = client.webhooks.create(endpoint_url=url, event_types=["delivered", "bounced"])
    assert made.id is not None
    assert (made.endpoint_url, made.event_types, made.is_active) == (url, ["delivered", "bounced"], True)
    assert [w.id for w in client.webhooks.list()] == [made.id]
    read = client.webhooks.get(made.id)
    assert (read.signing_secret, read.account_id) == (made.signing_secret, made.account_id)
    changed = client.webhooks.update(made.id, is_active=False, event_types=[])
    assert (changed.is_active, changed.event_types, changed.endpoint_url) == (False, [], url)
    rotated = client.webhooks.rotate_secret(made.id)
    assert rotated.signing_secret != made.signing_secret == rotated.raw["previous_signing_secret"]
    assert client.webhooks.deliveries(made.id, limit=5) == []
    client.webhooks.delete(made.id)
    with pytest.raises(NotFoundError):
        client.webhooks.get(made.id)


def test_sendaras_library_believes_what_a_v1_subscription_gets(client: Sendara, here: Where) -> None:
    """One event a post, in order, signed; the deliveries are listed as delivered."""
    _, receiver = here
    hook = client.webhooks.create(endpoint_url=receiver.url + "/v1")
    assert hook.id is not None
    assert hook.signing_secret is not None
    sent = client.emails.send(to="ada@example.com", subject="Hi", text="Hello", from_=FROM, idempotency_key="hooked-1")
    assert sent.id is not None
    posts = receiver.wait_for("/v1", told("event_type", sent.id, "queued", "delivered"))
    assert types_of(posts, "event_type", sent.id)[0] == "queued"
    assert types_of(posts, "event_type", sent.id)[-1] == "delivered"
    for p in posts:
        event = verify(hook.signing_secret, p.body, p.headers)
        assert (p.headers["sendara-event-id"], p.headers["sendara-event-type"]) == (
            event["event_id"],
            event["event_type"],
        )
        assert event["account_id"] == hook.account_id
        assert event["payload"]["to"] == "ada@example.com"
        assert event["payload"]["idempotency_key"] == "hooked-1"
    timeline = client.messages.get(sent.id).events or []
    assert [e["id"] for e in timeline] == [p.json["event_id"] for p in posts]

    def settled() -> Any:
        listed = client.webhooks.deliveries(hook.id or "")
        return listed if all(d.status == "delivered" for d in listed) else None

    listed = until(settled)
    assert [d.event_id for d in reversed(listed)] == [p.json["event_id"] for p in posts]
    assert {(d.attempt_count, d.response_status) for d in listed} == {(1, 204)}
    rotated = client.webhooks.rotate_secret(hook.id)
    assert rotated.signing_secret is not None
    again = client.request("POST", f"/v1/webhooks/{hook.id}/deliveries/{listed[0].id}/replay")
    assert again == {"replayed": 1}
    replayed = receiver.wait_for("/v1", lambda found: len(found) > len(posts))[-1]
    assert replayed.json["event_id"] == listed[0].event_id
    assert verify(rotated.signing_secret, replayed.body, replayed.headers) == replayed.json
    before = {**replayed.headers, "sendara-signature": replayed.headers["sendara-signature-previous"]}
    assert verify(hook.signing_secret, replayed.body, before) == replayed.json
    client.webhooks.delete(hook.id)


def test_sendgrids_library_believes_what_the_event_webhook_gets(here: Where) -> None:
    """Arrays of its event objects, signed with the key that the settings show."""
    made, receiver = here
    caller = made.caller
    settings = {"enabled": True, "url": receiver.url + "/sendgrid", "processed": True, "delivered": True}
    assert caller.http.patch("/v3/user/webhooks/event/settings", json=settings).status_code == 200
    signed = caller.http.patch("/v3/user/webhooks/event/settings/signed", json={"enabled": True})
    verifier = EventWebhook(signed.json()["public_key"])
    [ident] = caller.send(mail("bob@example.com", categories=["digest"], custom_args={"order": "7"}))
    posts = receiver.wait_for("/sendgrid", told("event", ident, "processed", "delivered"))
    for p in posts:
        signature = p.headers["x-twilio-email-event-webhook-signature"]
        assert verifier.verify_signature(
            p.body.decode(), signature, p.headers["x-twilio-email-event-webhook-timestamp"]
        )
    events = [e for p in posts for e in p.events]
    assert [e["event"] for e in events] == ["processed", "delivered"]
    taken = made.wait_for("bob@example.com")
    assert {(e["email"], e["order"], tuple(e["category"])) for e in events} == {("bob@example.com", "7", ("digest",))}
    assert all(e["smtp-id"].encode() in taken.content for e in events)
    caller.http.patch("/v3/user/webhooks/event/settings", json={"enabled": False})


def test_both_dialects_hear_of_each_others_mail(client: Sendara, here: Where) -> None:
    """A /v1 send is told to an endpoint of /v3, and the other way round; each in its own words."""
    made, receiver = here
    hook = made.caller.post(
        "/v3/user/webhooks", {"url": receiver.url + "/both3", "enabled_events": ["*", "sent"]}, code=201
    )
    sub = client.webhooks.create(endpoint_url=receiver.url + "/both1", event_types=["delivered"])
    ours = client.emails.send(to="cyd@example.com", subject="Hi", text="Hello", from_=FROM).id
    [theirs] = made.caller.send(mail("dan@example.com"))
    assert ours is not None
    for ident in (ours, theirs):
        receiver.wait_for("/both3", told("event_type", ident, "processed", "delivered"))
        receiver.wait_for("/both1", told("event_type", ident, "delivered"))
    assert {e["event_type"] for p in receiver.posts("/both1") for e in p.events} == {"delivered"}
    made.caller.http.delete(f"/v3/user/webhooks/{hook['id']}")
    client.webhooks.delete(sub.id or "")


def test_test_mail_is_told_to_test_webhooks_alone(client: Sendara, here: Where) -> None:
    """A test key's simulated bounce: accepted, bounced, signed like everything; a live subscription hears nothing of it."""
    made, receiver = here
    live = client.webhooks.create(endpoint_url=receiver.url + "/live")
    with Sendara(made.service.key(environment="test", dialect="sendara"), base_url=made.service.url) as tester:
        hook = tester.webhooks.create(endpoint_url=receiver.url + "/test")
        sent = tester.emails.send(to="bounced@example.com", subject="Hi", text="Hello", from_=FROM)
        assert sent.id is not None
        assert hook.signing_secret is not None
        posts = receiver.wait_for("/test", told("event_type", sent.id, "accepted", "bounced"))
        assert types_of(posts, "event_type", sent.id) == ["accepted", "bounced"]
        assert verify(hook.signing_secret, posts[-1].body, posts[-1].headers)["payload"]["bounce_type"] == "Permanent"
    ours = client.emails.send(to="eve@example.com", subject="Hi", text="Hello", from_=FROM).id
    assert ours is not None
    receiver.wait_for("/live", told("event_type", ours, "delivered"))
    assert {e["message_id"] for p in receiver.posts("/live") for e in p.events} == {ours}
    client.webhooks.delete(live.id or "")


def test_a_target_inside_is_refused(here: Where) -> None:
    """Only the network that was allowed; also on /v1, naming the field."""
    made, _ = here
    refused = made.caller.post("/v3/user/webhooks", {"url": "https://169.254.169.254/latest"}, code=400)
    assert [e["loc"] for e in refused["detail"]] == [["url"]]
    sendara = Caller(made.service.url, made.service.key(dialect="sendara"))
    refused = sendara.post("/v1/webhooks", {"endpoint_url": "https://10.0.0.1/"}, code=400)
    assert refused["error"]["code"] == "invalid_request"
    assert "endpoint_url" in refused["error"]["message"]
    sendara.close()
