"""The running service against calls made from its own OpenAPI document: never a 500, never silence, and answers as described."""

from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode

from tests.end_to_end.fuzz import every_operation
from tests.end_to_end.parts import Ground, mail


@pytest.fixture(scope="module")
def schema(shared: Ground) -> Any:
    """The document as the process serves it."""
    return schemathesis.openapi.from_url(f"{shared.service.url}/v3/openapi.json")


@pytest.fixture(scope="module")
def key_id(shared: Ground) -> str:
    """A key that exists; made once, because only ten may be made in a minute."""
    return str(shared.caller.post("/v3/api_keys", {"name": "fuzz", "scopes": ["mail.send"]}, code=201)["id"])


@pytest.fixture(scope="module")
def webhook_id(shared: Ground) -> str:
    """A webhook that exists and leads nowhere; made once, as keys are."""
    return str(shared.caller.post("/v3/user/webhooks", {"url": "https://hooks.invalid/"}, code=201)["id"])


def fields(ground: Ground, key_id: str, webhook_id: str) -> dict[str, str]:
    """Ids that exist, so that the calls get beyond 404."""
    batch = ground.caller.batch()
    template = ground.caller.post("/v3/templates", {"name": f"fuzz {batch}"}, code=201)["id"]
    version = ground.caller.post(f"/v3/templates/{template}/versions", {"name": "v", "subject": "s"}, code=201)["id"]
    return {
        "key_id": key_id, "batch_id": batch, "message_id": ground.caller.send(mail("fuzz@example.com", batch_id=batch))[0], "template_id": template,
        "version_id": version, "email": "fuzz@example.com", "webhook_id": webhook_id,
    }  # fmt: skip


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
def test_every_operation(shared: Ground, schema: Any, key_id: str, webhook_id: str, mode: GenerationMode) -> None:
    """Good calls and bad ones, of every operation of the document, with the ids of things that exist and with any."""

    def fill(case: Any) -> None:
        if case.operation.path == "/v3/mail/send" and isinstance(case.body, dict):
            case.body |= mail("fuzz@example.com")

    known = fields(shared, key_id, webhook_id)
    assert every_operation(schema, mode, shared.caller.key, known, fill) >= 30
    assert shared.caller.http.get("/ready").status_code == 200
    [ident] = shared.caller.send(mail("after-fuzz@example.com"))
    shared.caller.settles(ident, "delivered")
