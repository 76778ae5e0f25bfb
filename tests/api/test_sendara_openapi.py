"""/v1/openapi.json: made from the same endpoints that answer, with /v1's envelope for every failure."""

import re
from typing import Any, cast

import httpx
import msgspec

from postclock.api.app import build_app
from postclock.api.sendara.openapi import PATH, document, openapi_route
from postclock.services import Services
from postclock.web import sendara_endpoints
from tests.support.clock import MovedClock


class Nobody:
    """Stands for services that are not called."""

    def __getattr__(self, name: str) -> "Nobody":
        return self


ENDPOINTS = sendara_endpoints(cast(Services, Nobody()), MovedClock())
WHOLE: dict[str, Any] = document(ENDPOINTS)


def test_every_endpoint_is_in_the_document() -> None:
    """And the one that serves it; each has a name of its own."""
    described = {(method.upper(), path) for path, methods in WHOLE["paths"].items() for method in methods}
    assert described == {(e.method, re.sub(r":\w+", "", e.path)) for e in ENDPOINTS} | {("GET", PATH)}
    names = [o["operationId"] for methods in WHOLE["paths"].values() for o in methods.values()]
    assert len(names) == len(set(names))
    assert "post_send_batch" in names


def test_every_failure_is_the_envelope() -> None:
    """Of whatever status: code, message, status."""
    for methods in WHOLE["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert response["content"]["application/json"]["schema"] == {
                        "$ref": "#/components/schemas/ErrorBody"
                    }
    told = WHOLE["components"]["schemas"]["Told"]
    assert set(told["required"]) == {"code", "message", "status"}


def test_a_batch_is_an_array_in_and_out() -> None:
    """With its bounds."""
    batch = WHOLE["paths"]["/v1/send/batch"]["post"]
    taken = batch["requestBody"]["content"]["application/json"]["schema"]
    assert (taken["type"], taken["minItems"], taken["maxItems"]) == ("array", 1, 1_000)
    assert batch["requestBody"]["required"]
    assert batch["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"
    assert set(WHOLE["paths"]["/v1/send"]["post"]["responses"]) >= {"201", "400", "402", "409", "422", "429"}


def test_the_list_may_answer_one_message() -> None:
    """The look-up by idempotency key is the same operation."""
    given = WHOLE["paths"]["/v1/messages"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert given == {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("MessageList", "MessageDetail")]}


def test_scopes_are_told_in_the_words_of_keys() -> None:
    """A key of /v1 has one of three words; what they stand for is told beside them."""
    said = {path: methods["get"].get("description") for path, methods in WHOLE["paths"].items() if "get" in methods}
    assert said["/v1/messages"] == "Needs a key of the scope read or admin (messages.read)."
    assert said["/v1/suppressions"] == "Needs a key of the scope send or read or admin (suppressions.read)."
    assert said["/v1/account/verification"] is None


def test_every_reference_leads_somewhere() -> None:
    """Each $ref names a schema that is there, and each schema is referred to."""
    text = msgspec.json.encode(WHOLE).decode()
    schemas = set(WHOLE["components"]["schemas"])
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) == schemas
    assert all(name.isidentifier() for name in schemas), "two structs share a name"


async def test_it_is_served_without_a_credential() -> None:
    """As the document itself says."""
    app = build_app([openapi_route(ENDPOINTS)], {}, voices={})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postclock") as client:
        answer = await client.get(PATH)
    assert answer.json() == WHOLE
    assert WHOLE["paths"][PATH]["get"]["security"] == []
