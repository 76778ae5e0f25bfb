"""The running service against calls made from its own /v1 document: never a 500, never silence, and answers as described."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.end_to_end.parts import Caller, Ground, ground
from tests.support.dns_server import DnsServer
from tests.support.process import DOMAIN

EXAMPLES = 10
SECONDS = 10.0
"""Nothing may take longer to answer."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A service with a DNS that knows no name, and a sink."""
    with DnsServer() as dns, ground(tmp_path_factory.mktemp("postclock"), {"POSTCLOCK_DNS": dns.address}) as there:
        yield there


@pytest.fixture(scope="module")
def v1(here: Ground) -> Iterator[Caller]:
    """A key of /v1 that may do everything."""
    caller = Caller(here.service.url, here.service.key(dialect="sendara"))
    yield caller
    caller.close()


@pytest.fixture(scope="module")
def schema(here: Ground) -> Any:
    """The document as the process serves it."""
    return schemathesis.openapi.from_url(f"{here.service.url}/v1/openapi.json")


def mail() -> dict[str, Any]:
    return {
        "channel": "email",
        "destination": {"email": "fuzz@example.com"},
        "metadata": {"from_email": f"hello@{DOMAIN}"},
        "payload": {"subject": "fuzz", "body_text": "fuzz"},
    }


def fields(v1: Caller) -> dict[str, str]:
    """Ids that exist, so that the calls get beyond 404."""
    template = v1.post(
        "/v1/templates", {"name": "fuzz", "channel": "email", "subject": "s", "body_text": "b"}, code=201
    )
    return {
        "message_id": v1.post("/v1/send", mail(), code=201)["id"], "template_id": template["id"], "domain": DOMAIN,
    }  # fmt: skip


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
def test_every_operation(here: Ground, v1: Caller, schema: Any, mode: GenerationMode) -> None:
    """Good calls and bad ones, of every operation of the document, with the ids of things that exist and with any."""
    known = fields(v1)
    key = {"Authorization": f"Bearer {v1.key}"}
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
                    case.path_parameters[parameter] = known.get(parameter, case.path_parameters[parameter])
            if existing and case.operation.path == "/v1/send" and isinstance(case.body, dict):
                case.body |= mail()
            if existing and case.operation.path == "/v1/send/batch" and isinstance(case.body, list):
                case.body.append(mail())
            response = case.call(headers=key, timeout=SECONDS)
            seen.setdefault(case.operation.label, set()).add(response.status_code)
            assert response.headers.get("x-request-id")
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
    assert len(seen) == len(operations) >= 20
    assert v1.http.get("/ready").status_code == 200
    told = v1.post("/v1/send", mail(), code=201)
    here.caller.settles(told["id"], "delivered")
