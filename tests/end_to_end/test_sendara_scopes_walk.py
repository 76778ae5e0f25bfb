"""Every endpoint of /v1 against its three scopes, both modes and two tenants: nobody gets further than their key."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest

from postclock.api.endpoint import Endpoint
from postclock.api.sendara.account import account_endpoints
from postclock.api.sendara.domains import domain_endpoints
from postclock.api.sendara.keys import key_endpoints
from postclock.api.sendara.messages import message_endpoints
from postclock.api.sendara.send_endpoints import SEND, SEND_BATCH
from postclock.api.sendara.suppressions import suppression_endpoints
from postclock.api.sendara.templates import simple_template_endpoints
from postclock.api.sendara.test_recipients import recipient_endpoints
from postclock.api.sendara.usage import usage_endpoints
from postclock.api.sendara.validate import validate_endpoints
from postclock.api.sendara.webhooks import webhook_endpoints
from postclock.core.account import SENDARA_SCOPES
from postclock.core.message import Mode
from tests.end_to_end.parts import Caller, Ground

NOBODY = cast(Any, None)  # the endpoints are read as values here; nothing asks their services
ENDPOINTS: tuple[Endpoint, ...] = (
    SEND, SEND_BATCH, *message_endpoints(NOBODY, NOBODY), *validate_endpoints(NOBODY), *webhook_endpoints(NOBODY),
    *suppression_endpoints(NOBODY), *key_endpoints(NOBODY), *account_endpoints(NOBODY), *simple_template_endpoints(NOBODY),
    *domain_endpoints(NOBODY), *usage_endpoints(NOBODY), *recipient_endpoints(NOBODY),
)  # fmt: skip
FROM = {"from_email": "hello@mail.example.com"}


def ask(ground: Ground, key: str, endpoint: Endpoint, ids: dict[str, str], body: Any = None) -> httpx.Response:
    """One call with these ids in its path."""
    path = re.sub(r"\{(\w+)[^}]*\}", lambda m: ids.get(m[1], "none"), endpoint.path)
    return ground.caller.http.request(endpoint.method, path, headers={"Authorization": f"Bearer {key}"}, json=body)


def names(endpoint: Endpoint) -> list[str]:
    """The names in its path."""
    return re.findall(r"\{(\w+)", endpoint.path)


def test_every_endpoint_asks_for_a_scope_that_somebody_has() -> None:
    """Only the state of the account is for any key; an admin key opens all."""
    assert [e.path for e in ENDPOINTS if not e.scopes] == ["/v1/account/verification"]
    for endpoint in ENDPOINTS:
        assert SENDARA_SCOPES["admin"].issuperset(endpoint.scopes)


@pytest.mark.parametrize("mode", ["live", "test"])
@pytest.mark.parametrize("scope", ["send", "read", "admin"])
def test_each_scope_opens_its_endpoints_and_no_other(shared: Ground, mode: Mode, scope: str) -> None:
    """What it stands for is not 403; everything else is, in the envelope of /v1."""
    key = shared.service.key([scope], mode, "sendara")
    for endpoint in ENDPOINTS:
        if (mode, endpoint.path) == ("test", "/v1/spend-caps"):
            continue  # what live mail may cost is for live keys, whatever their scope
        answer = ask(shared, key, endpoint, {})
        opened = not endpoint.scopes or not SENDARA_SCOPES[scope].isdisjoint(endpoint.scopes)
        assert (answer.status_code != 403) == opened, (endpoint.method, endpoint.path, answer.text[:200])
        if not opened:
            error = answer.json()["error"]
            assert (error["code"], error["status"]) == ("forbidden", 403)


def belongings(caller: Caller, tag: str) -> dict[str, str]:
    """One object of each kind, by the name it has in paths."""
    at = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "channel": "email", "destination": {"email": f"{tag}@example.com"}, "payload": {"subject": "s", "body_text": "t"},
        "metadata": FROM, "scheduled_at": at,
    }  # fmt: skip
    template = caller.post("/v1/templates", {"name": tag, "channel": "email", "subject": "s"}, code=201)["id"]
    webhook = caller.post("/v1/webhooks", {"endpoint_url": "https://hooks.invalid/in"}, code=201)["id"]
    return {
        "message_id": caller.post("/v1/send", body, code=201)["id"],
        "template_id": template,
        "webhook_id": webhook,
        "key_id": caller.post("/v1/keys", {"scope": "send", "test_mode": True}, code=201)["id"],
        "domain": caller.post("/v1/domains", {"domain": f"{tag}.example.org"}, code=201)["domain"],
    }


BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/v1/templates/{template_id}"): {"name": "taken over"},
    ("POST", "/v1/templates/{template_id}/render"): {"vars": {}},
    ("PUT", "/v1/webhooks/{webhook_id}"): {"is_active": False},
    ("PUT", "/v1/domains/{domain}"): {"default_from_name": "taken over"},
    ("PATCH", "/v1/domains/{domain}"): {"default_from_name": "taken over"},
}


def test_another_tenants_things_are_not_there(shared: Ground) -> None:
    """Every path with an id of another tenant is 404 not_found, whatever the verb, and changes nothing."""
    owner = Caller(shared.service.url, shared.service.key(dialect="sendara"))
    ids = belongings(owner, "foreign")
    assert shared.service.cli("tenants", "create", "stranger").returncode == 0
    stranger = shared.service.key(tenant="stranger", dialect="sendara")
    before = owner.get(f"/v1/messages/{ids['message_id']}")
    walked = [e for e in ENDPOINTS if names(e)]
    assert len(walked) >= 15
    for endpoint in walked:
        answer = ask(shared, stranger, endpoint, ids, BODIES.get((endpoint.method, endpoint.path)))
        assert answer.status_code == 404, (endpoint.method, endpoint.path, answer.text[:200])
        assert answer.json()["error"]["code"] == "not_found"
    assert owner.get(f"/v1/messages/{ids['message_id']}") == before
    assert owner.get(f"/v1/templates/{ids['template_id']}")["name"] == "foreign"
    assert owner.get(f"/v1/webhooks/{ids['webhook_id']}")["is_active"]
    owner.close()


def test_a_test_key_does_not_touch_live_messages_and_webhooks(shared: Ground) -> None:
    """Nor a live key those of test mode."""
    live = Caller(shared.service.url, shared.service.key(dialect="sendara"))
    tester = Caller(shared.service.url, shared.service.key(environment="test", dialect="sendara"))
    for one, other in ((live, tester), (tester, live)):
        hook = one.post("/v1/webhooks", {"endpoint_url": "https://hooks.invalid/in"}, code=201)["id"]
        body = {
            "channel": "email", "destination": {"email": "x@example.com"}, "payload": {"subject": "s", "body_text": "t"}, "metadata": FROM,
        }  # fmt: skip
        ids = {"webhook_id": hook, "message_id": one.post("/v1/send", body, code=201)["id"]}
        for endpoint in ENDPOINTS:
            if {"webhook_id", "message_id"} & set(names(endpoint)):
                assert ask(shared, other.key, endpoint, ids).status_code == 404, endpoint.path
    live.close()
    tester.close()
