"""The running service against calls made from its own OpenAPI document: never a 500, never silence, and answers as described."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.end_to_end.parts import Ground, mail

EXAMPLES = 10
SECONDS = 10.0
"""Nothing may take longer to answer."""


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


def fields(ground: Ground, key_id: str, webhook_id: str) -> dict[str, list[str]]:
    """Ids that exist, so that the calls get beyond 404."""
    batch = ground.caller.batch()
    template = ground.caller.post("/v3/templates", {"name": f"fuzz {batch}"}, code=201)["id"]
    version = ground.caller.post(f"/v3/templates/{template}/versions", {"name": "v", "subject": "s"}, code=201)["id"]
    return {
        "key_id": [key_id], "batch_id": [batch], "message_id": ground.caller.send(mail("fuzz@example.com", batch_id=batch)), "template_id": [template],
        "version_id": [version], "email": ["fuzz@example.com"], "webhook_id": [webhook_id],
    }  # fmt: skip


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
def test_every_operation(shared: Ground, schema: Any, key_id: str, webhook_id: str, mode: GenerationMode) -> None:
    """Good calls and bad ones, of every operation of the document, with the ids of things that exist and with any."""
    known = fields(shared, key_id, webhook_id)
    key = {"Authorization": f"Bearer {shared.caller.key}"}
    seen: dict[str, set[int]] = {}
    # What takes things away comes last.
    operations = sorted((r.ok() for r in schema.get_all_operations()), key=lambda o: o.method == "delete")
    for operation in operations:

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
        def one(case: Any, existing: bool) -> None:
            if existing and case.path_parameters:
                for parameter in case.path_parameters:
                    case.path_parameters[parameter] = known.get(parameter, [case.path_parameters[parameter]])[0]
            if existing and case.operation.path == "/v3/mail/send" and isinstance(case.body, dict):
                case.body |= mail("fuzz@example.com")
            response = case.call(headers=key, timeout=SECONDS)
            seen.setdefault(case.operation.label, set()).add(response.status_code)
            if response.status_code == 429:
                return
            checks: list[Any] = [not_a_server_error]
            if mode is GenerationMode.POSITIVE:
                checks += [response_schema_conformance, status_code_conformance]
            case.validate_response(response, checks=checks)

        try:
            one()
        except Exception as failure:
            raise AssertionError(f"{operation.label}: {failure}") from failure
    assert len(seen) == len(operations) >= 30
    assert shared.caller.http.get("/ready").status_code == 200
    [ident] = shared.caller.send(mail("after-fuzz@example.com"))
    shared.caller.settles(ident, "delivered")
