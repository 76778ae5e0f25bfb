"""The running service against calls made from its own /v1 document: never a 500, never silence, and answers as described."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode

from tests.end_to_end.fuzz import every_operation
from tests.end_to_end.parts import Caller, Ground, ground
from tests.support.dns_server import DnsServer
from tests.support.process import DOMAIN


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

    def fill(case: Any) -> None:
        if case.operation.path == "/v1/send" and isinstance(case.body, dict):
            case.body |= mail()
        if case.operation.path == "/v1/send/batch" and isinstance(case.body, list):
            case.body.append(mail())

    assert every_operation(schema, mode, v1.key, fields(v1), fill) >= 20
    assert v1.http.get("/ready").status_code == 200
    told = v1.post("/v1/send", mail(), code=201)
    here.caller.settles(told["id"], "delivered")
