"""Every endpoint of the running service against every scope, both modes and two tenants: nobody gets further than their key."""

import re
from typing import Any, cast

import httpx
import pytest

from postclock.api.endpoint import Endpoint
from postclock.api.scaisend.api_keys import key_endpoints
from postclock.api.scaisend.batches import batch_endpoints
from postclock.api.scaisend.event_settings import event_settings_endpoints
from postclock.api.scaisend.mail_send_endpoint import MAIL_SEND
from postclock.api.scaisend.messages import message_endpoints
from postclock.api.scaisend.scopes import scope_endpoints
from postclock.api.scaisend.suppressions import bounce_endpoints, spam_report_endpoints, unsubscribe_endpoints
from postclock.api.scaisend.templates import template_endpoints
from postclock.api.scaisend.tracking_settings import tracking_setting_endpoints
from postclock.api.scaisend.webhooks import webhook_endpoints
from postclock.core.account import ALL_SCOPES, Scope
from postclock.core.message import Mode
from tests.end_to_end.parts import Caller, Ground, mail, soon

NOBODY = cast(Any, None)  # the endpoints are read as values here; nothing asks their services
ENDPOINTS: tuple[Endpoint, ...] = (
    MAIL_SEND, *batch_endpoints(NOBODY), *message_endpoints(NOBODY), *template_endpoints(NOBODY), *bounce_endpoints(NOBODY),
    *key_endpoints(NOBODY), *scope_endpoints(), *tracking_setting_endpoints(NOBODY), *webhook_endpoints(NOBODY),
    *event_settings_endpoints(NOBODY), *spam_report_endpoints(NOBODY), *unsubscribe_endpoints(NOBODY),
)  # fmt: skip


def ask(ground: Ground, key: str, endpoint: Endpoint, ids: dict[str, str], body: Any = None) -> httpx.Response:
    """One call with these ids in its path."""
    path = re.sub(r"\{(\w+)[^}]*\}", lambda m: ids.get(m[1], "none"), endpoint.path)
    return ground.caller.http.request(endpoint.method, path, headers={"Authorization": f"Bearer {key}"}, json=body)


def test_the_walk_covers_the_document(shared: Ground) -> None:
    """What is walked here is what the process serves."""
    paths = shared.caller.get("/v3/openapi.json")["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert {(e.method, re.sub(r":\w+", "", e.path)) for e in ENDPOINTS} == served - {("GET", "/v3/openapi.json")}


@pytest.mark.parametrize("mode", ["live", "test"])
def test_each_scope_opens_its_endpoints_and_no_other(shared: Ground, mode: Mode) -> None:
    """With it: not 403. With all the others and without it: 403 that names it."""
    for scope in Scope:
        alone = shared.service.key([scope], mode, read_messages=False)
        rest = shared.service.key(sorted(ALL_SCOPES - {scope}), mode, read_messages=False)
        for endpoint in ENDPOINTS:
            answer = ask(shared, alone, endpoint, {})
            opened = not endpoint.scopes or scope in endpoint.scopes
            assert (answer.status_code != 403) == opened, (endpoint.method, endpoint.path, scope, answer.text[:200])
            if endpoint.scopes == (scope,):
                refused = ask(shared, rest, endpoint, {})
                assert refused.status_code == 403, (endpoint.method, endpoint.path, scope)
                assert scope.value in refused.text


def belongings(caller: Caller, tag: str) -> dict[str, str]:
    """One object of each kind, by the name it has in paths."""
    batch = caller.batch()
    template = caller.post("/v3/templates", {"name": tag}, code=201)["id"]
    version = caller.post(f"/v3/templates/{template}/versions", {"name": "v", "subject": "s"}, code=201)["id"]
    caller.post("/v3/suppression/bounces", {"email": f"{tag}@bounces.example.com"}, code=201)
    body = mail("mine@example.com", batch_id=batch, send_at=soon(3_600))
    key = caller.post("/v3/api_keys", {"name": tag, "scopes": ["mail.send"]}, code=201)["id"]
    webhook = caller.post("/v3/user/webhooks", {"url": "https://hooks.invalid/in"}, code=201)["id"]
    return {
        "batch_id": batch, "message_id": caller.send(body)[0], "template_id": template, "version_id": version,
        "email": f"{tag}@bounces.example.com", "key_id": key, "webhook_id": webhook,
    }  # fmt: skip


BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/v3/templates/{template_id}"): {"name": "taken over"},
    ("POST", "/v3/templates/{template_id}/versions"): {"name": "v2", "subject": "s"},
    ("PATCH", "/v3/api_keys/{key_id}"): {"name": "taken over"},
    ("PATCH", "/v3/user/webhooks/{webhook_id}"): {"enabled": False},
}


def test_another_tenants_things_are_not_there(shared: Ground) -> None:
    """Every path with an id of another tenant is 404, whatever the verb, and changes nothing."""
    ids = belongings(shared.caller, "foreign")
    assert shared.service.cli("tenants", "create", "stranger").returncode == 0
    stranger = shared.service.key(tenant="stranger")
    before = shared.caller.detail(ids["message_id"])
    walked = [e for e in ENDPOINTS if "{" in e.path]
    assert len(walked) >= 20
    for endpoint in walked:
        answer = ask(shared, stranger, endpoint, ids, BODIES.get((endpoint.method, endpoint.path)))
        if answer.status_code == 200 and endpoint.path.startswith("/v3/asm/suppressions/global/"):
            assert answer.text == "{}"  # as SendGrid says that an address is on no list
            continue
        assert answer.status_code == 404, (endpoint.method, endpoint.path, answer.text[:200])
    assert shared.caller.detail(ids["message_id"]) == before
    assert shared.caller.get(f"/v3/templates/{ids['template_id']}")["name"] == "foreign"
    assert shared.caller.get(f"/v3/user/webhooks/{ids['webhook_id']}")["enabled"]
    assert shared.caller.get(f"/v3/suppression/bounces/{ids['email']}")
    theirs = Caller(shared.service.url, stranger)
    assert theirs.get("/v3/messages")["total"] == 0
    assert theirs.get("/v3/messages", batch_id=ids["batch_id"])["messages"] == []
    assert theirs.get("/v3/suppression/bounces")["total"] == 0
    refused = theirs.post("/v3/mail/send", mail(batch_id=ids["batch_id"], send_at=soon(60)), code=400)
    unknown = theirs.post("/v3/mail/send", mail(batch_id="bat_0000000000000", send_at=soon(60)), code=400)
    assert refused["errors"] == unknown["errors"]
    theirs.close()


def test_a_test_key_sees_and_touches_test_rows_only(shared: Ground) -> None:
    """A live message and batch are not there for it, nor its own for a live key; its mail never leaves."""
    tester = Caller(shared.service.url, shared.service.key(environment="test"))
    live = belongings(shared.caller, "live-thing")
    hook = tester.post("/v3/user/webhooks", {"url": "https://hooks.invalid/in"}, code=201)["id"]
    tested = {"batch_id": tester.batch(), "message_id": "", "webhook_id": hook}
    [tested["message_id"]] = tester.send(mail("tested@example.com", batch_id=tested["batch_id"]))
    for endpoint in ENDPOINTS:
        if any(name in endpoint.path for name in ("{message_id}", "{batch_id}", "{webhook_id}")):
            assert ask(shared, tester.key, endpoint, live).status_code == 404, endpoint.path
            assert ask(shared, shared.caller.key, endpoint, tested).status_code == 404, endpoint.path
    assert tester.http.get(f"/v3/suppression/bounces/{live['email']}").status_code == 404
    assert {m["id"] for m in tester.all_messages()} == {tested["message_id"]}
    assert tested["message_id"] not in {m["id"] for m in shared.caller.all_messages()}
    assert tester.status(tested["message_id"]) == "sandbox"
    assert tester.batch_status(tested["batch_id"])["status_counts"]["sandbox"] == 1
    assert not shared.came_to("tested@example.com")
    tester.close()


def test_a_key_that_was_revoked_opens_nothing(shared: Ground) -> None:
    """From the answer on: 401."""
    made = shared.caller.post("/v3/api_keys", {"name": "short-lived", "scopes": ["mail.send"]}, code=201)
    guest = Caller(shared.service.url, made["api_key"])
    guest.send(mail("guest@example.com"))
    assert shared.caller.http.delete(f"/v3/api_keys/{made['id']}").is_success
    assert list(guest.post("/v3/mail/send", mail("guest@example.com"), code=401)) == ["errors"]
    guest.close()
